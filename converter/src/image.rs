//! One image in a network's input format.

use std::sync::Arc;

use foldnet_archive::Input;
use foldnet_image::{ImageRef, fit};
use foldnet_kernels::Shape;

/// An image at the size of a network's input: u8, row by row, the channels of each pixel side by side (HWC).
///
/// Clones share the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    shape: Shape,
    values: Arc<[u8]>,
}

/// The number of values is not height × width × channels.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image of {}×{} with {} channels has {} values, not {got}", shape.h, shape.w, shape.c, shape.len())]
pub struct PixelsError {
    /// The requested shape.
    pub shape: Shape,
    /// The number of values given.
    pub got: usize,
}

impl Pixels {
    /// Creates an image from HWC values.
    pub fn new(shape: Shape, values: impl Into<Arc<[u8]>>) -> Result<Self, PixelsError> {
        let values = values.into();
        if values.len() != shape.len() {
            return Err(PixelsError { shape, got: values.len() });
        }
        Ok(Self { shape, values })
    }

    /// Resizes and crops an image of any size as the input specifies.
    pub fn fit<'a>(image: impl Into<ImageRef<'a>>, input: &Input) -> Self {
        let shape = Shape::new(input.height, input.width, input.channels);
        Self::new(shape, fit(image, input)).expect("fit returns an image of the input's size")
    }

    /// Returns a copy whose sides are at most `side`, with the means of blocks of pixels. Partial blocks at the edges
    /// are dropped.
    pub fn shrunk(&self, side: usize) -> Self {
        let Shape { h, w, c } = self.shape;
        let step = h.max(w).div_ceil(side).max(1);
        let shape = Shape::new((h / step).max(1), (w / step).max(1), c);
        let (rows, columns) = (step.min(h), step.min(w));
        let mut values = Vec::with_capacity(shape.len());
        for y in 0..shape.h {
            for x in 0..shape.w {
                for channel in 0..c {
                    let at = |dy: usize, dx: usize| ((y * step + dy) * w + x * step + dx) * c + channel;
                    let sum: u32 = (0..rows)
                        .flat_map(|dy| (0..columns).map(move |dx| (dy, dx)))
                        .map(|(dy, dx)| u32::from(self.values[at(dy, dx)]))
                        .sum();
                    values.push((sum / (rows * columns) as u32) as u8);
                }
            }
        }
        Self { shape, values: values.into() }
    }

    /// Returns height, width and channels.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the values, HWC.
    pub fn values(&self) -> &[u8] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_shrunk_by_whole_blocks() {
        let image = Pixels::new(Shape::new(5, 4, 1), (0..20).collect::<Vec<u8>>()).unwrap();
        assert_eq!(image.shrunk(5), image);
        let small = image.shrunk(3);
        assert_eq!((small.shape(), small.values()), (Shape::new(2, 2, 1), &[2, 4, 10, 12][..]));
        let line = Pixels::new(Shape::new(1, 6, 1), [0, 2, 4, 6, 8, 10]).unwrap().shrunk(2);
        assert_eq!((line.shape(), line.values()), (Shape::new(1, 2, 1), &[2, 8][..]));
    }

    #[test]
    fn the_number_of_values_must_fit_the_shape() {
        let shape = Shape::new(2, 3, 1);
        assert_eq!(Pixels::new(shape, vec![7; 6]).unwrap().values(), [7; 6]);
        let error = Pixels::new(shape, vec![7; 5]).unwrap_err();
        assert_eq!(error.to_string(), "an image of 2×3 with 1 channels has 6 values, not 5");
    }
}
