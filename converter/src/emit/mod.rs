//! From a quantized network to files for other engines and machines. The archive itself is written by
//! [`foldnet_archive::write`].

pub(crate) mod onnx;
pub mod qdq;
pub mod rknn;
pub mod tflite;
pub mod tool;
pub mod vela;
