//! The files of TensorFlow Lite, for the reader (`import/tflite`) and the writer (`emit/tflite`): FlatBuffers and
//! the schema's numbers.

pub mod read;
pub mod schema;
pub mod write;
