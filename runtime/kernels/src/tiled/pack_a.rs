//! Pack A (im2col): copies input rows into the scratch, with padding around them, and widens them if the tile
//! requires it.

use core::ops::Range;

use super::driver::Kernels;
use super::geometry::{Geometry, SLACK};
use crate::set::{ConvArgs, ConvScalars};
use crate::shape::Source;

/// Prepares the input of the given output rows and returns the start of the first one's.
///
/// # Safety
/// The same as for [`super::driver::conv`]; `rows` has at most `block_rows` rows inside the output.
pub(crate) unsafe fn pack_rows(
    args: &ConvArgs<'_>,
    kernels: &Kernels,
    g: &Geometry,
    rows: Range<usize>,
) -> *const u8 {
    let desc = args.desc;
    let (c, x) = (desc.x.c, args.x);
    if g.direct {
        // SAFETY: without padding, a row's first tap is inside the tensor.
        return unsafe { x.add(rows.start * desc.stride[0] * desc.x.w * c) };
    }
    let scratch = args.scratch;
    let first = rows.start * desc.stride[0];
    let count = (rows.len() - 1) * desc.stride[0] + (desc.kernel[0] - 1) * desc.dilation[0] + 1;
    let inside = desc.x.w.min(g.columns - desc.pad[1]);
    let row_bytes = g.columns * c * g.element;
    for i in 0..count {
        // SAFETY: `scratch_bytes` includes `count` rows of `row_bytes` and the slack, and rows and columns that
        // are read are inside the input.
        unsafe {
            let to = scratch.add(i * row_bytes);
            match (first + i).checked_sub(desc.pad[0]).filter(|&iy| iy < desc.x.h) {
                None => fill(args, kernels, to, g.columns),
                Some(iy) => {
                    fill(args, kernels, to, desc.pad[1]);
                    let to = to.add(desc.pad[1] * c * g.element);
                    copy(args, kernels, x.add(iy * desc.x.w * c), to, inside * c);
                    fill(args, kernels, to.add(inside * c * g.element), g.columns - desc.pad[1] - inside);
                }
            }
        }
    }
    // SAFETY: the slack is part of the scratch. It is multiplied by zero weights only, but is read.
    unsafe { scratch.add(count * row_bytes).write_bytes(0, SLACK) };
    scratch
}

/// Writes `columns` columns of padding.
///
/// # Safety
/// `to` has room for them.
unsafe fn fill(args: &ConvArgs<'_>, kernels: &Kernels, to: *mut u8, columns: usize) {
    let c = args.desc.x.c;
    let zero: &ConvScalars = args.scalars;
    // SAFETY: guaranteed by the caller.
    unsafe {
        if kernels.tiling.widen {
            to.write_bytes(0, 2 * columns * c);
        } else if args.desc.source == Source::Tensor {
            to.write_bytes(zero.x_zero[0] as u8 ^ 0x80, columns * c);
        } else {
            for i in 0..columns * c {
                *to.add(i) = zero.x_zero[i % c] as u8 ^ 0x80;
            }
        }
    }
}

/// Copies `len` values of input, from a pixel's first channel on.
///
/// # Safety
/// `from` has these values, and `to` has room for them.
unsafe fn copy(args: &ConvArgs<'_>, kernels: &Kernels, from: *const u8, to: *mut u8, len: usize) {
    let (desc, zero) = (args.desc, &args.scalars.x_zero);
    // SAFETY: guaranteed by the caller.
    unsafe {
        if !kernels.tiling.widen {
            core::ptr::copy_nonoverlapping(from, to, len);
        } else if desc.source == Source::Tensor {
            (kernels.widen)(from, to, len, i16::from(zero[0]) + 128);
        } else {
            for i in 0..len {
                let value = i16::from(*from.add(i)) - i16::from(zero[i % desc.x.c]) - 128;
                to.cast::<i16>().add(i).write_unaligned(value);
            }
        }
    }
}
