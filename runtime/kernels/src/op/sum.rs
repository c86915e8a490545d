//! Sums several int8 tensors of equal shape, if one value is stored in more than one tensor.
//!
//! `y = clamp(rne(Σ (f32(x) − zero)·multiplier) + z)`; each product is rounded, then they are added from the first
//! to the last.
//!
//! A 16-bit value is stored in two int8 tensors: its quotient and its remainder by 256. Convolutions read one
//! after the other, and this operator adds their results.

#[cfg(feature = "alloc")]
use alloc::string::ToString;
#[cfg(feature = "network")]
use alloc::{format, string::String, vec::Vec};
use core::ops::Range;

use super::Operation;
#[cfg(feature = "network")]
use super::Operator;
#[cfg(feature = "alloc")]
use super::Outline;
use super::table::{PIECE, piece};
#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Out, Statement, StepError, TensorId, finite,
    range, same_shape, words,
};
use crate::quant::Requant;
use crate::record::{Checker, Fault, Field, Machine, Reader, Writer, apart};
use crate::set::KernelSet;
use crate::shape::Shape;

/// One tensor of a sum, `(f32(x) − zero)·multiplier`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SumTerm {
    /// The value subtracted first; it need not be a whole number, so that it can include a constant of the sum.
    pub zero: f32,
    /// The factor that converts to the unit of the result.
    pub multiplier: f32,
}

/// The largest number of tensors in one sum.
pub const MAX_TERMS: usize = 6;

/// See the module; one slice of values for each term.
pub fn sum(terms: &[SumTerm], out: Requant, x: &[&[i8]], y: &mut [i8]) {
    for (i, y) in y.iter_mut().enumerate() {
        let mut v = 0.0;
        for (k, (term, x)) in terms.iter().zip(x).enumerate() {
            let product = (f32::from(x[i]) - term.zero) * term.multiplier;
            v = if k == 0 { product } else { v + product };
        }
        *y = out.apply(v);
    }
}

/// A sum in a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SumRecord {
    /// Shape of all tensors.
    pub shape: Shape,
    /// Rounding and range of the output.
    pub out: Requant,
    /// The number of `terms` in use.
    pub count: u32,
    /// Output.
    pub y: u32,
    /// The terms, one per tensor.
    pub terms: [SumTerm; MAX_TERMS],
    /// The tensors.
    pub x: [u32; MAX_TERMS],
}

impl Field for SumRecord {
    fn write(&self, to: &mut Writer<'_>) {
        self.shape.write(to);
        self.out.write(to);
        self.count.write(to);
        self.y.write(to);
        for (term, x) in self.terms.iter().zip(self.x) {
            term.zero.write(to);
            term.multiplier.write(to);
            x.write(to);
        }
    }
    fn read(from: &mut Reader<'_>) -> Self {
        let (shape, out) = (Field::read(from), Field::read(from));
        let (count, y) = (Field::read(from), Field::read(from));
        let (mut terms, mut x) = ([SumTerm::default(); MAX_TERMS], [0; MAX_TERMS]);
        for (term, x) in terms.iter_mut().zip(&mut x) {
            *term = SumTerm { zero: Field::read(from), multiplier: Field::read(from) };
            *x = Field::read(from);
        }
        Self { shape, out, count, y, terms, x }
    }
}

impl SumRecord {
    /// Returns the terms in use, or `None` if the count is too large.
    fn terms(&self) -> Option<(&[SumTerm], &[u32])> {
        let count = self.count as usize;
        Some((self.terms.get(..count)?, self.x.get(..count)?))
    }
}

impl Operation for SumRecord {
    const CODE: u32 = 9;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.shape.validate()?;
        let Some((terms @ [_, ..], x)) = self.terms() else { return Err(Fault::Scalar) };
        terms.iter().try_for_each(|t| plan.scalars(&[t.zero, t.multiplier], &[self.out]))?;
        plan.all((|| {
            let y = plan.tensor(self.y, self.shape)?;
            x.iter().try_fold(true, |all, &x| Some(all && apart(plan.tensor(x, self.shape)?, y)))
        })())
    }

    fn tasks(&self, set: &dyn KernelSet) -> usize {
        set.tensor_bytes(self.shape).div_ceil(PIECE)
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, tasks: Range<usize>) {
        // `check` has accepted the count.
        let Some((terms, _)) = self.terms() else { return };
        // Values after the last term are not read.
        let x = self.x.map(|x| on.at(x).cast_const());
        let bytes = piece(on.set(), self.shape, tasks);
        // SAFETY: the record was checked, and the bytes belong to this thread.
        unsafe { on.set().sum(terms, self.out, &x, on.at(self.y), bytes) }
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        let reads = self.terms().map_or(&[][..], |t| t.1);
        Outline::simple("sum", self.shape.to_string(), reads.to_vec(), self.y, self.shape)
    }
}

/// A sum in a network.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// The layer's name in the source model.
    pub name: String,
    /// 1 to [`MAX_TERMS`].
    pub terms: Vec<Term>,
    /// Output.
    pub y: Out,
}

/// A tensor of a [`Sum`].
#[cfg(feature = "network")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The tensor.
    pub x: TensorId,
    /// The value subtracted from the tensor's values: its zero point, if the sum has no constant.
    pub zero: f32,
    /// `s_x/s_y`.
    pub multiplier: f32,
}

#[cfg(feature = "network")]
impl Term {
    fn read(s: &Statement<'_>, x: &str, from: &GraphReader<'_>) -> Result<Self, GraphError> {
        Ok(Self { x: from.tensor(s, x)?, zero: s.number("zero")?, multiplier: s.number("multiplier")? })
    }

    fn scalars(&self) -> SumTerm {
        SumTerm { zero: self.zero, multiplier: self.multiplier }
    }
}

#[cfg(feature = "network")]
impl Operator for Sum {
    type Record = SumRecord;
    const WORD: &'static str = "sum";
    const FORMAT: u32 = 3;

    fn name(&self) -> &str {
        &self.name
    }
    fn inputs(&self) -> Vec<TensorId> {
        self.terms.iter().map(|t| t.x).collect()
    }
    fn outputs(&self) -> Vec<TensorId> {
        [self.y.tensor].into()
    }
    fn tensors(&mut self) -> Vec<&mut TensorId> {
        self.terms.iter_mut().map(|t| &mut t.x).chain([&mut self.y.tensor]).collect()
    }

    fn check(&self, network: &Network) -> Result<(), StepError> {
        if !(1..=MAX_TERMS).contains(&self.terms.len()) {
            return Err(StepError::Operator("a sum has one to six terms"));
        }
        for term in &self.terms {
            finite("zero and multiplier", &[term.zero, term.multiplier], 2)?;
            same_shape("a term", network.shape(term.x), network.shape(self.y.tensor))?;
        }
        range(self.y)
    }

    fn compile(&self, to: &mut Compiler<'_>) -> SumRecord {
        let (mut terms, mut x) = ([SumTerm::default(); MAX_TERMS], [0; MAX_TERMS]);
        for (k, term) in self.terms.iter().enumerate() {
            terms[k] = term.scalars();
            x[k] = to.at(term.x);
        }
        SumRecord {
            shape: to.network.shape(self.y.tensor),
            out: to.network.requant(self.y),
            count: self.terms.len() as u32,
            y: to.at(self.y.tensor),
            terms,
            x,
        }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        let mut sum = String::new();
        for (k, t) in self.terms.iter().enumerate() {
            let v = if k + 1 == self.terms.len() { format!("v_{i}") } else { format!("part_{i}_{k}") };
            if k == 0 {
                to.scaled(&v, t.x, &self.name, t.zero, t.multiplier);
            } else {
                to.residual(&v, &sum, t.x, t.zero, t.multiplier);
            }
            sum = v;
        }
        to.round(&sum, self.y);
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let [first, more @ .., round] = chain else { return Ok(None) };
        let residuals = more.iter().all(|s| s.operator == "foldnet_residual");
        if words(&[first, round]) != ["foldnet_scaled", "foldnet_round"] || !residuals {
            return Ok(None);
        }
        let [x] = first.names()?;
        let mut terms = Vec::from([Term::read(first, x, from)?]);
        for s in more {
            let [_, x] = s.names()?;
            terms.push(Term::read(s, x, from)?);
        }
        let y = from.round(round, from.tensors[terms[0].x].shape)?;
        Ok(Some(Self { name: first.text("name")?.into(), terms, y }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let terms: Vec<SumTerm> = self.terms.iter().map(Term::scalars).collect();
        let out = network.requant(self.y);
        values.map(&self.inputs(), self.y.tensor, |x, y| sum(&terms, out, x, y));
    }
}
