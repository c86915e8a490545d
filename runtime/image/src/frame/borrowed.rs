//! A frame whose pixels stay where they are, in memory of a driver, a decoder or another language.

use super::{Colors, Format, Frame, FrameError, MAX_BYTES, MAX_SIDE};

/// One plane of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plane<'a> {
    /// The rows. The last one may end where its pixels do.
    pub bytes: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// A borrowed frame. Each plane may lie anywhere and have rows of its own length.
#[derive(Clone, Copy)]
pub struct FrameRef<'a> {
    format: Format,
    width: usize,
    height: usize,
    colors: Colors,
    planes: [Plane<'a>; 3],
}

impl<'a> FrameRef<'a> {
    /// A frame of as many planes as [`Format::planes`] has rows for; further ones are ignored. A JPEG is refused.
    pub fn new(
        format: Format,
        width: usize,
        height: usize,
        colors: Colors,
        planes: &[Plane<'a>],
    ) -> Result<Self, FrameError> {
        if format == Format::Jpeg {
            return Err(FrameError::Compressed);
        }
        let side = 1..=MAX_SIDE;
        if !side.contains(&width) || !side.contains(&height) {
            return Err(FrameError::Size(width, height));
        }
        let shape = format.planes(width, height);
        if shape.iter().map(|(row, rows)| row * rows).sum::<usize>() > MAX_BYTES {
            return Err(FrameError::Size(width, height));
        }
        let mut own = [Plane::default(); 3];
        for (i, (row, rows)) in shape.into_iter().enumerate().filter(|(_, (_, rows))| *rows > 0) {
            own[i] = planes.get(i).copied().unwrap_or(Plane { bytes: &[], stride: row });
            let Plane { bytes, stride } = own[i];
            if stride < row {
                return Err(FrameError::Stride { stride, row, format: format.name() });
            }
            // A stride that overflows is one that no memory holds.
            let need = stride.checked_mul(rows - 1).and_then(|n| n.checked_add(row)).unwrap_or(usize::MAX);
            if bytes.len() < need {
                let have = bytes.len();
                return Err(FrameError::Short { have, need, width, height, format: format.name() });
            }
        }
        Ok(Self { format, width, height, colors, planes: own })
    }

    /// How the bytes are to be read.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Pixels per row, and rows.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// What Y, U and V mean.
    pub fn colors(&self) -> Colors {
        self.colors
    }

    /// All pixels as one piece of memory, where the format has one plane whose rows follow each other without a gap.
    pub fn contiguous(&self) -> Option<&'a [u8]> {
        let [(row, rows), (_, others), _] = self.format.planes(self.width, self.height);
        let Plane { bytes, stride } = self.planes[0];
        (others == 0 && stride == row).then(|| &bytes[..row * rows])
    }

    /// The bytes of row `y` of a plane.
    pub(super) fn row(&self, plane: usize, y: usize) -> &'a [u8] {
        let row = self.format.planes(self.width, self.height)[plane].0;
        &self.planes[plane].bytes[self.planes[plane].stride * y..][..row]
    }
}

impl std::fmt::Debug for FrameRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FrameRef({}×{} {})", self.width, self.height, self.format.name())
    }
}

impl Frame {
    /// The frame's planes, after [`Frame::develop`].
    pub(super) fn borrowed(&self) -> FrameRef<'_> {
        let (format, width, height, colors) = (self.format, self.width, self.height, self.colors);
        let [(_, rows), (_, chroma_rows), (_, third)] = format.planes(width, height);
        let chroma = match format {
            Format::I420 | Format::I422 => self.stride.div_ceil(2),
            _ => self.stride,
        };
        let (first, rest) = self.bytes.split_at(self.stride * rows);
        let (second, last) = if third > 0 { rest.split_at(chroma * chroma_rows) } else { (rest, &[][..]) };
        let plane = |bytes, stride| Plane { bytes, stride };
        let planes = [plane(first, self.stride), plane(second, chroma), plane(last, chroma)];
        FrameRef { format, width, height, colors, planes }
    }
}
