//! Max pooling over plain NHWC int8; see [`crate::reference::max_pool`]. It is plain Rust, because its share of
//! any network is too small to justify more.

use core::ops::Range;

use crate::shape::PoolDesc;

/// See [`crate::KernelSet::max_pool`].
///
/// # Safety
/// The same as for that method.
pub(crate) unsafe fn max_pool(d: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
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
