//! A frame that borrows its pixels from a driver, a decoder or another language.

use super::{Colors, Format, Frame, FrameError, MAX_BYTES, MAX_SIDE};

/// One plane of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plane<'a> {
    /// The rows. The last one may end after its pixels.
    pub bytes: &'a [u8],
    /// The distance from one row to the next in bytes.
    pub stride: usize,
}

/// A borrowed frame. Its planes may be anywhere in memory, and each has its own row length.
#[derive(Clone, Copy)]
pub struct FrameRef<'a> {
    format: Format,
    width: usize,
    height: usize,
    colors: Colors,
    planes: [Plane<'a>; 3],
}

impl<'a> FrameRef<'a> {
    /// Creates a frame with the planes that [`Format::planes`] requires; further ones are ignored. A JPEG is
    /// refused.
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
            // A stride that overflows cannot fit in memory.
            let need = stride.checked_mul(rows - 1).and_then(|n| n.checked_add(row)).unwrap_or(usize::MAX);
            if bytes.len() < need {
                let have = bytes.len();
                return Err(FrameError::Short { have, need, width, height, format: format.name() });
            }
        }
        Ok(Self { format, width, height, colors, planes: own })
    }

    /// Returns the pixel format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the number of pixels per row and the number of rows.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Returns the meaning of Y, U and V.
    pub fn colors(&self) -> Colors {
        self.colors
    }

    /// Returns all pixels as one slice if the format has one plane and its rows have no gaps.
    pub fn contiguous(&self) -> Option<&'a [u8]> {
        let [(row, rows), (_, others), _] = self.format.planes(self.width, self.height);
        let Plane { bytes, stride } = self.planes[0];
        (others == 0 && stride == row).then(|| &bytes[..row * rows])
    }

    /// Returns the bytes of row `y` of a plane.
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
    /// Borrows the frame's planes, after [`Frame::develop`].
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
