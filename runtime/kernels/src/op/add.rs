//! Residual addition of two int8 tensors of equal shape, if no convolution can add the residual.
//!
//! `y = clamp(rne(f32(a − a_zero)·m_a + f32(b − b_zero)·m_b) + z)`: two products, then one sum.
//!
//! The bits are those of a [`sum`](super::sum) of two terms. But kernel sets have fast code for this operator, and
//! firmware without the feature `gates` contains it.

#[cfg(feature = "alloc")]
use alloc::string::ToString;
#[cfg(feature = "network")]
use alloc::{format, string::String, vec, vec::Vec};
use core::ops::Range;

use super::Operation;
#[cfg(feature = "alloc")]
use super::Outline;
#[cfg(feature = "network")]
use super::Operator;
#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Out, Statement, StepError, TensorId, finite,
    range, same_shape, words,
};
use crate::quant::Requant;
use crate::record::{Checker, Fault, Field, Machine, Reader, Writer, apart, record};
use crate::set::KernelSet;
use crate::shape::Shape;

/// The scalars of an addition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AddScalars {
    /// The zero point of the first summand.
    pub a_zero: i8,
    /// `s_a / s_y`.
    pub a_multiplier: f32,
    /// The zero point of the second summand.
    pub b_zero: i8,
    /// `s_b / s_y`.
    pub b_multiplier: f32,
    /// Rounding and range of the output.
    pub y: Requant,
}

/// See the module.
pub fn add(s: &AddScalars, a: &[i8], b: &[i8], y: &mut [i8]) {
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        *y = add_one(s, a, b);
    }
}

/// Computes one element of [`add`].
#[inline]
pub fn add_one(s: &AddScalars, a: i8, b: i8) -> i8 {
    let a = (i32::from(a) - i32::from(s.a_zero)) as f32 * s.a_multiplier;
    let b = (i32::from(b) - i32::from(s.b_zero)) as f32 * s.b_multiplier;
    s.y.apply(a + b)
}

impl Field for AddScalars {
    fn write(&self, to: &mut Writer<'_>) {
        [self.a_zero, self.b_zero, 0, 0].write(to);
        self.a_multiplier.write(to);
        self.b_multiplier.write(to);
        self.y.write(to);
    }
    fn read(from: &mut Reader<'_>) -> Self {
        let [a_zero, b_zero, _, _] = Field::read(from);
        let (a_multiplier, b_multiplier) = (Field::read(from), Field::read(from));
        Self { a_zero, a_multiplier, b_zero, b_multiplier, y: Field::read(from) }
    }
}

record! {
    /// An addition in a plan.
    pub struct AddRecord {
        /// The shape of all three tensors.
        pub shape: Shape,
        /// The scalars.
        pub scalars: AddScalars,
        /// The first summand; may be the output.
        pub a: u32,
        /// The second summand.
        pub b: u32,
        /// The output.
        pub y: u32,
    }
}

impl Operation for AddRecord {
    const CODE: u32 = 5;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.shape.validate()?;
        let s = &self.scalars;
        plan.scalars(&[s.a_multiplier, s.b_multiplier], &[s.y])?;
        plan.all((|| {
            let tensor = |at| plan.tensor(at, self.shape);
            let (a, b, y) = (tensor(self.a)?, tensor(self.b)?, tensor(self.y)?);
            Some(apart(b, y) && (apart(a, y) || a == y))
        })())
    }

    fn tasks(&self, _set: &dyn KernelSet) -> usize {
        self.shape.h
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, rows: Range<usize>) {
        let (a, b, y) = (on.at(self.a), on.at(self.b), on.at(self.y));
        // SAFETY: the record was checked, and the rows belong to this thread.
        unsafe { on.set().add(self.shape, &self.scalars, a, b, y, rows) }
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        Outline::simple("add", self.shape.to_string(), [self.a, self.b].into(), self.y, self.shape)
    }
}

/// An addition in a network.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// The layer's name in the source model.
    pub name: String,
    /// The first summand and `s_a/s_y`.
    pub a: (TensorId, f32),
    /// The second summand and `s_b/s_y`.
    pub b: (TensorId, f32),
    /// Output.
    pub y: Out,
}

#[cfg(feature = "network")]
impl Operator for Add {
    type Record = AddRecord;
    const WORD: &'static str = "add";

    fn name(&self) -> &str {
        &self.name
    }
    fn inputs(&self) -> Vec<TensorId> {
        vec![self.a.0, self.b.0]
    }
    fn outputs(&self) -> Vec<TensorId> {
        vec![self.y.tensor]
    }
    fn tensors(&mut self) -> Vec<&mut TensorId> {
        vec![&mut self.a.0, &mut self.b.0, &mut self.y.tensor]
    }
    fn replaceable(&self) -> Vec<TensorId> {
        self.inputs()
    }

    fn check(&self, network: &Network) -> Result<(), StepError> {
        let y = network.shape(self.y.tensor);
        same_shape("the first summand", network.shape(self.a.0), y)?;
        same_shape("the second summand", network.shape(self.b.0), y)?;
        finite("multiplier", &[self.a.1, self.b.1], 2)?;
        range(self.y)
    }

    fn compile(&self, to: &mut Compiler<'_>) -> AddRecord {
        // The first summand may be the output's buffer, but not the second.
        let in_place = to.at(self.b.0) == to.at(self.y.tensor);
        let (a, b) = if in_place { (self.b, self.a) } else { (self.a, self.b) };
        AddRecord {
            shape: to.network.shape(self.y.tensor),
            scalars: Self::scalars(to.network, a, b, self.y),
            a: to.at(a.0),
            b: to.at(b.0),
            y: to.at(self.y.tensor),
        }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        let (scaled, v) = (format!("scaled_{i}"), format!("v_{i}"));
        let zero = |t| f32::from(to.network.zero(t));
        let (a_zero, b_zero) = (zero(self.a.0), zero(self.b.0));
        to.scaled(&scaled, self.a.0, &self.name, a_zero, self.a.1);
        to.residual(&v, &scaled, self.b.0, b_zero, self.b.1);
        to.round(&v, self.y);
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_scaled", "foldnet_residual", "foldnet_round"] = words(chain)[..] else { return Ok(None) };
        let [a] = chain[0].names()?;
        let [_, b] = chain[1].names()?;
        let (a, b) = (from.tensor(chain[0], a)?, from.tensor(chain[1], b)?);
        if !from.is_zero(a, chain[0].number("zero")?) || !from.is_zero(b, chain[1].number("zero")?) {
            // This is a sum, whose zeros contain a constant.
            return Ok(None);
        }
        Ok(Some(Self {
            name: chain[0].text("name")?.into(),
            a: (a, chain[0].number("multiplier")?),
            b: (b, chain[1].number("multiplier")?),
            y: from.round(chain[2], from.tensors[a].shape)?,
        }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let scalars = Self::scalars(network, self.a, self.b, self.y);
        values.map(&[self.a.0, self.b.0], self.y.tensor, |x, y| add(&scalars, x[0], x[1], y));
    }
}

#[cfg(feature = "network")]
impl Add {
    fn scalars(network: &Network, a: (TensorId, f32), b: (TensorId, f32), y: Out) -> AddScalars {
        AddScalars {
            a_zero: network.zero(a.0),
            a_multiplier: a.1,
            b_zero: network.zero(b.0),
            b_multiplier: b.1,
            y: network.requant(y),
        }
    }
}
