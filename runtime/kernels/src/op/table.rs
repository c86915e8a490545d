//! A function of one value, as a lookup table: sigmoid, tanh, and any other function between two tensors.
//!
//! `y = table[x + 128]`. The table includes the scales of input and output, so no rounding remains to be defined.

#[cfg(feature = "alloc")]
use alloc::string::ToString;
#[cfg(feature = "network")]
use alloc::{boxed::Box, format, string::String, vec, vec::Vec};
use core::ops::Range;

use super::Operation;
#[cfg(feature = "network")]
use super::Operator;
#[cfg(feature = "alloc")]
use super::Outline;
#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Statement, StepError, TensorId, Values, float,
    same_shape, words,
};
use crate::record::{Blob, Checker, Fault, Machine, record};
use crate::set::KernelSet;
use crate::shape::Shape;

/// See the module.
pub fn table(table: &[i8; 256], x: &[i8], y: &mut [i8]) {
    for (&x, y) in x.iter().zip(y) {
        *y = look_up(table, x);
    }
}

/// Returns the table's value for `x`.
pub(super) fn look_up(table: &[i8; 256], x: i8) -> i8 {
    table[(i32::from(x) + 128) as usize]
}

/// Checks a record with tables in its constants, given as `(constants, number of tables)`.
pub(super) fn check(
    plan: &Checker<'_>,
    shape: Shape,
    (blob, tables): (Blob, usize),
    x: u32,
    y: u32,
) -> Result<(), Fault> {
    shape.validate()?;
    plan.constants(blob, 256 * tables)?;
    plan.two((x, shape), (y, shape))
}

/// Returns the tables in a record's constants.
pub(super) fn tables(blob: Blob, plan: &[u8]) -> &[[i8; 256]] {
    let (tables, _) = blob.get(plan).unwrap_or_default().as_chunks::<256>();
    // SAFETY: an i8 is a u8 of the same bits.
    unsafe { core::slice::from_raw_parts(tables.as_ptr().cast(), tables.len()) }
}

/// The bytes of a tensor that a thread takes at a time; preparing a table costs as much as 256 bytes.
pub(super) const PIECE: usize = 8192;

/// Returns the bytes of a tensor that belong to these tasks.
pub(super) fn piece(set: &dyn KernelSet, shape: Shape, tasks: Range<usize>) -> Range<usize> {
    tasks.start * PIECE..(tasks.end * PIECE).min(set.tensor_bytes(shape))
}

record! {
    /// A table in a plan.
    pub struct TableRecord {
        /// Shape of input and output.
        pub shape: Shape,
        /// 256 values of int8.
        pub blob: Blob,
        /// Input.
        pub x: u32,
        /// Output.
        pub y: u32,
    }
}

impl Operation for TableRecord {
    const CODE: u32 = 6;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        check(plan, self.shape, (self.blob, 1), self.x, self.y)
    }

    fn tasks(&self, set: &dyn KernelSet) -> usize {
        set.tensor_bytes(self.shape).div_ceil(PIECE)
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, tasks: Range<usize>) {
        // `check` has found the table.
        let [table] = tables(self.blob, on.plan()) else { return };
        let bytes = piece(on.set(), self.shape, tasks);
        // SAFETY: the record was checked, and the bytes belong to this thread.
        unsafe { on.set().table(table, on.at(self.x), on.at(self.y), bytes) }
    }

    #[cfg(feature = "alloc")]
    fn blob(&mut self) -> Option<&mut Blob> {
        Some(&mut self.blob)
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        Outline::simple("table", self.shape.to_string(), [self.x].into(), self.y, self.shape)
    }
}

/// A table in a network.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output.
    pub y: TensorId,
    /// The output for each of −128…127.
    pub table: Box<[i8; 256]>,
}

#[cfg(feature = "network")]
impl Operator for Table {
    type Record = TableRecord;
    const WORD: &'static str = "table";

    fn name(&self) -> &str {
        &self.name
    }
    fn inputs(&self) -> Vec<TensorId> {
        vec![self.x]
    }
    fn outputs(&self) -> Vec<TensorId> {
        vec![self.y]
    }
    fn tensors(&mut self) -> Vec<&mut TensorId> {
        vec![&mut self.x, &mut self.y]
    }

    fn check(&self, network: &Network) -> Result<(), StepError> {
        same_shape("the output", network.shape(self.y), network.shape(self.x))
    }

    fn compile(&self, to: &mut Compiler<'_>) -> TableRecord {
        TableRecord {
            shape: to.network.shape(self.x),
            blob: to.blob(&self.table.map(|v| v as u8)),
            x: to.at(self.x),
            y: to.at(self.y),
        }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        to.variable(&format!("table_{i}"), &[256], Values::I8(self.table.to_vec()));
        to.line(&format!(
            "{} = foldnet_table({}, table_{i}, name = {}, scale = {}, zero = {})",
            to.tensor(self.y),
            to.tensor(self.x),
            to.quoted(&self.name),
            float(to.network.tensors[self.y].scale),
            to.zero(self.y)
        ));
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_table"] = words(chain)[..] else { return Ok(None) };
        let s = chain[0];
        let [x, table] = s.names()?;
        let x = from.tensor(s, x)?;
        let Ok(table) = from.int8s(s, table, &[256])?.into_boxed_slice().try_into() else {
            return s.fail("a table has 256 values");
        };
        let y = from.write(s, from.tensors[x].shape, s.number("scale")?, s.int8("zero")?)?;
        Ok(Some(Self { name: s.text("name")?.into(), x, y, table }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, _network: &Network, values: &mut crate::network::testing::Values) {
        values.map(&[self.x], self.y, |x, y| table(&self.table, x[0], y));
    }
}
