//! Max pooling: the largest byte of the window; see [`crate::reference::max_pool`]. Flipping sign bits preserves
//! the order of int8.

use core::ops::Range;

use super::vector::Vector;
use crate::shape::PoolDesc;

/// See [`crate::KernelSet::max_pool`].
///
/// # Safety
/// The same as for that method and for [`Vector`].
#[inline(always)]
pub(crate) unsafe fn max_pool<V: Vector>(d: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
    let c = d.x.c;
    let clip = |o: usize, axis: usize, size: usize| {
        let first = o * d.stride[axis];
        let last = (first + d.kernel[axis]).saturating_sub(d.pad[axis]).min(size);
        (first.saturating_sub(d.pad[axis]), last)
    };
    for oy in rows {
        let (y0, y1) = clip(oy, 0, d.x.h);
        for ox in 0..d.y.w {
            let (x0, x1) = clip(ox, 1, d.x.w);
            let whole = (y1 - y0) * (x1 - x0) == d.kernel[0] * d.kernel[1];
            let start = if whole { 0 } else { d.pad_value as u8 ^ 0x80 };
            for at in (0..c).step_by(V::BYTES) {
                // SAFETY: the window is clipped to the input, which slack follows; this pixel of the output exists.
                unsafe {
                    let mut best = V::splat_byte(start);
                    for iy in y0..y1 {
                        for ix in x0..x1 {
                            let from = x.add((iy * d.x.w + ix) * c + at);
                            best = V::max_bytes(best, V::load_bytes_with_slack(from, c - at));
                        }
                    }
                    V::store_bytes_first(y.add((oy * d.y.w + ox) * c + at), c - at, best);
                }
            }
        }
    }
}
