//! Global average pooling: `y[c] = clamp(rne(f32(Σ x[c] − n·x_zero)·m) + z)`, 16 channels at a time; see
//! [`crate::reference::avg_pool`]. Sums of 128 pixels fit in int16, and sums of those in int32.

use core::arch::aarch64::*;

use super::layout::{VECTOR, channel_stride};
use super::requant::{Round, scale};
use crate::AvgPoolScalars;
use crate::shape::Shape;

/// See [`crate::KernelSet::avg_pool`].
///
/// # Safety
/// The same as for that method.
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
