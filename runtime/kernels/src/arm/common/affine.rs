//! Per-channel affine map over plain NHWC int8; see [`crate::reference::affine`]. It is plain Rust, because its
//! share of any network is too small to justify more.

use core::ops::Range;

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
    let (x, y): (*const i8, *mut i8) = (x.cast(), y.cast());
    // Pointers avoid bounds checks, each of which would contain a panic.
    let (gain, offset) = (gain.as_ptr(), offset.as_ptr());
    for pixel in rows.start * shape.w..rows.end * shape.w {
        for c in 0..shape.c {
            let at = pixel * shape.c + c;
            // SAFETY: inside both tensors, and inside the constants of `shape.c` values.
            unsafe {
                let x = (i32::from(*x.add(at)) - i32::from(x_zero)) as f32;
                *y.add(at) = out.apply(x * *gain.add(c) + *offset.add(c));
            }
        }
    }
}
