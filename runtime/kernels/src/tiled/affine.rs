//! Per-channel affine map: `y = rne((f32(x) − zero)·gain[c] + offset[c]) + z`; see [`crate::reference::affine`].

use core::ops::Range;

use super::epilogue::Bounds;
use super::vector::{Vector, requantize};
use crate::quant::Requant;
use crate::shape::Shape;

/// See [`crate::KernelSet::affine`].
///
/// # Safety
/// The same as for that method and for [`Vector`].
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(crate) unsafe fn affine<V: Vector>(
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
    for pixel in rows.start * shape.w..rows.end * shape.w {
        for at in (0..c).step_by(V::LANES) {
            let (i, n) = (pixel * c + at, c - at);
            // SAFETY: `n` channels of this pixel, and as many gains and offsets, exist; slack follows the tensor.
            unsafe {
                let zero = V::splat(f32::from(x_zero) + 128.0);
                let gain = V::load_first(gain.as_ptr().add(at), n);
                let offset = V::load_first(offset.as_ptr().add(at), n);
                let x = V::to_floats(V::widen_with_slack(x.add(i), n));
                let v = V::mul(V::sub(x, zero), gain);
                V::narrow_first(y.add(i), n, requantize::<V>(V::add(v, offset), &out));
            }
        }
    }
}
