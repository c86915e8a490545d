//! Converts a trained ONNX or TFLite ResNet to an int8 archive.
//!
//! ```text
//! import   ONNX, TFLite → Graph  as the exporter wrote it
//! frameworks  Keras, PyTorch → ONNX  by themselves, in Python
//! pixels   Imported → preprocessing  what training did to the pixels, from evidence
//! pass     Graph → Graph         folded: pixels in, convolutions with everything in their weights
//! calibrate, quantize            Graph + images → Network
//! convert  all of that as one call, with a report and a verdict
//! emit     Network → files       the archive, QDQ ONNX
//! provenance  what an archive was made from
//! report   what was done and what it cost
//! doctor   labelled images → those to look at
//! cmd      the program
//! ```

pub mod calibrate;
pub mod cmd;
pub mod convert;
pub mod curve;
pub mod doctor;
pub mod emit;
pub mod float;
pub mod foreign;
pub mod frameworks;
pub mod graph;
pub mod image;
pub mod import;
pub mod interval;
pub mod model;
pub mod onnx;
pub mod pass;
pub mod per_class;
pub mod pixels;
pub mod provenance;
pub mod quantize;
pub mod report;
pub mod run;
mod tflite;
