//! Writes a quantized network to files for other engines and machines. [`foldnet_archive::write`] writes the
//! archive itself.

pub(crate) mod onnx;
pub mod qdq;
pub mod rknn;
pub mod tflite;
pub mod tool;
pub mod vela;
