//! Affine map, residual addition, the two poolings and the widening copy: 4 to 16 channels at a time.
//!
//! ```text
//! affine    y = rne((f32(x) − zero)·gain[c] + offset[c]) + z
//! add       y = rne((f32(a) − za)·ma + (f32(b) − zb)·mb) + z
//! max       y = u8x16.max_u over the window
//! average   y = rne((Σ x − n·zero)·m) + z, the sum in int32
//! widen     y = i16(x) − zero
//! ```
//! Activations are stored as u8 = int8 + 128: the order is the same, and zero points gain 128. Vectors
//! are read whole, into the slack behind the tensor where it ends, and written as far as they exist.

use core::arch::wasm32::*;
use core::ops::Range;

use super::epilogue::{load, round, widened};
use crate::quant::Requant;
use crate::shape::{PoolDesc, Shape};
use crate::tiled::epilogue::Bounds;
use crate::{AddScalars, AvgPoolScalars};

/// The first `n` of 4 f32, then zeros.
///
/// # Safety
/// min(n, 4) values are readable.
#[inline]
unsafe fn load_floats(from: *const f32, n: usize) -> v128 {
    // SAFETY: the caller's contract.
    unsafe {
        if n >= 4 {
            v128_load(from.cast())
        } else {
            let mut values = [0f32; 4];
            core::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n);
            v128_load(values.as_ptr().cast())
        }
    }
}

/// Clamps, rounds and stores the first `n` of 4 values.
///
/// # Safety
/// min(n, 4) bytes are writable.
#[inline]
unsafe fn store(to: *mut u8, n: usize, v: v128, out: &Bounds) {
    let words = i16x8_narrow_i32x4(round(v, out), i32x4_splat(0));
    let bytes = u8x16_narrow_i16x8(words, words);
    // SAFETY: the caller's contract.
    unsafe {
        if n >= 4 {
            v128_store32_lane::<0>(bytes, to.cast());
        } else {
            let lanes = i32x4_extract_lane::<0>(bytes).to_le_bytes();
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::affine`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn affine(
    shape: Shape,
    x_zero: i8,
    out: Requant,
    gain: &[f32],
    offset: &[f32],
    x: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let (c, out) = (shape.c, Bounds::new(out));
    let zero = f32x4_splat(f32::from(x_zero) + 128.0);
    for pixel in rows.start * shape.w..rows.end * shape.w {
        for at in (0..c).step_by(4) {
            let i = pixel * c + at;
            // SAFETY: `c − at` channels of this pixel, and as many gains and offsets, exist.
            unsafe {
                let gain = load_floats(gain.as_ptr().add(at), c - at);
                let offset = load_floats(offset.as_ptr().add(at), c - at);
                let v = f32x4_mul(f32x4_sub(load(x.add(i)), zero), gain);
                store(y.add(i), c - at, f32x4_add(v, offset), &out);
            }
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::add`].
pub(super) unsafe fn add(
    shape: Shape,
    s: &AddScalars,
    a: *const u8,
    b: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let row = shape.w * shape.c;
    let range = rows.start * row..rows.end * row;
    let out = Bounds::new(s.y);
    let zero = |zero: i8| f32x4_splat(f32::from(zero) + 128.0);
    let (a_zero, b_zero) = (zero(s.a_zero), zero(s.b_zero));
    let (ma, mb) = (f32x4_splat(s.a_multiplier), f32x4_splat(s.b_multiplier));
    for at in range.clone().step_by(4) {
        let n = range.end - at;
        // SAFETY: values `at..range.end` exist in all three.
        unsafe {
            let (mut a_end, mut b_end) = ([0u8; 4], [0u8; 4]);
            let (mut a, mut b) = (a.add(at), b.add(at));
            if n < 4 {
                // What follows may be another thread's output.
                core::ptr::copy_nonoverlapping(a, a_end.as_mut_ptr(), n);
                core::ptr::copy_nonoverlapping(b, b_end.as_mut_ptr(), n);
                (a, b) = (a_end.as_ptr(), b_end.as_ptr());
            }
            let a = f32x4_mul(f32x4_sub(load(a), a_zero), ma);
            let b = f32x4_mul(f32x4_sub(load(b), b_zero), mb);
            store(y.add(at), n, f32x4_add(a, b), &out);
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::max_pool`].
pub(super) unsafe fn max_pool(d: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
    let c = d.x.c;
    let clip = |o: usize, axis: usize, size: usize| {
        let first = o * d.stride[axis];
        let last = (first + d.kernel[axis]).saturating_sub(d.pad[axis]).min(size);
        (first.saturating_sub(d.pad[axis]), last)
    };
    for oy in rows {
        let (y0, y1) = clip(oy, 0, d.x.h);
        for ox in 0..d.y.w {
            let (x0, x1) = clip(ox, 1, d.x.w);
            let whole = (y1 - y0) * (x1 - x0) == d.kernel[0] * d.kernel[1];
            let start = if whole { 0 } else { d.pad_value as u8 ^ 0x80 };
            for at in (0..c).step_by(16) {
                let mut best = u8x16_splat(start);
                for iy in y0..y1 {
                    for ix in x0..x1 {
                        // SAFETY: the window is clipped to the input; reads beyond it end in the slack.
                        let v = unsafe { v128_load(x.add((iy * d.x.w + ix) * c + at).cast()) };
                        best = u8x16_max(best, v);
                    }
                }
                // SAFETY: this pixel is inside the output.
                unsafe {
                    let to = y.add((oy * d.y.w + ox) * c + at);
                    if c - at >= 16 {
                        v128_store(to.cast(), best);
                    } else {
                        let mut lanes = [0u8; 16];
                        v128_store(lanes.as_mut_ptr().cast(), best);
                        core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, c - at);
                    }
                }
            }
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::avg_pool`].
pub(super) unsafe fn avg_pool(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
    let out = Bounds::new(s.y);
    let n = shape.pixels();
    let bias = i32x4_splat(-(n as i32) * (i32::from(s.x_zero) + 128));
    for at in (0..shape.c).step_by(4) {
        let mut sum = bias;
        for pixel in 0..n {
            // SAFETY: this pixel exists; reads beyond it end in the slack.
            let v = unsafe { v128_load32_zero(x.add(pixel * shape.c + at).cast()) };
            sum = i32x4_add(sum, widened(v));
        }
        let v = f32x4_mul(f32x4_convert_i32x4(sum), f32x4_splat(s.multiplier));
        // SAFETY: the remaining channels of the output are writable.
        unsafe { store(y.add(at), shape.c - at, v, &out) };
    }
}

/// Writes `len` values as i16 less `zero`.
///
/// # Safety
/// `len` bytes can be read and 2·`len` written.
pub(super) unsafe fn widen(from: *const u8, to: *mut u8, len: usize, zero: i16) {
    let zeros = i16x8_splat(zero);
    let whole = len / 8 * 8;
    // SAFETY: the caller's contract.
    unsafe {
        for i in (0..whole).step_by(8) {
            let v = i16x8_load_extend_u8x8(from.add(i));
            v128_store(to.add(2 * i).cast(), i16x8_sub(v, zeros));
        }
        for i in whole..len {
            to.cast::<i16>().add(i).write_unaligned(i16::from(*from.add(i)) - zero);
        }
    }
}
