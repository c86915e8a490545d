//! Why a model cannot be read.

use std::path::PathBuf;

/// What is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The bytes are no ONNX model.
    #[error("not an ONNX model: {0}")]
    NotOnnx(String),
    /// The bytes are no sound TFLite model, or not one of an image network.
    #[error("the TensorFlow Lite model cannot be read: {0}")]
    NotTflite(String),
    /// The model needs operators of a version that is not known here.
    #[error("the model is written in opset {0}; opsets 7 to 25 are known: export it with opset_version=17")]
    Opset(i64),
    /// The model's input is not one image.
    #[error("input {name}: {problem}")]
    Input {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The model's output is not one row of scores.
    #[error("the model has {count} outputs ({names}); Foldnet takes networks with one row of scores: choose an output with --output-name, for example --output-name {first}", count = .0.len(), names = .0.join(", "), first = .0.first().map_or("NAME", |n| n))]
    Outputs(Vec<String>),
    /// The output that was asked for is not there.
    #[error("the model has no output {asked}; its outputs are {names}", names = .names.join(", "))]
    NoOutput {
        /// What was asked for.
        asked: String,
        /// What there is.
        names: Vec<String>,
    },
    /// A constant cannot be read.
    #[error("tensor {name}: {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// An operator of a TFLite model cannot be taken over.
    #[error("operator {index}, {op}, which computes {output}: {problem}")]
    Operator {
        /// Its place in the file.
        index: usize,
        /// As the schema calls it.
        op: String,
        /// The tensor that it computes.
        output: String,
        /// What is wrong.
        problem: String,
    },
    /// An operator cannot be taken over.
    #[error("node {node}, operator {op} (opset {opset}): {problem}")]
    Node {
        /// Its name, or its output's.
        node: String,
        /// The operator, with its domain where it is not ONNX's own.
        op: String,
        /// The model's opset.
        opset: i64,
        /// What is wrong.
        problem: String,
    },
}
