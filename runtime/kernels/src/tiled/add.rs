//! Residual addition: `y = rne((f32(a) − za)·ma + (f32(b) − zb)·mb) + z`; see [`crate::reference::add`].

use core::ops::Range;

use super::epilogue::Bounds;
use super::vector::{Vector, requantize};
use crate::AddScalars;
use crate::shape::Shape;

/// See [`crate::KernelSet::add`].
///
/// # Safety
/// The same as for that method and for [`Vector`].
#[inline(always)]
pub(crate) unsafe fn add<V: Vector>(
    shape: Shape,
    s: &AddScalars,
    a: *const u8,
    b: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let row = shape.w * shape.c;
    let range = rows.start * row..rows.end * row;
    let out = Bounds::new(s.y);
    for at in range.clone().step_by(V::LANES) {
        let n = range.end - at;
        // SAFETY: values `at..range.end` exist in all three. The bytes after them may be another thread's output
        // and are not read.
        unsafe {
            let a_zero = V::splat(f32::from(s.a_zero) + 128.0);
            let b_zero = V::splat(f32::from(s.b_zero) + 128.0);
            let a = V::to_floats(V::widen_first(a.add(at), n));
            let b = V::to_floats(V::widen_first(b.add(at), n));
            let a = V::mul(V::sub(a, a_zero), V::splat(s.a_multiplier));
            let b = V::mul(V::sub(b, b_zero), V::splat(s.b_multiplier));
            V::narrow_first(y.add(at), n, requantize::<V>(V::add(a, b), &out));
        }
    }
}
