//! `neon`: ARMv8.0, no dot product (Cortex-A53, A72).
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::quant::Requant;
use crate::reference;
use crate::set::{AddScalars, AvgPoolScalars, ConvArgs, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, PoolDesc, Shape};

mod conv;
mod direct;
mod epilogue;
mod winograd;

pub struct Neon;

fn channel_stride(c: usize) -> usize { c.next_multiple_of(16) }
fn tensor_bytes(s: Shape) -> usize { s.pixels() * channel_stride(s.c) }

impl KernelSet for Neon {
    fn name(&self) -> &'static str { "neon" }
    fn tensor_bytes(&self, shape: Shape) -> usize { tensor_bytes(shape) }
    fn read_tensor(&self, shape: Shape, buffer: &[u8]) -> Vec<i8> {
        buffer[..tensor_bytes(shape)].chunks(channel_stride(shape.c)).flat_map(|p| p[..shape.c].iter().map(|&b| b as i8)).collect()
    }
    fn write_tensor(&self, shape: Shape, values: &[i8], buffer: &mut [u8]) {
        for (p, v) in buffer.chunks_mut(channel_stride(shape.c)).zip(values.chunks(shape.c)) {
            p.fill(0);
            for (b, &v) in p.iter_mut().zip(v) { *b = v as u8; }
        }
    }
    fn pack_conv(&self, desc: &ConvDesc, w: &ConvWeights<'_>) -> Vec<u8> { conv::Plan::new(desc).pack(w) }
    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool { conv::Plan::new(desc).check(blob) }
    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize { conv::Plan::new(desc).scratch_bytes() }
    fn conv_tasks(&self, desc: &ConvDesc) -> usize { conv::Plan::new(desc).tasks() }
    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) { unsafe { conv::Plan::new(args.desc).run(args, tasks) } }
    unsafe fn max_pool(&self, desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
        let xs = unsafe { core::slice::from_raw_parts(x, tensor_bytes(desc.x)) };
        let x = self.read_tensor(desc.x, xs);
        let shape = Shape { h: rows.len(), ..desc.y };
        let mut out = vec![0i8; shape.len()];
        reference::max_pool(desc, rows.clone(), &x, &mut out);
        let row = desc.y.w * channel_stride(desc.y.c);
        let y = unsafe { core::slice::from_raw_parts_mut(y.add(rows.start * row), rows.len() * row) };
        self.write_tensor(shape, &out, y);
    }
    unsafe fn avg_pool(&self, s: Shape, scalars: &AvgPoolScalars, x: *const u8, y: *mut u8) {
        let xs = unsafe { core::slice::from_raw_parts(x, tensor_bytes(s)) };
        let x = self.read_tensor(s, xs);
        let mut out = vec![0i8; s.c];
        reference::avg_pool(s, scalars, &x, &mut out);
        let o = Shape::new(1, 1, s.c);
        self.write_tensor(o, &out, unsafe { core::slice::from_raw_parts_mut(y, tensor_bytes(o)) });
    }
    unsafe fn affine(&self, s: Shape, x_zero: i8, out: Requant, gain: &[f32], offset: &[f32], x: *const u8, y: *mut u8, rows: Range<usize>) {
        let st = channel_stride(s.c);
        for p in rows.start * s.w..rows.end * s.w { unsafe {
            let mut o = vec![0i8; s.c];
            reference::affine(x_zero, out, gain, offset, core::slice::from_raw_parts(x.add(p * st).cast(), s.c), &mut o);
            for (i, v) in o.iter().enumerate() { *y.add(p * st + i) = *v as u8; }
        } }
    }
    unsafe fn add(&self, s: Shape, scalars: &AddScalars, a: *const u8, b: *const u8, y: *mut u8, rows: Range<usize>) {
        let st = channel_stride(s.c);
        for p in rows.start * s.w..rows.end * s.w { for c in 0..s.c { unsafe {
            *y.add(p * st + c) = reference::add_one(scalars, *a.add(p * st + c) as i8, *b.add(p * st + c) as i8) as u8;
        } } }
    }
}
