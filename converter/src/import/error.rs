//! Why an ONNX file cannot be read.

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
    /// The model needs operators of a version that is not known here.
    #[error("the model is written in opset {0}; opsets 7 to 21 are known: export it with opset_version=17")]
    Opset(i64),
    /// The model's input is not one picture.
    #[error("input {name}: {problem}")]
    Input {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The model's output is not one row of scores.
    #[error("the model has {count} outputs ({names}); Foldnet takes classifiers with one row of scores, not detectors or networks with several heads", count = .0.len(), names = .0.join(", "))]
    Outputs(Vec<String>),
    /// A constant cannot be read.
    #[error("tensor {name}: {problem}")]
    Tensor {
        /// Its name.
        name: String,
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
