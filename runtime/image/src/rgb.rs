//! RGB images, owned and borrowed.

use std::borrow::Cow;

/// An image in memory: RGB, u8, rows from top to bottom, pixels from left to right.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// The bytes are not those of an image of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an RGB image of {width}×{height} pixels with a stride of {stride} bytes does not fit {bytes} bytes")]
pub struct SizeError {
    /// Pixels per row.
    pub width: usize,
    /// The number of rows.
    pub height: usize,
    /// The distance from one row to the next in bytes.
    pub stride: usize,
    /// The number of bytes given.
    pub bytes: usize,
}

impl Image {
    /// Creates an image from `3 · width · height` bytes. Returns `None` for another number of bytes or an empty
    /// image.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Self> {
        let bytes = width.checked_mul(height)?.checked_mul(3)?;
        (bytes > 0 && bytes == rgb.len()).then_some(Self { width, height, rgb })
    }

    /// Returns the number of pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the buffer of the pixels.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// Returns the pixels, red first.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// Borrows the image.
    #[allow(clippy::should_implement_trait)] // an `ImageRef` is no reference
    pub fn as_ref(&self) -> ImageRef<'_> {
        ImageRef { width: self.width, height: self.height, stride: 3 * self.width, rgb: &self.rgb }
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}×{})", self.width, self.height)
    }
}

/// A borrowed RGB image. Its rows may have gaps between them, as in a camera's buffer.
#[derive(Clone, Copy)]
pub struct ImageRef<'a> {
    width: usize,
    height: usize,
    stride: usize,
    rgb: &'a [u8],
}

impl<'a> ImageRef<'a> {
    /// Borrows rows of `3 · width` bytes, `stride` bytes apart. Bytes after the last row are ignored.
    pub fn new(width: usize, height: usize, stride: usize, rgb: &'a [u8]) -> Result<Self, SizeError> {
        let row = width.checked_mul(3).filter(|row| *row > 0 && *row <= stride);
        let needed = row.and_then(|row| height.checked_sub(1)?.checked_mul(stride)?.checked_add(row));
        match needed.and_then(|needed| rgb.get(..needed)) {
            Some(rgb) => Ok(Self { width, height, stride, rgb }),
            None => Err(SizeError { width, height, stride, bytes: rgb.len() }),
        }
    }

    /// Returns the number of pixels per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the bytes of a row, red first.
    pub fn row(&self, y: usize) -> &'a [u8] {
        &self.rgb[y * self.stride..][..3 * self.width]
    }

    /// Returns the pixels without gaps between rows; copies them only if there are gaps.
    pub fn packed(&self) -> Cow<'a, [u8]> {
        if self.stride == 3 * self.width {
            return self.rgb.into();
        }
        (0..self.height).flat_map(|y| self.row(y)).copied().collect()
    }
}

impl<'a> From<&'a Image> for ImageRef<'a> {
    fn from(image: &'a Image) -> Self {
        image.as_ref()
    }
}

impl std::fmt::Debug for ImageRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ImageRef({}×{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_may_be_apart_and_every_size_is_checked() {
        let bytes: Vec<u8> = (0..22).collect();
        let image = ImageRef::new(2, 3, 8, &bytes).unwrap();
        assert_eq!((image.row(0), image.row(2)), (&bytes[..6], &bytes[16..22]));
        assert_eq!(*image.packed(), [&bytes[..6], &bytes[8..14], &bytes[16..22]].concat());
        assert!(
            matches!(ImageRef::new(2, 3, 6, &bytes).unwrap().packed(), Cow::Borrowed(b) if b == &bytes[..18])
        );
        for (width, height, stride) in
            [(2, 3, 9), (3, 3, 8), (0, 1, 8), (2, 0, 8), (usize::MAX, 2, 8), (2, usize::MAX, usize::MAX)]
        {
            assert!(ImageRef::new(width, height, stride, &bytes).is_err(), "{width}×{height}, {stride}");
        }
    }
}
