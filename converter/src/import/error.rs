//! The reasons why a model cannot be read.

use std::path::PathBuf;

/// An error with its place and advice on what to do.
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
    /// The bytes are not an ONNX model.
    #[error("not an ONNX model: {0}")]
    NotOnnx(String),
    /// The bytes are not a valid TFLite model, or not one of an image network.
    #[error("the TensorFlow Lite model cannot be read: {0}")]
    NotTflite(String),
    /// The model uses an opset version that is not supported.
    #[error("the model is written in opset {0}; opsets 7 to 25 are known: export it with opset_version=17")]
    Opset(i64),
    /// The model's input is not one image.
    #[error("input {name}: {problem}")]
    Input {
        /// The input's name.
        name: String,
        /// The problem.
        problem: String,
    },
    /// The model's output is not one row of scores.
    #[error("the model has {count} outputs ({names}); Foldnet takes networks with one row of scores: choose an output with --output-name, for example --output-name {first}", count = .0.len(), names = .0.join(", "), first = .0.first().map_or("NAME", |n| n))]
    Outputs(Vec<String>),
    /// The requested output does not exist.
    #[error("the model has no output {asked}; its outputs are {names}", names = .names.join(", "))]
    NoOutput {
        /// The requested output.
        asked: String,
        /// The existing outputs.
        names: Vec<String>,
    },
    /// A constant cannot be read.
    #[error("tensor {name}: {problem}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// The problem.
        problem: String,
    },
    /// An operator of a TFLite model is not supported in this form.
    #[error("operator {index}, {op}, which computes {output}: {problem}")]
    Operator {
        /// The operator's index in the file.
        index: usize,
        /// The operator's name in the schema.
        op: String,
        /// The tensor that it computes.
        output: String,
        /// The problem.
        problem: String,
    },
    /// An operator is not supported in this form.
    #[error("node {node}, operator {op} (opset {opset}): {problem}")]
    Node {
        /// The node's name, or that of its output.
        node: String,
        /// The operator, with its domain unless it is ONNX's own.
        op: String,
        /// The model's opset.
        opset: i64,
        /// The problem.
        problem: String,
    },
}
