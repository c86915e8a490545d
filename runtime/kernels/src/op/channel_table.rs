//! A function of one value per channel, as lookup tables: PReLU with a slope per channel.
//!
//! `y[c] = table[c][x[c] + 128]`. The tables include the scales of input and output, so no rounding remains to be
//! defined.

#[cfg(feature = "alloc")]
use alloc::string::ToString;
#[cfg(feature = "network")]
use alloc::{format, string::String, vec, vec::Vec};
use core::ops::Range;

use super::{Operation, table};
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

/// See the module; `x` and `y` are NHWC with `tables.len()` channels.
pub fn channel_table(tables: &[[i8; 256]], x: &[i8], y: &mut [i8]) {
    for (i, (&x, y)) in x.iter().zip(y).enumerate() {
        *y = table::look_up(&tables[i % tables.len()], x);
    }
}

record! {
    /// The lookup tables in a plan.
    pub struct ChannelTableRecord {
        /// Shape of input and output.
        pub shape: Shape,
        /// 256 values of int8 for each channel.
        pub blob: Blob,
        /// Input.
        pub x: u32,
        /// Output.
        pub y: u32,
    }
}

impl Operation for ChannelTableRecord {
    const CODE: u32 = 10;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        table::check(plan, self.shape, (self.blob, self.shape.c), self.x, self.y)
    }

    fn tasks(&self, _set: &dyn KernelSet) -> usize {
        self.shape.h
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, rows: Range<usize>) {
        let tables = table::tables(self.blob, on.plan());
        // SAFETY: the record was checked, so there is a table for each channel; the rows belong to this thread.
        unsafe {
            on.set().channel_table(self.shape, tables, on.at(self.x), on.at(self.y), rows);
        }
    }

    #[cfg(feature = "alloc")]
    fn blob(&mut self) -> Option<&mut Blob> {
        Some(&mut self.blob)
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        Outline::simple("channel table", self.shape.to_string(), [self.x].into(), self.y, self.shape)
    }
}

/// The lookup tables in a network.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelTable {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output.
    pub y: TensorId,
    /// For each channel, the output for each of −128…127.
    pub tables: Vec<[i8; 256]>,
}

#[cfg(feature = "network")]
impl Operator for ChannelTable {
    type Record = ChannelTableRecord;
    const WORD: &'static str = "channel_table";
    const FORMAT: u32 = 4;
    // `first` is the start of a channel's table, plus 128.
    const FRAGMENT: &'static str = "\
fragment foldnet_channel_table(x: tensor<scalar>, tables: tensor<scalar>, first: tensor<scalar>,
    name: string, scale: scalar, zero: scalar)
-> (y: tensor<scalar>)
{
    index = tract_core_cast(tract_core_cast(x, to = \"f32\") + first, to = \"i64\");
    y = tract_core_gather(tables, index, axis = 0);
}

";

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
        let shape = network.shape(self.x);
        if self.tables.len() != shape.c {
            let (found, expected) = (self.tables.len(), shape.c);
            return Err(StepError::Length { what: "tables", found, expected });
        }
        same_shape("the output", network.shape(self.y), shape)
    }

    fn compile(&self, to: &mut Compiler<'_>) -> ChannelTableRecord {
        let bytes: Vec<u8> = self.tables.iter().flatten().map(|&v| v as u8).collect();
        ChannelTableRecord {
            shape: to.network.shape(self.x),
            blob: to.blob(&bytes),
            x: to.at(self.x),
            y: to.at(self.y),
        }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        let values: Vec<i8> = self.tables.iter().flatten().copied().collect();
        to.variable(&format!("tables_{i}"), &[values.len()], Values::I8(values));
        to.per_channel(&format!("first_{i}"), &first(self.tables.len()));
        to.line(&format!(
            "{} = foldnet_channel_table({}, tables_{i}, first_{i}, name = {}, scale = {}, zero = {})",
            to.tensor(self.y),
            to.tensor(self.x),
            to.quoted(&self.name),
            float(to.network.tensors[self.y].scale),
            to.zero(self.y)
        ));
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_channel_table"] = words(chain)[..] else { return Ok(None) };
        let s = chain[0];
        let [x, tables, begin] = s.names()?;
        let x = from.tensor(s, x)?;
        let shape = from.tensors[x].shape;
        let values = from.int8s(s, tables, &[256 * shape.c])?;
        if from.floats(s, begin)? != first(shape.c) {
            return s.fail("the tables do not follow each other");
        }
        let tables = values.as_chunks().0.to_vec();
        let y = from.write(s, shape, s.number("scale")?, s.int8("zero")?)?;
        Ok(Some(Self { name: s.text("name")?.into(), x, y, tables }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, _network: &Network, values: &mut crate::network::testing::Values) {
        values.map(&[self.x], self.y, |x, y| channel_table(&self.tables, x[0], y));
    }

    #[cfg(any(test, feature = "testing"))]
    fn example() -> Option<Network> {
        use crate::network::Tensor;
        use crate::network::testing::{begin, end};

        let mut network = begin();
        let x = network.tensors.len() - 1;
        let shape = network.shape(x);
        network.tensors.push(Tensor { name: "bent".into(), shape, scale: 0.03, zero: 5 });
        // Negative values are multiplied by a half in the first channel, a third in the second, ….
        let slope = |c: usize, q: i32| if q < 10 { (q - 10) / (c as i32 + 2) } else { q - 10 };
        let table = |c| core::array::from_fn(|i| (slope(c, i as i32 - 128) + 5).min(127) as i8);
        let tables = (0..shape.c).map(table).collect();
        let name = "prelu".into();
        network.steps.push(super::Step::ChannelTable(Self { name, x, y: x + 1, tables }));
        Some(end(network))
    }
}

/// Returns the start of each channel's table, plus 128.
#[cfg(feature = "network")]
fn first(channels: usize) -> Vec<f32> {
    (0..channels).map(|c| (256 * c + 128) as f32).collect()
}
