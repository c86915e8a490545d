//! Multiplies each channel by its own activation: the last part of squeeze-and-excitation.
//!
//! `y[c] = clamp(rne(f32(x[c] − x_zero)·(f32(gate[c] − gate_zero)·multiplier)) + z)`. The inner product is rounded
//! to f32 first, so that it can be computed once per channel.

#[cfg(feature = "alloc")]
use alloc::string::ToString;
#[cfg(feature = "network")]
use alloc::{format, string::String, vec, vec::Vec};
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
use crate::record::{Checker, Fault, Field, Machine, Reader, Writer, apart, record};
use crate::set::KernelSet;
use crate::shape::Shape;

/// The scalars of a gating.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleScalars {
    /// Zero point of the input.
    pub x_zero: i8,
    /// Zero point of the gates.
    pub gate_zero: i8,
    /// `s_x·s_gate / s_y`.
    pub multiplier: f32,
    /// Rounding and range of the output.
    pub y: Requant,
}

/// See the module; `x` and `y` are NHWC with `gate.len()` channels.
pub fn scale(scalars: &ScaleScalars, x: &[i8], gate: &[i8], y: &mut [i8]) {
    for (i, (&x, y)) in x.iter().zip(y).enumerate() {
        let gain = gain(scalars, gate[i % gate.len()]);
        *y = scalars.y.apply((i32::from(x) - i32::from(scalars.x_zero)) as f32 * gain);
    }
}

/// Returns the factor of a gate's value.
pub fn gain(scalars: &ScaleScalars, gate: i8) -> f32 {
    (i32::from(gate) - i32::from(scalars.gate_zero)) as f32 * scalars.multiplier
}

impl Field for ScaleScalars {
    fn write(&self, to: &mut Writer<'_>) {
        [self.x_zero, self.gate_zero, 0, 0].write(to);
        self.multiplier.write(to);
        self.y.write(to);
    }
    fn read(from: &mut Reader<'_>) -> Self {
        let [x_zero, gate_zero, _, _] = Field::read(from);
        Self { x_zero, gate_zero, multiplier: Field::read(from), y: Field::read(from) }
    }
}

record! {
    /// A gating in a plan. Needs 8 bytes of scratch per channel.
    pub struct ScaleRecord {
        /// Shape of input and output.
        pub shape: Shape,
        /// Its scalars.
        pub scalars: ScaleScalars,
        /// Input.
        pub x: u32,
        /// The gates, `1×1×c`.
        pub gate: u32,
        /// Output.
        pub y: u32,
    }
}

impl Operation for ScaleRecord {
    const CODE: u32 = 7;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.shape.validate()?;
        plan.scalars(&[self.scalars.multiplier], &[self.scalars.y])?;
        if 8 * self.shape.c > plan.scratch as usize {
            return Err(Fault::Scratch);
        }
        plan.all((|| {
            let gate = plan.tensor(self.gate, Shape::new(1, 1, self.shape.c))?;
            let (x, y) = (plan.tensor(self.x, self.shape)?, plan.tensor(self.y, self.shape)?);
            Some(apart(x, y) && apart(gate, y))
        })())
    }

    fn tasks(&self, _set: &dyn KernelSet) -> usize {
        self.shape.h
    }

    unsafe fn run(&self, on: &Machine<'_>, thread: usize, rows: Range<usize>) {
        let (x, gate, y) = (on.at(self.x), on.at(self.gate), on.at(self.y));
        // SAFETY: the record was checked; the rows and the scratch belong to this thread.
        unsafe { on.set().scale(self.shape, &self.scalars, x, gate, y, on.scratch(thread), rows) }
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        Outline::simple("scale", self.shape.to_string(), [self.x, self.gate].into(), self.y, self.shape)
    }
}

/// A gating in a network.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// One value per channel, `1×1×c`.
    pub gate: TensorId,
    /// `s_x·s_gate/s_y`.
    pub multiplier: f32,
    /// Output.
    pub y: Out,
}

#[cfg(feature = "network")]
impl Operator for Scale {
    type Record = ScaleRecord;
    const WORD: &'static str = "scale";

    fn name(&self) -> &str {
        &self.name
    }
    fn inputs(&self) -> Vec<TensorId> {
        vec![self.x, self.gate]
    }
    fn outputs(&self) -> Vec<TensorId> {
        vec![self.y.tensor]
    }
    fn tensors(&mut self) -> Vec<&mut TensorId> {
        vec![&mut self.x, &mut self.gate, &mut self.y.tensor]
    }

    fn check(&self, network: &Network) -> Result<(), StepError> {
        let x = network.shape(self.x);
        same_shape("the output", network.shape(self.y.tensor), x)?;
        same_shape("the gates", network.shape(self.gate), Shape::new(1, 1, x.c))?;
        finite("multiplier", &[self.multiplier], 1)?;
        range(self.y)
    }

    fn compile(&self, to: &mut Compiler<'_>) -> ScaleRecord {
        let shape = to.network.shape(self.x);
        to.need_scratch(8 * shape.c);
        ScaleRecord {
            shape,
            scalars: self.scalars(to.network),
            x: to.at(self.x),
            gate: to.at(self.gate),
            y: to.at(self.y.tensor),
        }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        to.line(&format!(
            "v_{i} = foldnet_gated({}, {}, name = {}, zero = {}, gate_zero = {}, multiplier = {})",
            to.tensor(self.x),
            to.tensor(self.gate),
            to.quoted(&self.name),
            to.zero(self.x),
            to.zero(self.gate),
            float(self.multiplier)
        ));
        to.round(&format!("v_{i}"), self.y);
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_gated", "foldnet_round"] = words(chain)[..] else { return Ok(None) };
        let s = chain[0];
        let [x, gate] = s.names()?;
        let (x, gate) = (from.tensor(s, x)?, from.tensor(s, gate)?);
        from.same_zero(s, x, "zero")?;
        from.same_zero(s, gate, "gate_zero")?;
        let (name, multiplier) = (s.text("name")?.into(), s.number("multiplier")?);
        Ok(Some(Self { name, x, gate, multiplier, y: from.round(chain[1], from.tensors[x].shape)? }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let scalars = self.scalars(network);
        values.map(&[self.x, self.gate], self.y.tensor, |x, y| scale(&scalars, x[0], x[1], y));
    }
}

#[cfg(feature = "network")]
impl Scale {
    fn scalars(&self, network: &Network) -> ScaleScalars {
        ScaleScalars {
            x_zero: network.zero(self.x),
            gate_zero: network.zero(self.gate),
            multiplier: self.multiplier,
            y: network.requant(self.y),
        }
    }
}
