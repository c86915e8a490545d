//! The kernel set that runs everywhere: the reference loops over plain NHWC int8.
//!
//! The blob of a convolution is little-endian and has this order: bias `i32[c]`, multiplier `f32[c]`, gain and
//! offset `f32[c]` if there is a second output, weights `i8` OHWI. The set is slow (about one multiply-accumulate
//! per cycle), but right: it executes the definition, serves as the fallback on a CPU without a better set, and
//! runs under Miri.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::ops::Range;
use core::slice;

use crate::quant::Requant;
use crate::reference;
use crate::set::{ConvArgs, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, ConvOutput, PoolDesc, Shape, Source};
use crate::{AddScalars, AvgPoolScalars};

/// See the module.
pub struct Portable;

/// Returns the number of f32/i32 vectors of `y.c` values before the weights.
fn vectors(desc: &ConvDesc) -> usize {
    if desc.output.has_affine() { 4 } else { 2 }
}

fn blob_bytes(desc: &ConvDesc) -> usize {
    desc.y.c * 4 * vectors(desc) + desc.y.c * desc.depth()
}

// SAFETY: activations are plain NHWC bytes, and running relies only on a blob's length; the shared tests check the
// results with canaries.

unsafe impl KernelSet for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn tensor_bytes(&self, shape: Shape) -> usize {
        shape.len()
    }

    #[cfg(feature = "alloc")]
    fn read_tensor(&self, shape: Shape, buffer: &[u8]) -> Vec<i8> {
        buffer[..shape.len()].iter().map(|&b| b as i8).collect()
    }

    #[cfg(feature = "alloc")]
    fn write_tensor(&self, shape: Shape, values: &[i8], buffer: &mut [u8]) {
        for (b, &v) in buffer[..shape.len()].iter_mut().zip(values) {
            *b = v as u8;
        }
    }

    #[cfg(feature = "gates")]
    fn locate(&self, shape: Shape, pixel: usize, channel: usize) -> usize {
        pixel * shape.c + channel
    }

    #[cfg(feature = "alloc")]
    fn pack_conv(&self, desc: &ConvDesc, w: &ConvWeights<'_>) -> Vec<u8> {
        let mut blob = Vec::with_capacity(blob_bytes(desc));
        blob.extend(w.bias.iter().flat_map(|v| v.to_le_bytes()));
        blob.extend(w.multiplier.iter().flat_map(|v| v.to_le_bytes()));
        if desc.output.has_affine() {
            blob.extend(w.gain.iter().flat_map(|v| v.to_le_bytes()));
            blob.extend(w.offset.iter().flat_map(|v| v.to_le_bytes()));
        }
        blob.extend(w.weights.iter().map(|&v| v as u8));
        blob
    }

    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool {
        blob.len() == blob_bytes(desc)
    }

    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize {
        // Pixels are converted to int8 first; a row of the residual is copied, since the residual may be the
        // output.
        let pixels = if desc.source == Source::Pixels { desc.x.len() } else { 0 };
        pixels + if desc.skip { desc.y.w * desc.y.c } else { 0 }
    }

    fn conv_tasks(&self, desc: &ConvDesc) -> usize {
        desc.y.h
    }

    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        let desc = args.desc;
        let c = desc.y.c;
        // SAFETY: the blob is aligned to `ALIGN`, and `check_conv` found `vectors` × c values of four bytes, any
        // of which is a valid i32 or f32, followed by the weights.
        let (bias, floats, weights) = unsafe {
            (
                slice::from_raw_parts(args.blob.as_ptr().cast::<i32>(), c),
                slice::from_raw_parts(args.blob.as_ptr().add(4 * c).cast::<f32>(), (vectors(desc) - 1) * c),
                slice::from_raw_parts(
                    args.blob.as_ptr().add(4 * c * vectors(desc)).cast::<i8>(),
                    c * desc.depth(),
                ),
            )
        };
        let (multiplier, affine) = floats.split_at(c);
        let (gain, offset) = affine.split_at(affine.len() / 2);
        let x: &[i8] = match desc.source {
            // SAFETY: the caller passes `tensor_bytes(desc.x)` bytes.
            Source::Tensor => unsafe { slice::from_raw_parts(args.x.cast(), desc.x.len()) },
            Source::Pixels => {
                // SAFETY: pixels and scratch have `x.len()` bytes each and do not overlap.
                let (pixels, x) = unsafe {
                    (
                        slice::from_raw_parts(args.x, desc.x.len()),
                        slice::from_raw_parts_mut(args.scratch.cast::<i8>(), desc.x.len()),
                    )
                };
                for (x, &p) in x.iter_mut().zip(pixels) {
                    *x = (p ^ 0x80) as i8;
                }
                x
            }
        };
        let weights = ConvWeights {
            weights,
            bias,
            multiplier,
            gain,
            offset,
            x_zero: match desc.source {
                Source::Pixels => &args.scalars.x_zero[..desc.x.c],
                Source::Tensor => &args.scalars.x_zero[..1],
            },
        };
        let pixels = if desc.source == Source::Pixels { desc.x.len() } else { 0 };
        for row in tasks {
            // Each output row is a convolution of its own, so that tasks write disjoint memory.
            let row_len = desc.y.w * c;
            let at = row * row_len;
            let one = |p: *mut u8| {
                // SAFETY: `p` has `tensor_bytes(desc.y)` bytes, and this task owns this row.
                unsafe { slice::from_raw_parts_mut(p.cast::<i8>().add(at), row_len) }
            };
            let skip_row: &[i8] = if desc.skip {
                // SAFETY: the row is inside the residual; the scratch has room for it after the pixels.
                unsafe {
                    let copy = args.scratch.cast::<i8>().add(pixels);
                    core::ptr::copy_nonoverlapping(args.skip.cast::<i8>().add(at), copy, row_len);
                    slice::from_raw_parts(copy, row_len)
                }
            } else {
                &[]
            };
            let result = reference::ConvResult {
                y: if desc.output.has_int8() { one(args.y) } else { &mut [] },
                y2: if desc.output.has_affine() { one(args.y2) } else { &mut [] },
                logits: if desc.output == ConvOutput::Float32 {
                    // SAFETY: the caller passes `y.c` f32 values, aligned.
                    unsafe { slice::from_raw_parts_mut(args.y.cast::<f32>(), c) }
                } else {
                    &mut []
                },
            };
            reference::conv_row(desc, row, &weights, args.scalars, x, skip_row, result);
        }
    }

    unsafe fn max_pool(&self, desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
        // SAFETY: the caller passes buffers of `tensor_bytes`, and this thread owns `rows` of `y`.
        let (x, y) = unsafe {
            (
                slice::from_raw_parts(x.cast::<i8>(), desc.x.len()),
                slice::from_raw_parts_mut(
                    y.cast::<i8>().add(rows.start * desc.y.w * desc.y.c),
                    rows.len() * desc.y.w * desc.y.c,
                ),
            )
        };
        reference::max_pool(desc, rows, x, y);
    }

    unsafe fn avg_pool(&self, shape: Shape, scalars: &AvgPoolScalars, x: *const u8, y: *mut u8) {
        // SAFETY: the caller passes `shape.len()` and `shape.c` bytes.
        let (x, y) = unsafe {
            (
                slice::from_raw_parts(x.cast::<i8>(), shape.len()),
                slice::from_raw_parts_mut(y.cast::<i8>(), shape.c),
            )
        };
        reference::avg_pool(shape, scalars, x, y);
    }

    unsafe fn affine(
        &self,
        shape: Shape,
        x_zero: i8,
        out: Requant,
        gain: &[f32],
        offset: &[f32],
        x: *const u8,
        y: *mut u8,
        rows: Range<usize>,
    ) {
        let (at, len) = (rows.start * shape.w * shape.c, rows.len() * shape.w * shape.c);
        // SAFETY: the caller passes buffers of `shape.len()` bytes, and this thread owns `rows` of `y`.
        let (x, y) = unsafe {
            (
                slice::from_raw_parts(x.cast::<i8>().add(at), len),
                slice::from_raw_parts_mut(y.cast::<i8>().add(at), len),
            )
        };
        reference::affine(x_zero, out, gain, offset, x, y);
    }

    unsafe fn add(
        &self,
        shape: Shape,
        scalars: &AddScalars,
        a: *const u8,
        b: *const u8,
        y: *mut u8,
        rows: Range<usize>,
    ) {
        let row = shape.w * shape.c;
        for i in rows.start * row..rows.end * row {
            // SAFETY: i is inside the rows that this thread owns; `a` may be `y`, so no slices.
            unsafe {
                *y.cast::<i8>().add(i) =
                    reference::add_one(scalars, *a.cast::<i8>().add(i), *b.cast::<i8>().add(i));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_little_endian() {
        let desc = ConvDesc {
            x: Shape::new(1, 1, 2),
            y: Shape::new(1, 1, 1),
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
            groups: 1,
            source: Source::Tensor,
            skip: false,
            output: ConvOutput::Affine,
        };
        let weights = ConvWeights {
            weights: &[-1, 2],
            bias: &[0x0102_0304],
            multiplier: &[1.0],
            gain: &[-2.0],
            offset: &[0.5],
            x_zero: &[0],
        };
        let expected = [4, 3, 2, 1, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0x3f, 0xff, 2];
        assert_eq!(Portable.pack_conv(&desc, &weights), expected);
    }
}
