//! What can be wrong with a network and with the graph that it is read from.

use alloc::boxed::Box;
use alloc::string::String;

use super::{Out, TensorId};
use crate::shape::{Shape, ShapeError};

/// What is wrong with a network.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum NetworkError {
    /// A step is wrong.
    #[error("step {step} ({name}): {problem}")]
    Step {
        /// Number of the step, from 0.
        step: usize,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: Box<StepError>,
    },
    /// It has no tensor for the pixels, or none for the logits.
    #[error("the network has no input or no output")]
    NoEnds,
    /// Nothing writes the logits.
    #[error("no step writes the output")]
    NoLogits,
    /// A tensor's shape is out of range.
    #[error("tensor {tensor} of {shape}: {error}")]
    Shape {
        /// Its name.
        tensor: String,
        /// Its shape.
        shape: Shape,
        /// What is wrong.
        error: ShapeError,
    },
    /// A tensor's scale is zero, negative or not finite.
    #[error("tensor {tensor}: scale {scale} is not a positive number")]
    Scale {
        /// Its name.
        tensor: String,
        /// Its scale.
        scale: f32,
    },
    /// The input has more than four channels, or not one zero point for each.
    #[error("an input of {shape} with {zeros} zero points")]
    Input {
        /// Its shape.
        shape: Shape,
        /// How many zero points there are.
        zeros: usize,
    },
}

/// What is wrong with a step.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum StepError {
    /// It reads a tensor too early.
    #[error("reads tensor {tensor}, which no earlier step writes")]
    NotWritten {
        /// The tensor.
        tensor: TensorId,
    },
    /// It reads the pixels or the logits.
    #[error(
        "`{operator}` reads the pixels or the logits; only convolutions read pixels, and nothing reads logits"
    )]
    Reads {
        /// The operator.
        operator: &'static str,
    },
    /// It writes a tensor that has its value.
    #[error("writes tensor {tensor} a second time")]
    WrittenTwice {
        /// The tensor.
        tensor: TensorId,
    },
    /// It writes a tensor that does not exist.
    #[error("writes tensor {tensor}, which does not exist")]
    NoTensor {
        /// The tensor.
        tensor: TensorId,
    },
    /// It writes the logits, or something else.
    #[error(
        "`{operator}` writes what it must not: convolutions, dense layers and `dequantize` write the logits, \
         and `dequantize` writes nothing else"
    )]
    Writes {
        /// The operator.
        operator: &'static str,
    },
    /// Its description is not valid.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor's shape is not what the operator makes or needs.
    #[error("{what} has shape {found}, expected {expected}")]
    Tensor {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        found: Shape,
        /// What it should be.
        expected: Shape,
    },
    /// A list of constants has the wrong length.
    #[error("{found} values of {what}, expected {expected}")]
    Length {
        /// Which constants.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A constant is infinite or not a number.
    #[error("{what} of channel {channel} is {value}")]
    NotFinite {
        /// Which constant.
        what: &'static str,
        /// Its channel.
        channel: usize,
        /// Its value.
        value: f32,
    },
    /// The least value written is above the greatest.
    #[error("an empty range {lo}…{hi}")]
    Range {
        /// The least.
        lo: i8,
        /// The greatest.
        hi: i8,
    },
    /// Anything else, particular to an operator.
    #[error("{0}")]
    Operator(&'static str),
}

/// `values` has one finite value for each of `n` channels.
pub(crate) fn finite(what: &'static str, values: &[f32], n: usize) -> Result<(), StepError> {
    if values.len() != n {
        return Err(StepError::Length { what, found: values.len(), expected: n });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(channel) => Err(StepError::NotFinite { what, channel, value: values[channel] }),
        None => Ok(()),
    }
}

/// The range of an output is not empty.
pub(crate) fn range(out: Out) -> Result<(), StepError> {
    if out.lo > out.hi { Err(StepError::Range { lo: out.lo, hi: out.hi }) } else { Ok(()) }
}

/// A tensor has the shape that it should have.
pub(crate) fn same_shape(what: &'static str, found: Shape, expected: Shape) -> Result<(), StepError> {
    if found == expected { Ok(()) } else { Err(StepError::Tensor { what, found, expected }) }
}

/// What is wrong inside the graph or its tensors.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The text is not what this format version writes.
    #[error("graph.nnef, line {line}: {message}")]
    Text {
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A tensor file is missing, cut, or of another type or shape.
    #[error("{name}.dat: {message}")]
    Tensor {
        /// Its label.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The text was understood, but the network is not a sound one.
    #[error("the network is not valid: {0}")]
    Network(#[from] NetworkError),
}
