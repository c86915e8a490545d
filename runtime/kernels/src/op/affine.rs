//! Per-channel affine map: a batch normalization that could not be folded into another layer.
//!
//! `y[c] = clamp(rne(f32(x[c] − x_zero)·gain[c] + offset[c]) + z)`: one product, then one sum.

#[cfg(feature = "alloc")]
use alloc::string::ToString;
#[cfg(feature = "network")]
use alloc::{format, string::String, vec, vec::Vec};
use core::ops::Range;
use core::slice;

use super::Operation;
#[cfg(feature = "network")]
use super::Operator;
#[cfg(feature = "alloc")]
use super::Outline;
#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Out, Statement, StepError, TensorId, finite,
    range, same_shape, words,
};
use crate::quant::Requant;
use crate::record::{Blob, Checker, Fault, Machine, record};
use crate::set::KernelSet;
use crate::shape::Shape;

/// See the module; `x` and `y` are NHWC with `gain.len()` channels.
pub fn affine(x_zero: i8, out: Requant, gain: &[f32], offset: &[f32], x: &[i8], y: &mut [i8]) {
    for (i, (&x, y)) in x.iter().zip(y).enumerate() {
        let c = i % gain.len();
        *y = out.apply((i32::from(x) - i32::from(x_zero)) as f32 * gain[c] + offset[c]);
    }
}

record! {
    /// An affine map in a plan.
    pub struct AffineRecord {
        /// Shape of input and output.
        pub shape: Shape,
        /// Zero point of the input.
        pub x_zero: i8,
        /// Rounding and range.
        pub out: Requant,
        /// `c` gains, then `c` offsets, f32.
        pub blob: Blob,
        /// Input.
        pub x: u32,
        /// Output.
        pub y: u32,
    }
}

impl Operation for AffineRecord {
    const CODE: u32 = 4;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.shape.validate()?;
        plan.scalars(&[], &[self.out])?;
        let finite = |b: &[u8]| b.try_into().is_ok_and(|b| f32::from_le_bytes(b).is_finite());
        if !plan.constants(self.blob, 8 * self.shape.c)?.chunks_exact(4).all(finite) {
            return Err(Fault::Constants);
        }
        plan.two((self.x, self.shape), (self.y, self.shape))
    }

    fn tasks(&self, _set: &dyn KernelSet) -> usize {
        self.shape.h
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, rows: Range<usize>) {
        let (shape, Some(constants)) = (self.shape, self.blob.get(on.plan())) else { return };
        let floats = constants.as_ptr().cast::<f32>();
        // SAFETY: by `check` there are 8·c bytes at a multiple of `ALIGN`; the record was checked, and the rows
        // belong to this thread.
        unsafe {
            let gain = slice::from_raw_parts(floats, shape.c);
            let offset = slice::from_raw_parts(floats.add(shape.c), shape.c);
            let (x, y) = (on.at(self.x), on.at(self.y));
            on.set().affine(shape, self.x_zero, self.out, gain, offset, x, y, rows);
        }
    }

    #[cfg(feature = "alloc")]
    fn blob(&mut self) -> Option<&mut Blob> {
        Some(&mut self.blob)
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        Outline::simple("affine", self.shape.to_string(), [self.x].into(), self.y, self.shape)
    }
}

/// An affine map in a network.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output.
    pub y: Out,
    /// The gain of each channel.
    pub gain: Vec<f32>,
    /// The offset of each channel.
    pub offset: Vec<f32>,
}

#[cfg(feature = "network")]
impl Operator for Affine {
    type Record = AffineRecord;
    const WORD: &'static str = "affine";

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
    fn parameters(&self) -> usize {
        2 * self.gain.len()
    }

    fn check(&self, network: &Network) -> Result<(), StepError> {
        let shape = network.shape(self.x);
        same_shape("the output", network.shape(self.y.tensor), shape)?;
        finite("gain", &self.gain, shape.c)?;
        finite("offset", &self.offset, shape.c)?;
        range(self.y)
    }

    fn compile(&self, to: &mut Compiler<'_>) -> AffineRecord {
        AffineRecord {
            shape: to.network.shape(self.x),
            x_zero: to.network.zero(self.x),
            out: to.network.requant(self.y),
            blob: to.floats(self.gain.iter().chain(&self.offset)),
            x: to.at(self.x),
            y: to.at(self.y.tensor),
        }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        to.per_channel(&format!("gain_{i}"), &self.gain);
        to.per_channel(&format!("offset_{i}"), &self.offset);
        let zero = f32::from(to.network.zero(self.x));
        to.scaled(&format!("scaled_{i}"), self.x, &self.name, zero, 1.0);
        to.line(&format!("v_{i} = foldnet_affine(scaled_{i}, gain_{i}, offset_{i})"));
        to.round(&format!("v_{i}"), self.y);
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_scaled", "foldnet_affine", "foldnet_round"] = words(chain)[..] else { return Ok(None) };
        let [scaled, affine, round] = [chain[0], chain[1], chain[2]];
        let [x] = scaled.names()?;
        let x = from.tensor(scaled, x)?;
        from.same_zero(scaled, x, "zero")?;
        if scaled.number::<f32>("multiplier")? != 1.0 {
            return scaled.fail("an affine map takes values that are not multiplied");
        }
        let [_, gain, offset] = affine.names()?;
        let (gain, offset) = (from.floats(affine, gain)?, from.floats(affine, offset)?);
        let y = from.round(round, from.tensors[x].shape)?;
        Ok(Some(Self { name: scaled.text("name")?.into(), x, y, gain, offset }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let (zero, out) = (network.zero(self.x), network.requant(self.y));
        values.map(&[self.x], self.y.tensor, |x, y| affine(zero, out, &self.gain, &self.offset, x[0], y));
    }
}
