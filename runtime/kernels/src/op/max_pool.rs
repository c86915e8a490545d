//! Max pooling, NHWC. Exact.

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
use super::conv::{check_output_size, window_shape};
#[cfg(feature = "network")]
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Statement, StepError, TensorId, float, pads,
    words,
};
use crate::record::{Checker, Fault, Machine, fields, record};
use crate::set::KernelSet;
use crate::shape::PoolDesc;
#[cfg(feature = "network")]
use crate::shape::ShapeError;

/// Computes `y[c] = max x[c]` over the window; values outside the input count as `pad_value`. `y` contains only
/// the given output rows.
pub fn max_pool(desc: &PoolDesc, rows: Range<usize>, x: &[i8], y: &mut [i8]) {
    let first = rows.start;
    for oy in rows {
        for ox in 0..desc.y.w {
            for c in 0..desc.y.c {
                let mut best = i8::MIN;
                for ky in 0..desc.kernel[0] {
                    for kx in 0..desc.kernel[1] {
                        let iy = (oy * desc.stride[0] + ky).wrapping_sub(desc.pad[0]);
                        let ix = (ox * desc.stride[1] + kx).wrapping_sub(desc.pad[1]);
                        if iy < desc.x.h && ix < desc.x.w {
                            best = best.max(x[(iy * desc.x.w + ix) * desc.x.c + c]);
                        } else {
                            best = best.max(desc.pad_value);
                        }
                    }
                }
                y[((oy - first) * desc.y.w + ox) * desc.y.c + c] = best;
            }
        }
    }
}

fields!(PoolDesc { x, y, kernel, stride, pad, pad_value });

record! {
    /// A max pooling in a plan.
    pub struct MaxPoolRecord {
        /// The pooling's description.
        pub desc: PoolDesc,
        /// Input.
        pub x: u32,
        /// Output.
        pub y: u32,
    }
}

impl Operation for MaxPoolRecord {
    const CODE: u32 = 2;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.desc.validate()?;
        plan.two((self.x, self.desc.x), (self.y, self.desc.y))
    }

    fn tasks(&self, _set: &dyn KernelSet) -> usize {
        self.desc.y.h
    }

    unsafe fn run(&self, on: &Machine<'_>, _thread: usize, rows: Range<usize>) {
        // SAFETY: the record was checked, and the rows belong to this thread.
        unsafe { on.set().max_pool(&self.desc, on.at(self.x), on.at(self.y), rows) }
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        let PoolDesc { x, y, kernel, stride, .. } = self.desc;
        let what = format!("max {}×{} /{}", kernel[0], kernel[1], stride[0]);
        Outline::simple(&what, format!("{x} → {y}"), [self.x].into(), self.y, y)
    }
}

/// A max pooling in a network; input and output share scale and zero point.
#[cfg(feature = "network")]
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output.
    pub y: TensorId,
    /// Height and width.
    pub kernel: [usize; 2],
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub pad: [usize; 4],
    /// Whether the padding counts as real zeros (a zero padding folded into the pooling); otherwise it never wins.
    pub floor_at_zero: bool,
}

#[cfg(feature = "network")]
impl Network {
    /// Returns a pooling's description for the kernels, validated.
    pub fn pool_desc(&self, p: &MaxPool) -> Result<PoolDesc, ShapeError> {
        let (x, y) = (self.shape(p.x), self.shape(p.y));
        let desc = PoolDesc {
            x,
            y,
            kernel: p.kernel,
            stride: p.stride,
            pad: [p.pad[0], p.pad[1]],
            pad_value: if p.floor_at_zero { self.zero(p.x) } else { i8::MIN },
        };
        desc.validate()?;
        check_output_size(x, y, p.kernel, p.stride, [1, 1], p.pad)?;
        Ok(desc)
    }
}

#[cfg(feature = "network")]
impl Operator for MaxPool {
    type Record = MaxPoolRecord;
    const WORD: &'static str = "max_pool";

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
        network.pool_desc(self)?;
        let (x, y) = (&network.tensors[self.x], &network.tensors[self.y]);
        if (x.scale, x.zero) != (y.scale, y.zero) {
            return Err(StepError::Operator("input and output of a max pooling differ in scale or zero point"));
        }
        Ok(())
    }

    fn compile(&self, to: &mut Compiler<'_>) -> MaxPoolRecord {
        let desc = to.network.pool_desc(self).expect("validated");
        MaxPoolRecord { desc, x: to.at(self.x), y: to.at(self.y) }
    }

    fn write(&self, _i: usize, to: &mut GraphWriter<'_>) {
        let pad_value = if self.floor_at_zero { to.zero(self.x) } else { float(f32::from(i8::MIN)) };
        to.line(&format!(
            "{} = foldnet_max_pool({}, name = {}, size = [1, 1, {}, {}], stride = [1, 1, {}, {}], \
             padding = [(0,0), (0,0), {}], pad_value = {pad_value})",
            to.tensor(self.y),
            to.tensor(self.x),
            to.quoted(&self.name),
            self.kernel[0],
            self.kernel[1],
            self.stride[0],
            self.stride[1],
            pads(self.pad)
        ));
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let ["foldnet_max_pool"] = words(chain)[..] else { return Ok(None) };
        let s = chain[0];
        let [x] = s.names()?;
        let x = from.tensor(s, x)?;
        let [_, _, kh, kw] = s.sizes("size")?;
        let [_, _, sh, sw] = s.sizes("stride")?;
        let [.., top, bottom, left, right] = s.sizes::<8>("padding")?;
        let input = from.tensors[x].clone();
        let pad_value = s.int8("pad_value")?;
        let floor_at_zero = pad_value != i8::MIN;
        if floor_at_zero && pad_value != input.zero {
            return s.fail("the padding is neither −128 nor the zero point");
        }
        let (kernel, stride, pad) = ([kh, kw], [sh, sw], [top, left, bottom, right]);
        let shape = window_shape(input.shape, input.shape.c, kernel, stride, [1, 1], pad);
        let name = s.text("name")?.into();
        let y = from.write(s, shape, input.scale, input.zero)?;
        Ok(Some(Self { name, x, y, kernel, stride, pad, floor_at_zero }))
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let desc = network.pool_desc(self).expect("validated");
        values.map(&[self.x], self.y, |x, y| max_pool(&desc, 0..desc.y.h, x[0], y));
    }
}
