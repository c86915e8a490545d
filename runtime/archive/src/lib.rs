//! The quantized network ([`Network`]), what goes with it ([`Manifest`]), and the archive that holds
//! both.

mod manifest;
mod network;

pub use manifest::{Calibration, FORMAT, Input, Manifest, Resize, SourceModel};
pub use network::{
    Activation, Add, Affine, AvgPool, Conv, MaxPool, Network, NetworkError, Out, PIXELS, SecondOutput, Step,
    Tensor, TensorId,
};
