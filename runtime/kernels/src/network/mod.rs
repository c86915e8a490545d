//! The quantized network: what the converter makes and the runtime compiles.
//!
//! A list of fused int8 steps in execution order over named tensors, arithmetic exactly as in
//! [`crate::reference`]. Each tensor is written by one step, before it is read. Weights are OHWI here; in
//! the archive's files they are OIHW, as NNEF wants them.
//!
//! - [`Step`] is one step; each operator's file in [`crate::op`] says what it is.
//! - [`GraphWriter`] and [`GraphReader`] are what those files say it with in `graph.nnef`.
//! - [`Compiler`] is what they make a plan's record with.

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

/// Index into [`Network::tensors`].
pub type TensorId = usize;

/// One activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Unique; from the source model where it has one. Letters, digits and underscores.
    pub name: String,
    /// Shape, batch 1.
    pub shape: Shape,
    /// Real value = (q − zero) · scale. For the logits (f32) the scale is 1.
    pub scale: f32,
    /// Zero point; for the pixels see [`Network::pixel_zero`].
    pub zero: i8,
}

/// The tensor that holds the network's input.
pub const PIXELS: TensorId = 0;

/// A quantized network. [`Network::validate`] must pass before anything else is done with one that
/// comes from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Activations; number [`PIXELS`] is the input: u8 RGB (or grey) pixels, HWC, standing for
    /// `p − 128`.
    pub tensors: Vec<Tensor>,
    /// The int8 value per input channel that stands for zero: what padding looks like.
    pub pixel_zero: Vec<i8>,
    /// In execution order.
    pub steps: Vec<Step>,
    /// The f32 tensor that holds the result, `1×1×classes`.
    pub logits: TensorId,
    /// What is applied to the logits.
    pub activation: Activation,
}

/// The function behind the last layer, in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing: the network's output is the logits.
    None,
    /// exp(x) / Σ exp(x).
    Softmax,
    /// 1 / (1 + exp(−x)), each class by itself.
    Sigmoid,
}

impl Activation {
    /// Applies it in place.
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
    /// Lowest value written: the zero point after a ReLU, else −128.
    pub lo: i8,
    /// Highest value written.
    pub hi: i8,
}

impl Network {
    /// The oldest version of the archive format that has all of its steps.
    pub fn format(&self) -> u32 {
        self.steps.iter().map(|s| s.operator().format()).fold(OLDEST_FORMAT, u32::max)
    }

    /// The input's shape.
    pub fn input(&self) -> Shape {
        self.tensors[PIXELS].shape
    }

    /// Number of classes, or of values where the network ends in something else.
    pub fn classes(&self) -> usize {
        self.tensors[self.logits].shape.len()
    }

    /// Multiply-accumulates of all steps, padding included.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|s| s.macs(self)).sum()
    }

    /// Weight and bias values.
    pub fn parameters(&self) -> usize {
        self.steps.iter().map(Step::parameters).sum()
    }

    /// Shape of a tensor.
    pub fn shape(&self, tensor: TensorId) -> Shape {
        self.tensors[tensor].shape
    }

    /// Zero point of a tensor.
    pub fn zero(&self, tensor: TensorId) -> i8 {
        self.tensors[tensor].zero
    }

    /// Rounding and range for an output.
    pub fn requant(&self, out: Out) -> Requant {
        Requant { zero: self.tensors[out.tensor].zero, lo: out.lo, hi: out.hi }
    }

    /// Checks everything that compiling and running relies on: ids, order, shapes, lengths, ranges,
    /// and that every constant is finite.
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
