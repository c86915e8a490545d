//! Max pooling: `y[c] = max x[c]` over the window, `pad_value` outside, 16 channels at a time; see
//! [`crate::reference::max_pool`].

use core::arch::aarch64::*;
use core::ops::Range;

use super::layout::{VECTOR, channel_stride};
use crate::shape::PoolDesc;

/// See [`crate::KernelSet::max_pool`].
///
/// # Safety
/// The same as for that method.
pub unsafe fn max_pool(desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
    let stride = channel_stride(desc.x.c);
    // The taps of output `o` along one axis that are inside the input.
    let taps = |o: usize, axis: usize, size: usize| {
        let first = o * desc.stride[axis];
        let (pad, k) = (desc.pad[axis], desc.kernel[axis]);
        (first.max(pad) - pad).min(size)..(first + k).saturating_sub(pad).min(size)
    };
    for oy in rows {
        let ys = taps(oy, 0, desc.x.h);
        for ox in 0..desc.y.w {
            let xs = taps(ox, 1, desc.x.w);
            let whole = ys.len() == desc.kernel[0] && xs.len() == desc.kernel[1];
            let start = if whole { i8::MIN } else { desc.pad_value };
            let to = y.wrapping_add((oy * desc.y.w + ox) * stride);
            let from = x.wrapping_add((ys.start * desc.x.w + xs.start) * stride);
            for at in (0..stride).step_by(VECTOR) {
                // SAFETY: all taps are inside the input, the output pixel exists, and both have whole
                // vectors of channels.
                unsafe {
                    let mut best = vdupq_n_s8(start);
                    let mut line = from.wrapping_add(at);
                    for _ in 0..ys.len() {
                        let mut tap = line;
                        for _ in 0..xs.len() {
                            best = vmaxq_s8(best, vld1q_s8(tap.cast()));
                            tap = tap.wrapping_add(stride);
                        }
                        line = line.wrapping_add(desc.x.w * stride);
                    }
                    vst1q_s8(to.add(at).cast(), best);
                }
            }
        }
    }
}
