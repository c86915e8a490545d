//! Residual addition: `y = clamp(rne(f32(a − a_zero)·m_a + f32(b − b_zero)·m_b) + z)`, eight channels of
//! one pixel at a time; see [`crate::reference::add`].

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{BLOCK, blocks, pitch};
use super::requant::{Round, minus_zero};
use crate::AddScalars;
use crate::shape::Shape;

/// See [`crate::KernelSet::add`].
///
/// # Safety
/// The same as for that method.
pub(crate) unsafe fn add(
    shape: Shape,
    s: &AddScalars,
    a: *const u8,
    b: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let round = Round::new(s.y);
    // SAFETY: every pixel of `rows` is inside each plane of the three tensors, and planes have whole
    // blocks; a pixel of `a` is read before the same place of `y` is written.
    unsafe {
        let (az, bz) = (vdup_n_s8(s.a_zero), vdup_n_s8(s.b_zero));
        for block in 0..blocks(shape.c) {
            let at = block * pitch(shape);
            for p in rows.start * shape.w..rows.end * shape.w {
                let at = at + p * BLOCK;
                let (a0, a1) = minus_zero(vld1_s8(a.add(at).cast()), az);
                let (b0, b1) = minus_zero(vld1_s8(b.add(at).cast()), bz);
                let low = vaddq_f32(vmulq_n_f32(a0, s.a_multiplier), vmulq_n_f32(b0, s.b_multiplier));
                let high = vaddq_f32(vmulq_n_f32(a1, s.a_multiplier), vmulq_n_f32(b1, s.b_multiplier));
                vst1_s8(y.add(at).cast(), round.apply(low, high));
            }
        }
    }
}
