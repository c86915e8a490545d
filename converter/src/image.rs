//! One image as a network reads it.

use std::sync::Arc;

use foldnet_archive::Input;
use foldnet_image::{ImageRef, fit};
use foldnet_kernels::Shape;

/// An image at the size of a network's input: u8, row by row, the channels of a pixel beside each other (HWC).
///
/// A clone shares the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    shape: Shape,
    values: Arc<[u8]>,
}

/// The number of values is not height × width × channels.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an image of {}×{} with {} channels has {} values, not {got}", shape.h, shape.w, shape.c, shape.len())]
pub struct PixelsError {
    /// What was asked for.
    pub shape: Shape,
    /// How many values came.
    pub got: usize,
}

impl Pixels {
    /// From HWC values.
    pub fn new(shape: Shape, values: impl Into<Arc<[u8]>>) -> Result<Self, PixelsError> {
        let values = values.into();
        if values.len() != shape.len() {
            return Err(PixelsError { shape, got: values.len() });
        }
        Ok(Self { shape, values })
    }

    /// An image of any size, resized and cropped as the input says.
    pub fn fit<'a>(image: impl Into<ImageRef<'a>>, input: &Input) -> Self {
        let shape = Shape::new(input.height, input.width, input.channels);
        Self::new(shape, fit(image, input)).expect("fit returns an image of the input's size")
    }

    /// Height, width and channels.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The values, HWC.
    pub fn values(&self) -> &[u8] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_values_must_fit_the_shape() {
        let shape = Shape::new(2, 3, 1);
        assert_eq!(Pixels::new(shape, vec![7; 6]).unwrap().values(), [7; 6]);
        let error = Pixels::new(shape, vec![7; 5]).unwrap_err();
        assert_eq!(error.to_string(), "an image of 2×3 with 1 channels has 6 values, not 5");
    }
}
