//! Reads untrusted FlatBuffers: every offset is compared with the file's length before it is followed.
//!
//! Tables may be shared, so a small file can describe a large tree. The bytes read are counted, and a file whose
//! parts are read many times over is refused.

use std::cell::Cell;

/// How many times its own length a file may be read, vectors and tables together.
const TIMES: u64 = 16;
/// The number of bytes that reading a table counts as.
const TABLE: u64 = 16;

/// The reason why a file is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlatError {
    /// An offset points outside the file, which may be truncated.
    #[error("byte {0} points outside the file, which may be truncated")]
    Outside(usize),
    /// Parts of the file are used again and again.
    #[error("its tables refer to the same bytes too often")]
    Repeated,
}

type Result<T> = std::result::Result<T, FlatError>;

/// The file's bytes, and how many may still be read.
pub struct File<'a> {
    bytes: &'a [u8],
    left: Cell<u64>,
}

/// A table of a file.
#[derive(Clone, Copy)]
pub struct Table<'f, 'a> {
    file: &'f File<'a>,
    at: usize,
    vtable: usize,
    /// The length of the vtable in bytes.
    length: usize,
}

impl<'a> File<'a> {
    /// Starts reading a file.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, left: Cell::new(TIMES * bytes.len() as u64) }
    }

    /// Returns the table that the file begins with.
    pub fn root(&self) -> Result<Table<'_, 'a>> {
        self.table(self.target(0)?)
    }

    /// Returns bytes outside the tables.
    pub fn slice(&self, at: u64, length: u64) -> Result<&'a [u8]> {
        let outside = FlatError::Outside(usize::try_from(at).unwrap_or(usize::MAX));
        let start = usize::try_from(at).map_err(|_| outside.clone())?;
        let end = usize::try_from(length).ok().and_then(|n| start.checked_add(n)).ok_or(outside.clone())?;
        self.bytes.get(start..end).ok_or(outside)
    }

    fn count(&self, bytes: u64) -> Result<()> {
        let left = self.left.get().checked_sub(bytes).ok_or(FlatError::Repeated)?;
        self.left.set(left);
        Ok(())
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N]> {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<N>());
        bytes.copied().ok_or(FlatError::Outside(at))
    }

    fn length(&self, at: usize) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array(at)?) as usize)
    }

    /// Returns the target of the offset at `at`.
    fn target(&self, at: usize) -> Result<usize> {
        at.checked_add(self.length(at)?).filter(|&to| to < self.bytes.len()).ok_or(FlatError::Outside(at))
    }

    fn table(&self, at: usize) -> Result<Table<'_, 'a>> {
        self.count(TABLE)?;
        let back = i64::from(i32::from_le_bytes(self.array(at)?));
        let vtable = (at as i64).checked_sub(back).and_then(|v| usize::try_from(v).ok());
        let vtable = vtable.ok_or(FlatError::Outside(at))?;
        let length = usize::from(u16::from_le_bytes(self.array(vtable)?));
        if vtable + length > self.bytes.len() {
            return Err(FlatError::Outside(vtable));
        }
        Ok(Table { file: self, at, vtable, length })
    }

    /// Returns the elements of the vector at `at`, of `size` bytes each.
    fn vector(&self, at: usize, size: usize) -> Result<&'a [u8]> {
        let bytes = self.length(at)?.checked_mul(size).ok_or(FlatError::Outside(at))?;
        self.slice(at as u64 + 4, bytes as u64).map_err(|_| FlatError::Outside(at))
    }
}

impl<'f, 'a> Table<'f, 'a> {
    /// Returns the position of a field, if the table has it.
    fn place(&self, field: u16) -> Result<Option<usize>> {
        let entry = 4 + 2 * usize::from(field);
        if entry + 2 > self.length {
            return Ok(None);
        }
        let offset = usize::from(u16::from_le_bytes(self.file.array(self.vtable + entry)?));
        Ok((offset > 0).then_some(self.at + offset))
    }

    fn scalar<T, const N: usize>(&self, field: u16, none: T, of: fn([u8; N]) -> T) -> Result<T> {
        Ok(match self.place(field)? {
            Some(at) => of(self.file.array(at)?),
            None => none,
        })
    }

    /// Reads a `bool`, `ubyte` or enumeration; returns 0 if it is missing.
    pub fn byte(&self, field: u16) -> Result<u8> {
        self.scalar(field, 0, u8::from_le_bytes)
    }

    /// Reads an `int` or `uint`; returns `none` if it is missing.
    pub fn int(&self, field: u16, none: i32) -> Result<i32> {
        self.scalar(field, none, i32::from_le_bytes)
    }

    /// Reads a `ulong`; returns 0 if it is missing.
    pub fn long(&self, field: u16) -> Result<u64> {
        self.scalar(field, 0, u64::from_le_bytes)
    }

    /// Reads a `float`; returns `none` if it is missing.
    pub fn float(&self, field: u16, none: f32) -> Result<f32> {
        self.scalar(field, none, f32::from_le_bytes)
    }

    fn target(&self, field: u16) -> Result<Option<usize>> {
        self.place(field)?.map(|at| self.file.target(at)).transpose()
    }

    /// Reads a table.
    pub fn table(&self, field: u16) -> Result<Option<Self>> {
        self.target(field)?.map(|at| self.file.table(at)).transpose()
    }

    /// Reads a vector of tables; returns an empty one if it is missing.
    pub fn tables(&self, field: u16) -> Result<Vec<Self>> {
        let Some(at) = self.target(field)? else { return Ok(Vec::new()) };
        let count = self.file.vector(at, 4)?.len() / 4;
        (0..count).map(|i| self.file.table(self.file.target(at + 4 + 4 * i)?)).collect()
    }

    /// Reads a vector of bytes. It is not counted, since it is not copied.
    pub fn bytes(&self, field: u16) -> Result<Option<&'a [u8]>> {
        self.target(field)?.map(|at| self.file.vector(at, 1)).transpose()
    }

    fn numbers<T, const N: usize>(&self, field: u16, of: fn([u8; N]) -> T) -> Result<Vec<T>> {
        let Some(at) = self.target(field)? else { return Ok(Vec::new()) };
        let bytes = self.file.vector(at, N)?;
        self.file.count(bytes.len() as u64)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|&b| of(b)).collect())
    }

    /// Reads a vector of `int`; returns an empty one if it is missing.
    pub fn ints(&self, field: u16) -> Result<Vec<i32>> {
        self.numbers(field, i32::from_le_bytes)
    }

    /// Reads a vector of `long`; returns an empty one if it is missing.
    pub fn longs(&self, field: u16) -> Result<Vec<i64>> {
        self.numbers(field, i64::from_le_bytes)
    }

    /// Reads a vector of `float`; returns an empty one if it is missing.
    pub fn floats(&self, field: u16) -> Result<Vec<f32>> {
        self.numbers(field, f32::from_le_bytes)
    }

    /// Reads a string; returns an empty one if it is missing.
    pub fn text(&self, field: u16) -> Result<String> {
        let bytes = self.bytes(field)?.unwrap_or_default();
        self.file.count(bytes.len() as u64)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::{Content, Table as Written, file};
    use super::*;

    fn sample() -> Vec<u8> {
        let inner = Written::default().with(1, Content::Text("ab".into()));
        let root = Written::default()
            .with(0, Content::Byte(7))
            .with(2, Content::Int(-2))
            .with(3, Content::Tables(vec![inner.clone(), inner]))
            .with(4, Content::Longs(vec![1, -5]));
        file(&root, *b"TEST")
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = sample();
        let file = File::new(&bytes);
        let root = file.root().unwrap();
        assert_eq!((root.byte(0), root.int(1, 9), root.int(2, 9)), (Ok(7), Ok(9), Ok(-2)));
        assert_eq!(root.longs(4), Ok(vec![1, -5]));
        assert_eq!((root.ints(5), root.byte(60)), (Ok(vec![]), Ok(0)));
        let inner = root.tables(3).unwrap();
        assert_eq!(inner.iter().map(|t| t.text(1).unwrap()).collect::<Vec<_>>(), ["ab", "ab"]);
        assert!(inner[0].table(0).unwrap().is_none());
    }

    #[test]
    fn a_cut_file_is_refused_wherever_it_is_cut() {
        let bytes = sample();
        let all = |bytes: &[u8]| -> Result<()> {
            let file = File::new(bytes);
            let root = file.root()?;
            root.longs(4)?;
            root.tables(3)?.iter().try_for_each(|t| t.text(1).map(|_| ()))
        };
        assert_eq!(all(&bytes), Ok(()));
        // The last bytes are the end of a string, which is not read, and padding.
        for length in 0..bytes.len() - 8 {
            assert!(all(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_table_that_is_read_too_often_is_refused() {
        let bytes = sample();
        let file = File::new(&bytes);
        let read = (0..10_000).find_map(|_| file.root().err());
        assert_eq!(read, Some(FlatError::Repeated));
    }
}
