//! Global average pooling.
//!
//! `y[c] = clamp(rne(f32(Σ x[c] − n·x_zero)·m) + z)`, with the sum in int32 over all n pixels.

#[cfg(feature = "alloc")]
use alloc::format;
#[cfg(feature = "network")]
use alloc::{string::String, vec, vec::Vec};
use core::ops::Range;

use super::Operation;
#[cfg(feature = "network")]
use super::Operator;
#[cfg(feature = "alloc")]
use super::Outline;
#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Out, Statement, StepError, TensorId, finite,
    float, range, same_shape, words,
};
use crate::quant::Requant;
use crate::record::{Checker, Fault, Machine, fields, record};
use crate::shape::{Shape, ShapeError};

/// The largest number of pixels for which the sum is exact in f32.
pub const MAX_PIXELS: usize = 65_536;

/// The scalars of a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPoolScalars {
    /// The zero point of the input.
    pub x_zero: i8,
    /// `s_x / (s_y · pixels)`.
    pub multiplier: f32,
    /// Rounding and range of the output.
    pub y: Requant,
}

fields!(AvgPoolScalars { x_zero, multiplier, y });

/// See the module; `x` is NHWC of `shape`, `y` has `shape.c` values.
pub fn avg_pool(shape: Shape, scalars: &AvgPoolScalars, x: &[i8], y: &mut [i8]) {
    for (c, y) in y.iter_mut().enumerate() {
        let sum: i32 =
            (0..shape.pixels()).map(|p| i32::from(x[p * shape.c + c]) - i32::from(scalars.x_zero)).sum();
        *y = scalars.y.apply(sum as f32 * scalars.multiplier);
    }
}

record! {
    /// A mean in a plan.
    pub struct AvgPoolRecord {
        /// Input shape.
        pub shape: Shape,
        /// The scalars.
        pub scalars: AvgPoolScalars,
        /// Input.
        pub x: u32,
        /// Output.
        pub y: u32,
    }
}

impl AvgPoolRecord {
    fn output(&self) -> Shape {
        Shape::new(1, 1, self.shape.c)
    }
}

impl Operation for AvgPoolRecord {
    const CODE: u32 = 3;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.shape.validate()?;
        plan.scalars(&[self.scalars.multiplier], &[self.scalars.y])?;
        if self.shape.pixels() > MAX_PIXELS {
            return Err(ShapeError::Volume.into());
        }
        plan.two((self.x, self.shape), (self.y, self.output()))
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, _tasks: Range<usize>) {
        // SAFETY: the record was checked, and there is only one task.
        unsafe { on.set().avg_pool(self.shape, &self.scalars, on.at(self.x), on.at(self.y)) }
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        let shapes = format!("{} → {}", self.shape, self.output());
        Outline::simple("mean", shapes, [self.x].into(), self.y, self.output())
    }
}

/// A mean in a network.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// The output, 1×1.
    pub y: Out,
    /// `s_x / (s_y·pixels)`.
    pub multiplier: f32,
}

#[cfg(feature = "network")]
impl Operator for AvgPool {
    type Record = AvgPoolRecord;
    const WORD: &'static str = "avg_pool";

    fn name(&self) -> &str {
        &self.name
    }
    fn inputs(&self) -> Vec<TensorId> {
        vec![self.x]
    }
    fn outputs(&self) -> Vec<TensorId> {
        vec![self.y.tensor]
    }
    fn tensors(&mut self) -> Vec<&mut TensorId> {
        vec![&mut self.x, &mut self.y.tensor]
    }

    fn check(&self, network: &Network) -> Result<(), StepError> {
        let x = network.shape(self.x);
        same_shape("the mean", network.shape(self.y.tensor), Shape::new(1, 1, x.c))?;
        if x.pixels() > MAX_PIXELS {
            return Err(ShapeError::Volume.into());
        }
        finite("multiplier", &[self.multiplier], 1)?;
        range(self.y)
    }

    fn compile(&self, to: &mut Compiler<'_>) -> AvgPoolRecord {
        AvgPoolRecord {
            shape: to.network.shape(self.x),
            scalars: self.scalars(to.network),
            x: to.at(self.x),
            y: to.at(self.y.tensor),
        }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        let x = &to.network.tensors[self.x];
        let offset = x.shape.pixels() as f32 * f32::from(x.zero);
        to.line(&format!(
            "v_{i} = foldnet_mean({}, name = {}, offset = {}, multiplier = {})",
            to.tensor(self.x),
            to.quoted(&self.name),
            float(offset),
            float(self.multiplier)
        ));
        to.round(&format!("v_{i}"), self.y);
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_mean", "foldnet_round"] = words(chain)[..] else { return Ok(None) };
        let s = chain[0];
        let [x] = s.names()?;
        let x = from.tensor(s, x)?;
        let shape = from.tensors[x].shape;
        if s.number::<f32>("offset")? != shape.pixels() as f32 * f32::from(from.tensors[x].zero) {
            return s.fail("the offset is not pixels × zero point");
        }
        let (name, multiplier) = (s.text("name")?.into(), s.number("multiplier")?);
        Ok(Some(Self { name, x, y: from.round(chain[1], Shape::new(1, 1, shape.c))?, multiplier }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let (shape, scalars) = (network.shape(self.x), self.scalars(network));
        values.map(&[self.x], self.y.tensor, |x, y| avg_pool(shape, &scalars, x[0], y));
    }
}

#[cfg(feature = "network")]
impl AvgPool {
    fn scalars(&self, network: &Network) -> AvgPoolScalars {
        let (multiplier, y) = (self.multiplier, network.requant(self.y));
        AvgPoolScalars { x_zero: network.zero(self.x), multiplier, y }
    }
}
