//! Global average pooling: `y = rne((Σ x − n·zero)·m) + z`, the sum in int32; see [`crate::reference::avg_pool`].

use super::epilogue::Bounds;
use super::vector::{Vector, requantize};
use crate::AvgPoolScalars;
use crate::shape::Shape;

/// See [`crate::KernelSet::avg_pool`].
///
/// # Safety
/// The same as for that method and for [`Vector`].
#[inline(always)]
pub(crate) unsafe fn avg_pool<V: Vector>(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
    let out = Bounds::new(s.y);
    let pixels = shape.pixels();
    let bias = -(pixels as i32) * (i32::from(s.x_zero) + 128);
    for at in (0..shape.c).step_by(V::LANES) {
        let n = shape.c - at;
        // SAFETY: `n` channels of every pixel and of the output exist; slack follows the input.
        unsafe {
            let mut sum = V::splat_int(bias);
            for pixel in 0..pixels {
                sum = V::add_ints(sum, V::widen_with_slack(x.add(pixel * shape.c + at), n));
            }
            let v = V::mul(V::to_floats(sum), V::splat(s.multiplier));
            V::narrow_first(y.add(at), n, requantize::<V>(v, &out));
        }
    }
}
