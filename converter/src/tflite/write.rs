//! Writes FlatBuffers from front to back.
//!
//! A table is a list of fields. The objects to which its fields point follow the table, so every offset points
//! forward, as the format requires. Each table has its own vtable. The format is described on FlatBuffers'
//! *Internals* page; this writer supports what TFLite's schema needs.

/// The content of a table's field.
#[derive(Clone)]
pub enum Content {
    /// A `bool`, `byte` or `ubyte`, usually an enumeration.
    Byte(u8),
    /// An `int` or `uint`.
    Int(i32),
    /// Another table.
    Table(Table),
    /// A string.
    Text(String),
    /// A `[ubyte]`, aligned to 16 bytes like TFLite's buffers.
    Bytes(Vec<u8>),
    /// A `[int]`.
    Ints(Vec<i32>),
    /// A `[long]`.
    Longs(Vec<i64>),
    /// A `[float]`.
    Floats(Vec<f32>),
    /// A vector of tables.
    Tables(Vec<Table>),
}

impl Content {
    /// Returns the size in the table itself in bytes.
    fn size(&self) -> usize {
        if matches!(self, Self::Byte(_)) { 1 } else { 4 }
    }
}

/// The fields of a table, each with its number in the schema, in ascending order; missing fields have the schema's
/// default.
#[derive(Clone, Default)]
pub struct Table(pub Vec<(u16, Content)>);

impl Table {
    /// Adds a field.
    pub fn with(mut self, field: u16, value: Content) -> Self {
        self.0.push((field, value));
        self
    }
}

/// Returns the file: `root` after its offset and the schema's four letters.
pub fn file(root: &Table, identifier: [u8; 4]) -> Vec<u8> {
    let mut out = Writer(vec![0; 4]);
    out.0.extend(identifier);
    let at = out.table(root);
    out.point(0, at);
    out.0
}

struct Writer(Vec<u8>);

impl Writer {
    /// Writes zeros, until the object to be written `ahead` bytes later starts at a multiple of `to`.
    fn align(&mut self, to: usize, ahead: usize) {
        let length = (self.0.len() + ahead).next_multiple_of(to) - ahead;
        self.0.resize(length, 0);
    }

    /// Writes `to` as the target of the offset at `from`. An archive has less than a quarter of the bytes that fit
    /// in 32 bits.
    fn point(&mut self, from: usize, to: usize) {
        self.0[from..from + 4].copy_from_slice(&((to - from) as u32).to_le_bytes());
    }

    /// Writes a table and everything to which it points; returns its position.
    fn table(&mut self, table: &Table) -> usize {
        // The positions of the fields in the table, after the offset of its vtable: the large ones first, so that
        // none needs padding.
        let mut places = vec![0_u16; table.0.last().map_or(0, |f| usize::from(f.0) + 1)];
        let mut size = 4;
        for width in [4, 1] {
            for (field, _) in table.0.iter().filter(|f| f.1.size() == width) {
                places[usize::from(*field)] = size as u16;
                size += width;
            }
        }
        let vtable = 4 + 2 * places.len();
        self.align(4, vtable);
        for word in [vtable as u16, size as u16].iter().chain(&places) {
            self.0.extend(word.to_le_bytes());
        }
        let start = self.0.len();
        self.0.extend((vtable as i32).to_le_bytes());
        self.0.resize(start + size, 0);
        for (field, value) in &table.0 {
            let at = start + usize::from(places[usize::from(*field)]);
            match value {
                Content::Byte(v) => self.0[at] = *v,
                Content::Int(v) => self.0[at..at + 4].copy_from_slice(&v.to_le_bytes()),
                _ => {
                    let to = self.target(value);
                    self.point(at, to);
                }
            }
        }
        start
    }

    fn target(&mut self, value: &Content) -> usize {
        match value {
            Content::Byte(_) | Content::Int(_) => unreachable!("it stands in the table"),
            Content::Table(table) => self.table(table),
            Content::Text(text) => {
                let at = self.vector(text.len(), 1, text.as_bytes());
                self.0.push(0);
                at
            }
            Content::Bytes(bytes) => self.vector(bytes.len(), 16, bytes),
            Content::Ints(v) => self.vector(v.len(), 4, v.iter().flat_map(|v| v.to_le_bytes())),
            Content::Longs(v) => self.vector(v.len(), 8, v.iter().flat_map(|v| v.to_le_bytes())),
            Content::Floats(v) => self.vector(v.len(), 4, v.iter().flat_map(|v| v.to_le_bytes())),
            Content::Tables(tables) => {
                let at = self.vector(tables.len(), 4, std::iter::repeat_n(&0, 4 * tables.len()));
                for (i, table) in tables.iter().enumerate() {
                    let to = self.table(table);
                    self.point(at + 4 + 4 * i, to);
                }
                at
            }
        }
    }

    /// Writes length and elements; the elements are aligned.
    fn vector(
        &mut self,
        length: usize,
        align: usize,
        bytes: impl IntoIterator<Item = impl std::borrow::Borrow<u8>>,
    ) -> usize {
        self.align(align.max(4), 4);
        let at = self.0.len();
        self.0.extend((length as u32).to_le_bytes());
        self.0.extend(bytes.into_iter().map(|b| *b.borrow()));
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_the_format_says_byte_by_byte() {
        let root = Table::default()
            .with(0, Content::Byte(7))
            .with(2, Content::Int(-2))
            .with(3, Content::Text("ab".into()))
            .with(4, Content::Longs(vec![1]));
        let written = file(&root, *b"TEST");
        #[rustfmt::skip]
        let expected = [
            24, 0, 0, 0, b'T', b'E', b'S', b'T', 0, 0, // root, name, two bytes so that the table is aligned
            14, 0, 17, 0, 16, 0, 0, 0, 4, 0, 8, 0, 12, 0, // vtable: its size, the table's, the fields
            14, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 12, 0, 0, 0, 16, 0, 0, 0, 7, 0, 0, 0, // the table
            2, 0, 0, 0, b'a', b'b', 0, 0,
            1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(written, expected);
        assert_eq!(written.len() % 4, 0);
    }
}
