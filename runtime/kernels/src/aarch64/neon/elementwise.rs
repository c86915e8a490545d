//! What no convolution could take, 16 channels at a time.
//!
//! - affine: `y[c] = clamp(rne(f32(x[c] − x_zero)·gain[c] + offset[c]) + z)`; see
//!   [`crate::reference::affine`].
//! - add: `y = clamp(rne(f32(a − a_zero)·m_a + f32(b − b_zero)·m_b) + z)`; see [`crate::reference::add`].

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{VECTOR, channel_stride};
use super::round::{Round, load, minus_zero, scale, sum};
use crate::AddScalars;
use crate::quant::Requant;
use crate::shape::Shape;

/// See [`crate::KernelSet::affine`].
///
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub unsafe fn affine(
    shape: Shape,
    x_zero: i8,
    out: Requant,
    gain: &[f32],
    offset: &[f32],
    x: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let stride = channel_stride(shape.c);
    let round = Round::new(out);
    for (at, (gain, offset)) in
        (0..stride).step_by(VECTOR).zip(gain.chunks(VECTOR).zip(offset.chunks(VECTOR)))
    {
        // The last vector may have fewer than 16 channels of constants.
        let (mut g, mut o) = ([0f32; VECTOR], [0f32; VECTOR]);
        g[..gain.len()].copy_from_slice(gain);
        o[..offset.len()].copy_from_slice(offset);
        // SAFETY: the pixels of `rows` exist in both tensors and have whole vectors of channels.
        unsafe {
            let (g, o) = (load(g.as_ptr()), load(o.as_ptr()));
            let zero = vdupq_n_s8(x_zero);
            for p in rows.start * shape.w..rows.end * shape.w {
                let q = vld1q_s8(x.add(p * stride + at).cast());
                let q = round.apply(sum(scale(minus_zero(q, zero), g), o));
                vst1q_s8(y.add(p * stride + at).cast(), q);
            }
        }
    }
}

/// See [`crate::KernelSet::add`].
///
/// # Safety
/// As there.
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
