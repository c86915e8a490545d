//! The errors in a network and in the graph from which it is read.

use alloc::boxed::Box;
use alloc::string::String;

use super::{Out, TensorId};
use crate::shape::{Shape, ShapeError};

/// An error in a network.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum NetworkError {
    /// A step is not valid.
    #[error("step {step} ({name}): {problem}")]
    Step {
        /// The step's number, from 0.
        step: usize,
        /// The step's name.
        name: String,
        /// The step's error.
        problem: Box<StepError>,
    },
    /// The network has no tensor for the pixels, or none for the logits.
    #[error("the network has no input or no output")]
    NoEnds,
    /// No step writes the logits.
    #[error("no step writes the output")]
    NoLogits,
    /// A tensor's shape is out of range.
    #[error("tensor {tensor} of {shape}: {error}")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// The tensor's shape.
        shape: Shape,
        /// The reason.
        error: ShapeError,
    },
    /// A tensor's scale is zero, negative or not finite.
    #[error("tensor {tensor}: scale {scale} is not a positive number")]
    Scale {
        /// The tensor's name.
        tensor: String,
        /// The tensor's scale.
        scale: f32,
    },
    /// The input has more than four channels, or another number of zero points.
    #[error("an input of {shape} with {zeros} zero points")]
    Input {
        /// The input's shape.
        shape: Shape,
        /// The number of zero points.
        zeros: usize,
    },
}

/// An error in a step.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum StepError {
    /// The step reads a tensor before it is written.
    #[error("reads tensor {tensor}, which no earlier step writes")]
    NotWritten {
        /// The tensor.
        tensor: TensorId,
    },
    /// The step reads the pixels or the logits, but its operator cannot.
    #[error(
        "`{operator}` reads the pixels or the logits; only convolutions read pixels, and nothing reads logits"
    )]
    Reads {
        /// The operator.
        operator: &'static str,
    },
    /// The step writes a tensor that another step has written.
    #[error("writes tensor {tensor} a second time")]
    WrittenTwice {
        /// The tensor.
        tensor: TensorId,
    },
    /// The step writes a tensor that does not exist.
    #[error("writes tensor {tensor}, which does not exist")]
    NoTensor {
        /// The tensor.
        tensor: TensorId,
    },
    /// The step writes the logits, but its operator cannot, or writes something else, but must write the logits.
    #[error(
        "`{operator}` writes what it must not: convolutions, dense layers and `dequantize` write the logits, \
         and `dequantize` writes nothing else"
    )]
    Writes {
        /// The operator.
        operator: &'static str,
    },
    /// The description of the step is not valid.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor has another shape than the operator requires.
    #[error("{what} has shape {found}, expected {expected}")]
    Tensor {
        /// The tensor's role.
        what: &'static str,
        /// The tensor's shape.
        found: Shape,
        /// The required shape.
        expected: Shape,
    },
    /// A list of constants has the wrong length.
    #[error("{found} values of {what}, expected {expected}")]
    Length {
        /// The kind of constants.
        what: &'static str,
        /// The number of values found.
        found: usize,
        /// The required number.
        expected: usize,
    },
    /// A constant is infinite or not a number.
    #[error("{what} of channel {channel} is {value}")]
    NotFinite {
        /// The kind of constant.
        what: &'static str,
        /// The constant's channel.
        channel: usize,
        /// The constant's value.
        value: f32,
    },
    /// The lowest value of an output's range is above the highest.
    #[error("an empty range {lo}…{hi}")]
    Range {
        /// The lowest value.
        lo: i8,
        /// The highest value.
        hi: i8,
    },
    /// Any other error, particular to an operator.
    #[error("{0}")]
    Operator(&'static str),
}

/// Checks that `values` has one finite value for each of `n` channels.
pub(crate) fn finite(what: &'static str, values: &[f32], n: usize) -> Result<(), StepError> {
    if values.len() != n {
        return Err(StepError::Length { what, found: values.len(), expected: n });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(channel) => Err(StepError::NotFinite { what, channel, value: values[channel] }),
        None => Ok(()),
    }
}

/// Checks that the range of an output is not empty.
pub(crate) fn range(out: Out) -> Result<(), StepError> {
    if out.lo > out.hi { Err(StepError::Range { lo: out.lo, hi: out.hi }) } else { Ok(()) }
}

/// Checks that a tensor has the expected shape.
pub(crate) fn same_shape(what: &'static str, found: Shape, expected: Shape) -> Result<(), StepError> {
    if found == expected { Ok(()) } else { Err(StepError::Tensor { what, found, expected }) }
}

/// An error in the graph or its tensors.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The text differs from the text of this format version.
    #[error("graph.nnef, line {line}: {message}")]
    Text {
        /// The line, from 1.
        line: usize,
        /// The problem.
        message: String,
    },
    /// A tensor file is missing, truncated, or of another type or shape.
    #[error("{name}.dat: {message}")]
    Tensor {
        /// The file's label.
        name: String,
        /// The problem.
        message: String,
    },
    /// The text is valid, but the network is not.
    #[error("the network is not valid: {0}")]
    Network(#[from] NetworkError),
}
