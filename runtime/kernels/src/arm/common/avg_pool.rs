//! Global average pooling over plain NHWC int8; see [`crate::reference::avg_pool`]. It is plain Rust, because its
//! share of any network is too small to justify more.

use crate::AvgPoolScalars;
use crate::shape::Shape;

/// See [`crate::KernelSet::avg_pool`].
///
/// # Safety
/// The same as for that method.
pub(crate) unsafe fn avg_pool(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
    let (x, y): (*const i8, *mut i8) = (x.cast(), y.cast());
    for c in 0..shape.c {
        let mut sum = 0;
        for p in 0..shape.pixels() {
            // SAFETY: inside the input.
            sum += i32::from(unsafe { *x.add(p * shape.c + c) }) - i32::from(s.x_zero);
        }
        // SAFETY: inside the output.
        unsafe { *y.add(c) = s.y.apply(sum as f32 * s.multiplier) };
    }
}
