//! Operators without weights, over plain NHWC int8: shared by both sets, and too small a share of any
//! network here to be worth more.

use core::ops::Range;

use crate::quant::Requant;
use crate::reference::add_one;
use crate::shape::{PoolDesc, Shape};
use crate::{AddScalars, AvgPoolScalars};

/// # Safety
/// See [`crate::KernelSet`].
pub(super) unsafe fn max_pool(d: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
    let (x, y): (*const i8, *mut i8) = (x.cast(), y.cast());
    for oy in rows {
        for ox in 0..d.y.w {
            for c in 0..d.y.c {
                let mut best = i8::MIN;
                for ky in 0..d.kernel[0] {
                    for kx in 0..d.kernel[1] {
                        let iy = (oy * d.stride[0] + ky).wrapping_sub(d.pad[0]);
                        let ix = (ox * d.stride[1] + kx).wrapping_sub(d.pad[1]);
                        let value = if iy < d.x.h && ix < d.x.w {
                            // SAFETY: inside the input.
                            unsafe { *x.add((iy * d.x.w + ix) * d.x.c + c) }
                        } else {
                            d.pad_value
                        };
                        best = best.max(value);
                    }
                }
                // SAFETY: inside the rows of the output that this call owns.
                unsafe { *y.add((oy * d.y.w + ox) * d.y.c + c) = best };
            }
        }
    }
}

/// # Safety
/// See [`crate::KernelSet`].
pub(super) unsafe fn avg_pool(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
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

/// # Safety
/// See [`crate::KernelSet`].
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn affine(
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
    // Pointers, for a check of bounds would be a panic.
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

/// # Safety
/// See [`crate::KernelSet`].
pub(super) unsafe fn add(
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
