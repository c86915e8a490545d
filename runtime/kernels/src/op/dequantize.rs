//! Converts the last tensor to f32, for networks that do not end in a dense layer: `y = f32(x − zero)·scale`,
//! NHWC.

#[cfg(feature = "alloc")]
use alloc::string::ToString;
#[cfg(feature = "alloc")]
use alloc::vec;
#[cfg(feature = "network")]
use alloc::{format, string::String, vec::Vec};
use core::ops::Range;

use super::Operation;
#[cfg(feature = "network")]
use super::{Logits, Operator};
#[cfg(feature = "alloc")]
use super::{Outline, Write};
#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Statement, StepError, TensorId, same_shape,
    words,
};
use crate::record::{Checker, Fault, Machine, apart, record};
use crate::shape::Shape;

/// See the module.
pub fn dequantize(zero: i8, scale: f32, x: &[i8], y: &mut [f32]) {
    for (&x, y) in x.iter().zip(y) {
        *y = (i32::from(x) - i32::from(zero)) as f32 * scale;
    }
}

record! {
    /// The last step of a plan for a network that does not end in a convolution.
    pub struct DequantizeRecord {
        /// Shape of the input.
        pub shape: Shape,
        /// Zero point of the input.
        pub zero: i8,
        /// Scale of the input.
        pub scale: f32,
        /// Input.
        pub x: u32,
        /// Output, f32, NHWC without gaps.
        pub y: u32,
    }
}

impl Operation for DequantizeRecord {
    const CODE: u32 = 8;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.shape.validate()?;
        plan.scalars(&[self.scale], &[])?;
        plan.all((|| {
            let y = plan.span(self.y, 4 * self.shape.len())?;
            Some(apart(plan.tensor(self.x, self.shape)?, y))
        })())
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, _tasks: Range<usize>) {
        // SAFETY: the record was checked, offsets are multiples of `ALIGN`, and there is only one task.
        unsafe { on.set().dequantize(self.shape, self.zero, self.scale, on.at(self.x), on.at(self.y).cast()) }
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        Outline {
            what: "dequantize".into(),
            shapes: self.shape.to_string(),
            reads: vec![self.x],
            writes: vec![Write { at: self.y, shape: self.shape, int8: false }],
        }
    }
}

/// The last step of a network that does not end in a convolution; the scale is that of the input.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct Dequantize {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// The logits, with the input's shape, f32, HWC.
    pub y: TensorId,
}

#[cfg(feature = "network")]
impl Operator for Dequantize {
    type Record = DequantizeRecord;
    const WORD: &'static str = "dequantize";
    const LOGITS: Logits = Logits::Always;

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

    fn compile(&self, to: &mut Compiler<'_>) -> DequantizeRecord {
        let x = &to.network.tensors[self.x];
        let (shape, zero, scale) = (x.shape, x.zero, x.scale);
        DequantizeRecord { shape, zero, scale, x: to.at(self.x), y: to.at(self.y) }
    }

    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        let x = &to.network.tensors[self.x];
        to.scaled(&format!("v_{i}"), self.x, &self.name, f32::from(x.zero), x.scale);
        to.line(&format!("rows = foldnet_rows(v_{i})"));
        to.line(&format!("logits = reshape(rows, shape = [1, {}])", to.network.classes()));
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_scaled", "foldnet_rows", "reshape"] = words(chain)[..] else { return Ok(None) };
        let s = chain[0];
        let [x] = s.names()?;
        let x = from.tensor(s, x)?;
        from.same_zero(s, x, "zero")?;
        if s.number::<f32>("multiplier")? != from.tensors[x].scale {
            return s.fail("only a tensor scaled by its own scale becomes the logits");
        }
        let shape = from.tensors[x].shape;
        if chain[2].sizes("shape")? != [1, shape.len()] {
            return chain[2].fail("the number of values is not the tensor's");
        }
        Ok(Some(Self { name: s.text("name")?.into(), x, y: from.write_logits(shape) }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let x = &network.tensors[self.x];
        dequantize(x.zero, x.scale, &values.tensors[self.x], &mut values.logits);
    }
}
