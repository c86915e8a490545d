//! Residual addition: `y = clamp(rne(f32(a − a_zero)·m_a + f32(b − b_zero)·m_b) + z)`, 16 channels at a time;
//! see [`crate::reference::add`].

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{VECTOR, channel_stride};
use super::requant::{Round, minus_zero, scale, sum};
use crate::AddScalars;
use crate::shape::Shape;

/// See [`crate::KernelSet::add`].
///
/// # Safety
/// The same as for that method.
pub unsafe fn add(shape: Shape, s: &AddScalars, a: *const u8, b: *const u8, y: *mut u8, rows: Range<usize>) {
    let row = shape.w * channel_stride(shape.c);
    let round = Round::new(s.y);
    // SAFETY: the rows exist in all three tensors and are whole vectors; `a` is read before the same place
    // of `y` is written.
    unsafe {
        let (a_zero, b_zero) = (vdupq_n_s8(s.a_zero), vdupq_n_s8(s.b_zero));
        let (a_m, b_m) = ([vdupq_n_f32(s.a_multiplier); 4], [vdupq_n_f32(s.b_multiplier); 4]);
        for at in (rows.start * row..rows.end * row).step_by(VECTOR) {
            let a = scale(minus_zero(vld1q_s8(a.add(at).cast()), a_zero), a_m);
            let b = scale(minus_zero(vld1q_s8(b.add(at).cast()), b_zero), b_m);
            vst1q_s8(y.add(at).cast(), round.apply(sum(a, b)));
        }
    }
}
