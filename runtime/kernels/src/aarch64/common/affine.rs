//! Per-channel affine map: `y[c] = clamp(rne(f32(x[c] − x_zero)·gain[c] + offset[c]) + z)`, eight
//! channels of one pixel at a time; see [`crate::reference::affine`].

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{BLOCK, blocks, pitch};
use super::requant::{Round, minus_zero};
use crate::quant::Requant;
use crate::shape::Shape;

/// See [`crate::KernelSet::affine`].
///
/// # Safety
/// The same as for that method.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn affine(
    shape: Shape,
    x_zero: i8,
    out: Requant,
    gain: &[f32],
    offset: &[f32],
    x: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let round = Round::new(out);
    for block in 0..blocks(shape.c) {
        // The last block may have fewer than eight channels of constants.
        let (mut g, mut o) = ([0f32; BLOCK], [0f32; BLOCK]);
        let channels = block * BLOCK..shape.c.min(block * BLOCK + BLOCK);
        g[..channels.len()].copy_from_slice(&gain[channels.clone()]);
        o[..channels.len()].copy_from_slice(&offset[channels]);
        // SAFETY: every pixel of `rows` is inside each plane of both tensors, and planes have whole
        // blocks; the constants are arrays of eight.
        unsafe {
            let zero = vdup_n_s8(x_zero);
            let (g0, g1) = (vld1q_f32(g.as_ptr()), vld1q_f32(g.as_ptr().add(4)));
            let (o0, o1) = (vld1q_f32(o.as_ptr()), vld1q_f32(o.as_ptr().add(4)));
            for p in rows.start * shape.w..rows.end * shape.w {
                let at = block * pitch(shape) + p * BLOCK;
                let (x0, x1) = minus_zero(vld1_s8(x.add(at).cast()), zero);
                let q = round.apply(vaddq_f32(vmulq_f32(x0, g0), o0), vaddq_f32(vmulq_f32(x1, g1), o1));
                vst1_s8(y.add(at).cast(), q);
            }
        }
    }
}
