//! From a picture file to the network's pixels: [`Image::open`], then [`fit`].
//!
//! ```text
//! bytes ── decode.rs ──▶ Image (RGB, u8) ── fit.rs ──▶ pixels (u8, HWC)
//!                                              └ resize.rs, as Pillow resizes
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
mod decode;
mod fit;
pub mod frame;
mod jpeg_end;
mod planes;
pub(crate) mod resize;

pub use decode::{ImageError, MAX_FILE, MAX_PIXELS, MAX_SIDE};
pub use fit::fit;
pub(crate) use fit::{channels, cropped_size, filter, window};
pub(crate) use planes::Planes;

/// A picture in memory: RGB, u8, rows from the top, pixels from the left.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Image {
    /// A picture of `3 · width · height` bytes; `None` for another number of them, or for an empty
    /// picture.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        let bytes = width.checked_mul(height)?.checked_mul(3)?;
        (bytes > 0 && bytes == rgb.len()).then_some(Self { width, height, rgb })
    }

    /// Pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixels' own buffer.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// The pixels, red first.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{})", self.width, self.height)
    }
}
