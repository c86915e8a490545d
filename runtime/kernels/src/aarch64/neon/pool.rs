//! Pooling, 16 channels at a time.
//!
//! - max: `y[c] = max x[c]` over the window, `pad_value` outside; see [`crate::reference::max_pool`].
//! - average: `y[c] = clamp(rne(f32(Σ x[c] − n·x_zero)·m) + z)` over all pixels; see
//!   [`crate::reference::avg_pool`]. Sums of 128 pixels fit int16, sums of those int32.

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{VECTOR, channel_stride};
use super::round::{Round, scale};
use crate::AvgPoolScalars;
use crate::shape::{PoolDesc, Shape};

/// See [`crate::KernelSet::max_pool`].
///
/// # Safety
/// As there.
pub unsafe fn max_pool(desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
    let stride = channel_stride(desc.x.c);
    // The taps of output `o` along one axis that lie inside the input.
    let taps = |o: usize, axis: usize, size: usize| {
        let first = o * desc.stride[axis];
        let (pad, k) = (desc.pad[axis], desc.kernel[axis]);
        (first.max(pad) - pad).min(size)..(first + k).saturating_sub(pad).min(size)
    };
    for oy in rows {
        let ys = taps(oy, 0, desc.x.h);
        for ox in 0..desc.y.w {
            let xs = taps(ox, 1, desc.x.w);
            let whole = ys.len() == desc.kernel[0] && xs.len() == desc.kernel[1];
            let start = if whole { i8::MIN } else { desc.pad_value };
            let to = y.wrapping_add((oy * desc.y.w + ox) * stride);
            let from = x.wrapping_add((ys.start * desc.x.w + xs.start) * stride);
            for at in (0..stride).step_by(VECTOR) {
                // SAFETY: all taps lie inside the input, the output pixel exists, and both have whole
                // vectors of channels.
                unsafe {
                    let mut best = vdupq_n_s8(start);
                    let mut line = from.wrapping_add(at);
                    for _ in 0..ys.len() {
                        let mut tap = line;
                        for _ in 0..xs.len() {
                            best = vmaxq_s8(best, vld1q_s8(tap.cast()));
                            tap = tap.wrapping_add(stride);
                        }
                        line = line.wrapping_add(desc.x.w * stride);
                    }
                    vst1q_s8(to.add(at).cast(), best);
                }
            }
        }
    }
}

/// See [`crate::KernelSet::avg_pool`].
///
/// # Safety
/// As there.
pub unsafe fn avg_pool(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
    let stride = channel_stride(shape.c);
    let pixels = shape.pixels();
    let round = Round::new(s.y);
    for at in (0..stride).step_by(VECTOR) {
        // SAFETY: every pixel has whole vectors of channels.
        unsafe {
            let zeros = vdupq_n_s32((pixels as i32).wrapping_mul(i32::from(s.x_zero)));
            let mut sums = [vnegq_s32(zeros); 4];
            for first in (0..pixels).step_by(128) {
                let (mut low, mut high) = (vdupq_n_s16(0), vdupq_n_s16(0));
                for p in first..pixels.min(first + 128) {
                    let q = vld1q_s8(x.add(p * stride + at).cast());
                    low = vaddw_s8(low, vget_low_s8(q));
                    high = vaddw_high_s8(high, q);
                }
                sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
                sums[1] = vaddw_high_s16(sums[1], low);
                sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
                sums[3] = vaddw_high_s16(sums[3], high);
            }
            let m = [vdupq_n_f32(s.multiplier); 4];
            let q = round.apply(scale(sums.map(|v| vcvtq_f32_s32(v)), m));
            vst1q_s8(y.add(at).cast(), q);
        }
    }
}
