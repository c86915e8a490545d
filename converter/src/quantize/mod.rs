//! Float graph → int8 network.
//!
//! 1. [`fuse`]: which tensors will be int8, and which step writes each.
//! 2. [`center`]: per-channel offsets that float does not notice.
//! 3. [`equalize`]: per-channel factors that float does not notice.
//! 4. Ranges of activations, from [`crate::calibrate`].
//! 5. [`weights`] and [`rounding`]: integers for the weights.
//! 6. [`bias`]: what rounding shifted on average goes back into the biases.
//! 7. [`build`]: the network, in the arithmetic of [`foldnet_kernels::reference`].
//! 8. [`mixed`] and [`widen`]: what stays in 16 bits when a budget of accuracy asks for it.
//! 9. [`apart`]: the roundings of an NPU, where the network is for one.
//!
//! [`recipe`] puts them together and decides by the error of the network's output on the calibration
//! images what to keep.

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

/// Why a float graph cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// A second input.
    #[error("node {node}: a second input; Foldnet takes networks with one image as input")]
    TwoInputs {
        /// Its name.
        node: String,
    },
    /// A padding no convolution or pooling could absorb.
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
    /// The graph is not in execution order, or its output is not computed: a fault of ours.
    #[error("node {node} is used before it is computed")]
    Order {
        /// Its name.
        node: String,
    },
    /// A weight or bias that no int8 network can hold.
    #[error("node {node}: weight or bias of channel {channel} is not a finite number, or far too large")]
    NotFinite {
        /// Its name.
        node: String,
        /// The output channel.
        channel: usize,
    },
    /// The float network itself has no sound value there.
    #[error(
        "node {node}: its value on a calibration image is infinite or not a number; the model's weights are \
         damaged or far too large"
    )]
    NoValue {
        /// Its name.
        node: String,
    },
    /// There is nothing to calibrate with.
    #[error("no image to calibrate on")]
    NoPictures,
    /// The caller gave up, see [`recipe::Progress::stopped`].
    #[error("stopped")]
    Stopped,
    /// The result does not validate: a fault of ours, or a shape the runtime does not take.
    #[error("the quantized network is not valid: {0}")]
    Network(#[from] NetworkError),
    /// The quantized network does not run: a fault of ours.
    #[error(transparent)]
    Session(#[from] foldnet::SessionError),
    /// The float network does not run.
    #[error(transparent)]
    Float(#[from] crate::float::FloatError),
}
