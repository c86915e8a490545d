//! Per-channel affine map: `y[c] = clamp(rne(f32(x[c] − x_zero)·gain[c] + offset[c]) + z)`, 16 channels at a
//! time; see [`crate::reference::affine`].

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{VECTOR, channel_stride};
use super::requant::{Round, load, minus_zero, scale, sum};
use crate::quant::Requant;
use crate::shape::Shape;

/// See [`crate::KernelSet::affine`].
///
/// # Safety
/// The same as for that method.
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
