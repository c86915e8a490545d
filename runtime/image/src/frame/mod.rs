//! A camera's frame, and its conversion to the network's pixels in one pass.
//!
//! ```text
//! driver's bytes ── Frame ── convert.rs: one row to R, G, B ── fit.rs: crop, resize, turn ──▶ pixels (u8, HWC)
//! caller's planes ─ FrameRef ─┘
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
mod borrowed;
mod convert;
mod fit;
mod huffman;

use std::time::Instant;

pub use borrowed::{FrameRef, Plane};
pub use fit::{Fitter, Turn, View};

use crate::{Image, ImageError, Planes};

/// The longest side of a frame.
pub const MAX_SIDE: usize = 8192;
/// The largest size of a frame in bytes, compressed or not.
pub const MAX_BYTES: usize = 3 * 4096 * 4096;

/// The layout of pixels in memory. Rows go from top to bottom; planes follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Y₀ U Y₁ V`: four bytes for two pixels.
    Yuyv,
    /// A plane of Y, then one of `U V` pairs, each for 2×2 pixels.
    Nv12,
    /// Planes Y, U, V; one chroma sample for 2×2 pixels.
    I420,
    /// Planes Y, U, V; one chroma sample for 2×1 pixels.
    I422,
    /// Planes Y, U, V of equal size.
    I444,
    /// `R G B`.
    Rgb,
    /// `B G R`.
    Bgr,
    /// `R G B X`; the fourth byte, alpha or padding, is not read.
    Rgbx,
    /// `B G R X`, likewise.
    Bgrx,
    /// One byte per pixel.
    Grey,
    /// A JPEG file; [`Frame::develop`] converts it to [`Format::Rgb`].
    Jpeg,
}

impl Format {
    /// All formats that have a name on the command line.
    pub const NAMED: [(&'static str, Self); 8] = [
        ("yuyv", Self::Yuyv),
        ("nv12", Self::Nv12),
        ("i420", Self::I420),
        ("i422", Self::I422),
        ("i444", Self::I444),
        ("rgb", Self::Rgb),
        ("grey", Self::Grey),
        ("mjpeg", Self::Jpeg),
    ];

    /// Returns the format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bgr => "bgr",
            Self::Rgbx => "rgbx",
            Self::Bgrx => "bgrx",
            _ => Self::NAMED.iter().find(|(_, f)| *f == self).map_or("", |(name, _)| name),
        }
    }

    /// Returns the size in bytes of the shortest possible row (of the first plane).
    pub fn row_bytes(self, width: usize) -> usize {
        match self {
            Self::Yuyv => 4 * width.div_ceil(2),
            Self::Nv12 => width.next_multiple_of(2),
            Self::Rgb | Self::Bgr => 3 * width,
            Self::Rgbx | Self::Bgrx => 4 * width,
            _ => width,
        }
    }

    /// Returns, for each plane, the size of its rows in bytes and their number. A plane that the format lacks has
    /// no rows.
    pub fn planes(self, width: usize, height: usize) -> [(usize, usize); 3] {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let one = |row| [(row, height), (0, 0), (0, 0)];
        let chroma = |row, rows| [(width, height), (row, rows), (row, rows)];
        match self {
            Self::Yuyv | Self::Rgb | Self::Bgr | Self::Rgbx | Self::Bgrx | Self::Grey => {
                one(self.row_bytes(width))
            }
            Self::Nv12 => [(width, height), (2 * half_width, half_height), (0, 0)],
            Self::I420 => chroma(half_width, half_height),
            Self::I422 => chroma(half_width, height),
            Self::I444 => chroma(width, height),
            Self::Jpeg => [(0, 0); 3],
        }
    }

    /// Returns the size in bytes of a frame whose first plane has rows of `stride` bytes.
    pub fn frame_bytes(self, width: usize, height: usize, stride: usize) -> usize {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        match self {
            Self::Yuyv | Self::Rgb | Self::Bgr | Self::Rgbx | Self::Bgrx | Self::Grey => stride * height,
            Self::Nv12 => stride * (height + half_height),
            Self::I420 if stride == width => width * height + 2 * half_width * half_height,
            Self::I422 if stride == width => width * height + 2 * half_width * height,
            // If rows have a margin, chroma rows have half of it.
            Self::I420 => stride * height + 2 * stride.div_ceil(2) * half_height,
            Self::I422 => stride * height + 2 * stride.div_ceil(2) * height,
            Self::I444 => 3 * stride * height,
            Self::Jpeg => 0,
        }
    }
}

/// The weights with which Y is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601: standard definition, most webcams, JPEG.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

/// The codes for black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// Y from 16 to 235, chroma from 16 to 240.
    #[default]
    Limited,
    /// 0 to 255.
    Full,
}

/// The meaning of Y, U and V.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Colors {
    /// The weights of Y.
    pub matrix: Matrix,
    /// The range of codes.
    pub range: Range,
}

/// The reason why a frame cannot be used. The next one may be good.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame has fewer bytes than its size requires.
    #[error("a frame of {have} bytes; {width}×{height} {format} needs {need}")]
    Short {
        /// The number of bytes delivered.
        have: usize,
        /// The number of bytes needed.
        need: usize,
        /// Pixels per row.
        width: usize,
        /// Rows.
        height: usize,
        /// The format's name.
        format: &'static str,
    },
    /// The stride is shorter than a row.
    #[error("a stride of {stride} bytes; a row of {format} has {row}")]
    Stride {
        /// Bytes from one row to the next.
        stride: usize,
        /// The length of a row in bytes.
        row: usize,
        /// The format's name.
        format: &'static str,
    },
    /// The frame is a JPEG where pixels are needed.
    #[error("a JPEG, which must be decoded first")]
    Compressed,
    /// The frame is empty or too large.
    #[error("a frame of {0}×{1} pixels (a side has 1 to {MAX_SIDE}, and a frame at most 48 MB)")]
    Size(usize, usize),
    /// The driver marked the frame as damaged.
    #[error("a frame that the driver marked as damaged")]
    Marked,
    /// The JPEG is damaged.
    #[error("a damaged JPEG frame: {0}")]
    Jpeg(#[from] ImageError),
}

/// One frame. Its buffers are reused: a source fills the frame that it receives.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The pixel format of the bytes.
    pub format: Format,
    /// Pixels per row; 0 for a JPEG that has not been decoded.
    pub width: usize,
    /// The number of rows; 0 for a JPEG that has not been decoded.
    pub height: usize,
    /// Bytes from one row of the first plane to the next.
    pub stride: usize,
    /// The meaning of Y, U and V.
    pub colors: Colors,
    /// The pixels, or the JPEG file.
    pub bytes: Vec<u8>,
    /// The JPEG file from which the pixels were decoded; otherwise empty.
    pub jpeg: Vec<u8>,
    /// When the frame was exposed, as far as the source knows.
    pub captured: Instant,
    /// The source's frame counter: a gap means that the source lost frames.
    pub number: u64,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            format: Format::Grey,
            width: 0,
            height: 0,
            stride: 0,
            colors: Colors::default(),
            bytes: Vec::new(),
            jpeg: Vec::new(),
            captured: Instant::now(),
            number: 0,
        }
    }
}

impl Frame {
    /// Checks a size before memory is allocated; returns the size in bytes of a frame without margins.
    pub fn bytes_for(format: Format, width: usize, height: usize) -> Result<usize, FrameError> {
        if width > MAX_SIDE {
            return Err(FrameError::Size(width, height));
        }
        Self::padded_bytes(format, width, height, format.row_bytes(width))
    }

    /// Like [`Frame::bytes_for`], for rows of `stride` bytes.
    pub fn padded_bytes(
        format: Format,
        width: usize,
        height: usize,
        stride: usize,
    ) -> Result<usize, FrameError> {
        let size = || FrameError::Size(width, height);
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || stride > MAX_BYTES / height {
            return Err(size());
        }
        let bytes = format.frame_bytes(width, height, stride);
        if bytes > MAX_BYTES { Err(size()) } else { Ok(bytes) }
    }

    /// Makes this an uncompressed frame without margins and returns its buffer, which the caller fills.
    pub fn shape(
        &mut self,
        format: Format,
        width: usize,
        height: usize,
        colors: Colors,
    ) -> Result<&mut [u8], FrameError> {
        let stride = format.row_bytes(width);
        self.shape_padded(format, width, height, stride, colors)
    }

    /// Like [`Frame::shape`], for rows of `stride` bytes, which must be at least the length of a row.
    pub fn shape_padded(
        &mut self,
        format: Format,
        width: usize,
        height: usize,
        stride: usize,
        colors: Colors,
    ) -> Result<&mut [u8], FrameError> {
        let bytes = Self::padded_bytes(format, width, height, stride)?;
        (self.format, self.width, self.height, self.colors) = (format, width, height, colors);
        self.stride = stride;
        self.jpeg.clear();
        self.bytes.resize(bytes, 0);
        Ok(&mut self.bytes)
    }

    /// Makes this a JPEG. The caller has put its bytes into `bytes`.
    pub fn is_jpeg(&mut self) {
        (self.format, self.width, self.height, self.stride) = (Format::Jpeg, 0, 0, 0);
        self.jpeg.clear();
    }

    /// Decodes a JPEG, and checks that there are as many bytes as the size requires. Call this before any other
    /// use of the frame's pixels.
    pub fn develop(&mut self) -> Result<(), FrameError> {
        if self.format == Format::Jpeg {
            let picture = Image::decode(&huffman::with_tables(&self.bytes))?;
            if picture.width() > MAX_SIDE || picture.height() > MAX_SIDE || picture.rgb().len() > MAX_BYTES {
                return Err(FrameError::Size(picture.width(), picture.height()));
            }
            (self.width, self.height) = (picture.width(), picture.height());
            (self.format, self.stride) = (Format::Rgb, 3 * self.width);
            self.jpeg = std::mem::replace(&mut self.bytes, picture.into_rgb());
        }
        let (width, height) = (self.width, self.height);
        Self::bytes_for(self.format, width, height)?;
        let stride = self.stride.max(self.format.row_bytes(width));
        let need = self.format.frame_bytes(width, height, stride);
        let have = self.bytes.len();
        if stride != self.stride || have < need {
            return Err(FrameError::Short { have, need, width, height, format: self.format.name() });
        }
        Ok(())
    }

    /// Returns the whole frame as an image, after [`Frame::develop`].
    pub fn picture(&self) -> Option<Image> {
        let mut rgb = Vec::with_capacity(3 * self.width * self.height);
        let mut planes = Planes::default();
        let frame = self.borrowed();
        for y in 0..self.height {
            convert::row_to_planes(&frame, y, 0..self.width, &mut planes);
            planes.append_rgb(&mut rgb);
        }
        Image::new(self.width, self.height, rgb)
    }
}
