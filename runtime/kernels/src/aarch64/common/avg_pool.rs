//! Global average pooling: `y[c] = clamp(rne(f32(Σ x[c] − n·x_zero)·m) + z)`; see
//! [`crate::reference::avg_pool`].
//!
//! Sums of up to 128 pixels fit in int16, and sums of those in int32, for at most 65,536 pixels.

use core::arch::aarch64::*;

use super::layout::{BLOCK, blocks, pitch};
use super::requant::Round;
use crate::AvgPoolScalars;
use crate::shape::Shape;

/// See [`crate::KernelSet::avg_pool`].
///
/// # Safety
/// The same as for that method.
pub(crate) unsafe fn avg_pool(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
    let round = Round::new(s.y);
    let pixels = shape.pixels();
    let zeros = (pixels as i32).wrapping_mul(s.x_zero.into());
    let y_pitch = pitch(Shape::new(1, 1, shape.c));
    for block in 0..blocks(shape.c) {
        // SAFETY: all pixels are inside the block's plane, and both tensors have whole blocks.
        unsafe {
            let plane = x.add(block * pitch(shape)).cast::<i8>();
            let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
            for start in (0..pixels).step_by(128) {
                let mut sum = vdupq_n_s16(0);
                for p in start..pixels.min(start + 128) {
                    sum = vaddw_s8(sum, vld1_s8(plane.add(p * BLOCK)));
                }
                low = vaddw_s16(low, vget_low_s16(sum));
                high = vaddw_high_s16(high, sum);
            }
            let zeros = vdupq_n_s32(zeros);
            let low = vmulq_n_f32(vcvtq_f32_s32(vsubq_s32(low, zeros)), s.multiplier);
            let high = vmulq_n_f32(vcvtq_f32_s32(vsubq_s32(high, zeros)), s.multiplier);
            vst1_s8(y.add(block * y_pitch).cast(), round.apply(low, high));
        }
    }
}
