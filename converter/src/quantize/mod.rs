//! Quantizes a float graph to an int8 network.
//!
//! 1. [`fuse`] determines the int8 tensors, and the step that writes each.
//! 2. [`center`] subtracts offsets per channel that do not change the float network.
//! 3. [`equalize`] applies factors per channel that do not change the float network.
//! 4. [`crate::calibrate`] chooses the ranges of activations.
//! 5. [`weights`] and [`rounding`] choose integers for the weights.
//! 6. [`bias`] moves the mean error of rounding into the biases.
//! 7. [`build`] builds the network, in the arithmetic of [`foldnet_kernels::reference`].
//! 8. [`mixed`] and [`widen`] keep parts in 16 bits if an accuracy budget requires it.
//! 9. [`apart`] adds the roundings of an NPU if the network is for one.
//!
//! [`recipe`] combines these steps. It decides which to keep by the error of the network's output on the
//! calibration images.

pub mod apart;
pub mod bias;
pub mod build;
pub mod center;
pub mod equalize;
pub mod fuse;
pub mod mixed;
pub mod recipe;
pub mod rounding;
pub mod score;
pub mod sensitivity;
pub mod weights;
pub mod widen;

#[cfg(test)]
mod tests;

use foldnet_archive::NetworkError;

pub use recipe::{Effort, Options, Outcome, quantize};

/// The reason why a float graph cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The graph has a second input.
    #[error("node {node}: a second input; Foldnet takes networks with one image as input")]
    TwoInputs {
        /// Its name.
        node: String,
    },
    /// No convolution or pooling could absorb a padding.
    #[error("node {node}: no convolution or pooling follows this padding; only such padding is supported")]
    Pad {
        /// Its name.
        node: String,
    },
    /// Something other than a convolution reads the image.
    #[error("node {node} reads the image itself; only a convolution or dense layer can come first")]
    ReadsPixels {
        /// Its name.
        node: String,
    },
    /// The graph is not in execution order, or its output is not computed: a bug.
    #[error("node {node} is used before it is computed")]
    Order {
        /// Its name.
        node: String,
    },
    /// An int8 network cannot represent a weight or bias.
    #[error("node {node}: weight or bias of channel {channel} is not a finite number, or far too large")]
    NotFinite {
        /// Its name.
        node: String,
        /// The output channel.
        channel: usize,
    },
    /// The float network itself has no valid value there.
    #[error(
        "node {node}: its value on a calibration image is infinite or not a number; the model's weights are \
         damaged or far too large"
    )]
    NoValue {
        /// Its name.
        node: String,
    },
    /// There are no calibration images.
    #[error("no image to calibrate on")]
    NoPictures,
    /// The caller stopped the quantization, see [`recipe::Progress::stopped`].
    #[error("stopped")]
    Stopped,
    /// The result is not valid: a bug, or a shape that the runtime does not support.
    #[error("the quantized network is not valid: {0}")]
    Network(#[from] NetworkError),
    /// The quantized network does not run: a bug.
    #[error(transparent)]
    Session(#[from] foldnet::SessionError),
    /// The float network does not run.
    #[error(transparent)]
    Float(#[from] crate::float::FloatError),
}
