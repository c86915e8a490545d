//! From a trained ONNX ResNet to an int8 archive.

pub mod graph;
