//! Residual addition over plain NHWC int8; see [`crate::reference::add`]. It is plain Rust, because its share of
//! any network is too small to justify more.

use core::ops::Range;

use crate::AddScalars;
use crate::reference::add_one;
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
    let (a, b, y): (*const i8, *const i8, *mut i8) = (a.cast(), b.cast(), y.cast());
    let row = shape.w * shape.c;
    for i in rows.start * row..rows.end * row {
        // SAFETY: inside the rows that this call owns; `a` may be `y`, so no slices.
        unsafe { *y.add(i) = add_one(s, *a.add(i), *b.add(i)) };
    }
}
