//! The quantized network, which the converter creates and the runtime compiles.
//!
//! It is a list of fused int8 steps in execution order over named tensors, with exactly the arithmetic of
//! [`crate::reference`]. One step writes each tensor before others read it. Weights are OHWI here; in the
//! archive's files they are OIHW, as NNEF requires.
//!
//! - [`Step`] is one step; each operator's file in [`crate::op`] defines its own.
//! - [`GraphWriter`] and [`GraphReader`] write and read `graph.nnef` for these files.
//! - [`Compiler`] compiles steps to a plan's records.

mod compiler;
mod error;
mod graph;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

pub use compiler::Compiler;
pub use error::{GraphError, NetworkError, StepError};
pub(crate) use error::{finite, range, same_shape};
pub use graph::{Argument, Files, GraphReader, GraphWriter, Statement, Values};
pub(crate) use graph::{float, pads, words};

use crate::op::{Logits, Step};
use crate::quant::Requant;
use crate::shape::Shape;

/// The oldest version of the archive format that is read and written.
pub const OLDEST_FORMAT: u32 = 2;

/// An index into [`Network::tensors`].
pub type TensorId = usize;

/// One activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The unique name; from the source model if it has one. Letters, digits and underscores.
    pub name: String,
    /// The shape; the batch is 1.
    pub shape: Shape,
    /// The scale: the real value is (q − zero) · scale. For the logits (f32) the scale is 1.
    pub scale: f32,
    /// The zero point; for the pixels see [`Network::pixel_zero`].
    pub zero: i8,
}

/// The tensor that contains the network's input.
pub const PIXELS: TensorId = 0;

/// A quantized network. Call [`Network::validate`] before using one that comes from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The activations; number [`PIXELS`] is the input: u8 RGB (or grey) pixels, HWC, with the value `p − 128`.
    pub tensors: Vec<Tensor>,
    /// The int8 value per input channel that represents zero, which is the value of padding.
    pub pixel_zero: Vec<i8>,
    /// The steps in execution order.
    pub steps: Vec<Step>,
    /// The f32 tensor that contains the result, `1×1×classes`.
    pub logits: TensorId,
    /// The function applied to the logits.
    pub activation: Activation,
}

/// The function after the last layer, in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// No function: the network's output is the logits.
    None,
    /// exp(x) / Σ exp(x).
    Softmax,
    /// 1 / (1 + exp(−x)), for each class separately.
    Sigmoid,
}

impl Activation {
    /// Applies the function in place.
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Softmax => {
                let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                values.iter_mut().for_each(|v| *v = (*v - max).exp());
                let sum: f32 = values.iter().sum();
                values.iter_mut().for_each(|v| *v /= sum);
            }
            Self::Sigmoid => values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
        }
    }
}

/// An int8 output of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    /// The tensor written.
    pub tensor: TensorId,
    /// The lowest value written: the zero point after a ReLU, otherwise −128.
    pub lo: i8,
    /// The highest value written.
    pub hi: i8,
}

impl Network {
    /// Returns the oldest version of the archive format that has all of the network's steps.
    pub fn format(&self) -> u32 {
        self.steps.iter().map(|s| s.operator().format()).fold(OLDEST_FORMAT, u32::max)
    }

    /// Returns the input's shape.
    pub fn input(&self) -> Shape {
        self.tensors[PIXELS].shape
    }

    /// Returns the number of classes, or of values if the output is not classes.
    pub fn classes(&self) -> usize {
        self.tensors[self.logits].shape.len()
    }

    /// Returns the multiply-accumulates of all steps, padding included.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.macs(self)).sum()
    }

    /// Returns the number of weight and bias values.
    pub fn parameters(&self) -> usize {
        self.steps.iter().map(Step::parameters).sum()
    }

    /// Returns the shape of a tensor.
    pub fn shape(&self, tensor: TensorId) -> Shape {
        self.tensors[tensor].shape
    }

    /// Returns the zero point of a tensor.
    pub fn zero(&self, tensor: TensorId) -> i8 {
        self.tensors[tensor].zero
    }

    /// Returns rounding and range of an output.
    pub fn requant(&self, out: Out) -> Requant {
        Requant { zero: self.tensors[out.tensor].zero, lo: out.lo, hi: out.hi }
    }

    /// Checks everything on which compiling and running rely: ids, order, shapes, lengths, ranges, and that every
    /// constant is finite.
    pub fn validate(&self) -> Result<(), NetworkError> {
        if self.tensors.is_empty() || self.logits >= self.tensors.len() || self.logits == PIXELS {
            return Err(NetworkError::NoEnds);
        }
        for t in &self.tensors {
            let name = || t.name.clone();
            let bad = |error| NetworkError::Shape { tensor: name(), shape: t.shape, error };
            t.shape.validate().map_err(bad)?;
            if !(t.scale.is_finite() && t.scale > 0.0) {
                return Err(NetworkError::Scale { tensor: name(), scale: t.scale });
            }
        }
        let input = self.input();
        if input.c > 4 || self.pixel_zero.len() != input.c {
            return Err(NetworkError::Input { shape: input, zeros: self.pixel_zero.len() });
        }
        let mut written = vec![false; self.tensors.len()];
        written[PIXELS] = true;
        for (number, step) in self.steps.iter().enumerate() {
            self.check_step(step, &mut written).map_err(|problem| NetworkError::Step {
                step: number,
                name: step.name().into(),
                problem: Box::new(problem),
            })?;
        }
        if !written[self.logits] {
            return Err(NetworkError::NoLogits);
        }
        Ok(())
    }

    fn check_step(&self, step: &Step, written: &mut [bool]) -> Result<(), StepError> {
        let operator = step.operator();
        for tensor in step.inputs() {
            if !written.get(tensor).copied().unwrap_or(false) {
                return Err(StepError::NotWritten { tensor });
            }
            if tensor == self.logits || (tensor == PIXELS && !operator.reads_pixels()) {
                return Err(StepError::Reads { operator: operator.word() });
            }
        }
        for tensor in step.outputs() {
            match written.get_mut(tensor) {
                Some(w) if !*w => *w = true,
                Some(_) => return Err(StepError::WrittenTwice { tensor }),
                None => return Err(StepError::NoTensor { tensor }),
            }
            let good = match operator.logits() {
                Logits::Never => tensor != self.logits,
                Logits::Maybe => true,
                Logits::Always => tensor == self.logits,
            };
            if !good {
                return Err(StepError::Writes { operator: operator.word() });
            }
        }
        step.check(self)
    }
}
