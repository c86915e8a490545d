//! Max pooling: `y[c] = max x[c]` over the window, `pad_value` outside; see
//! [`crate::reference::max_pool`]. Eight channels of one pixel at a time; the 3×3 window, which every
//! ResNet has, is unrolled where it is inside the image.

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{BLOCK, blocks, pitch};
use crate::shape::PoolDesc;

/// See [`crate::KernelSet::max_pool`].
///
/// # Safety
/// The same as for that method.
pub(crate) unsafe fn max_pool(desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
    let [kh, kw] = desc.kernel;
    let row = desc.x.w * BLOCK;
    // Columns whose window is inside the image.
    let first = desc.pad[1].div_ceil(desc.stride[1]).min(desc.y.w);
    let end = match (desc.x.w + desc.pad[1]).checked_sub(kw) {
        Some(last) => (last / desc.stride[1] + 1).clamp(first, desc.y.w),
        None => first,
    };
    for block in 0..blocks(desc.x.c) {
        // SAFETY: block planes of both tensors; below, only pixels inside the image are touched.
        let (plane, out) =
            unsafe { (x.add(block * pitch(desc.x)).cast::<i8>(), y.add(block * pitch(desc.y)).cast::<i8>()) };
        for oy in rows.clone() {
            let top = oy * desc.stride[0];
            let inside = top >= desc.pad[0] && top - desc.pad[0] + kh <= desc.x.h;
            let unrolled = inside && kh == 3 && kw == 3;
            let (first, end) = if unrolled { (first, end) } else { (desc.y.w, desc.y.w) };
            // SAFETY: `oy < y.h`, and columns below `y.w`.
            let out = unsafe { out.add(oy * desc.y.w * BLOCK) };
            for ox in (0..first).chain(end..desc.y.w) {
                // SAFETY: as above.
                unsafe { vst1_s8(out.add(ox * BLOCK), window(desc, plane, oy, ox)) };
            }
            if first == end {
                continue;
            }
            // SAFETY: for these rows and columns all nine taps are inside the image.
            unsafe {
                let left = first * desc.stride[1] - desc.pad[1];
                let mut tap = plane.add(((top - desc.pad[0]) * desc.x.w + left) * BLOCK);
                for ox in first..end {
                    let three = |p: *const i8| {
                        let pair = vld1q_s8(p);
                        (pair, vld1_s8(p.add(2 * BLOCK)))
                    };
                    let (a, b, c) = (three(tap), three(tap.add(row)), three(tap.add(2 * row)));
                    let pair = vmaxq_s8(vmaxq_s8(a.0, b.0), c.0);
                    let third = vmax_s8(vmax_s8(a.1, b.1), c.1);
                    let best = vmax_s8(vmax_s8(vget_low_s8(pair), vget_high_s8(pair)), third);
                    vst1_s8(out.add(ox * BLOCK), best);
                    tap = tap.wrapping_add(desc.stride[1] * BLOCK);
                }
            }
        }
    }
}

/// Computes one window, wherever it is.
///
/// # Safety
/// `plane` is a block's plane of `desc.x`.
unsafe fn window(desc: &PoolDesc, plane: *const i8, oy: usize, ox: usize) -> int8x8_t {
    // SAFETY: taps are loaded only where they are inside the image.
    unsafe {
        let mut best = vdup_n_s8(i8::MIN);
        for ky in 0..desc.kernel[0] {
            for kx in 0..desc.kernel[1] {
                let iy = (oy * desc.stride[0] + ky).wrapping_sub(desc.pad[0]);
                let ix = (ox * desc.stride[1] + kx).wrapping_sub(desc.pad[1]);
                let tap = if iy < desc.x.h && ix < desc.x.w {
                    vld1_s8(plane.add((iy * desc.x.w + ix) * BLOCK))
                } else {
                    vdup_n_s8(desc.pad_value)
                };
                best = vmax_s8(best, tap);
            }
        }
        best
    }
}
