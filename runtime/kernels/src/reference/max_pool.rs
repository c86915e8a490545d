//! Max pooling, NHWC. Exact.

use core::ops::Range;

use crate::shape::PoolDesc;

/// `y[c] = max x[c]` over the window; what lies outside the input counts as `pad_value`. `y` holds the given output rows.
pub fn max_pool(desc: &PoolDesc, rows: Range<usize>, x: &[i8], y: &mut [i8]) {
    let first = rows.start;
    for oy in rows {
        for ox in 0..desc.y.w {
            for c in 0..desc.y.c {
                let mut best = i8::MIN;
                for ky in 0..desc.kernel[0] {
                    for kx in 0..desc.kernel[1] {
                        let iy = (oy * desc.stride[0] + ky).wrapping_sub(desc.pad[0]);
                        let ix = (ox * desc.stride[1] + kx).wrapping_sub(desc.pad[1]);
                        if iy < desc.x.h && ix < desc.x.w {
                            best = best.max(x[(iy * desc.x.w + ix) * desc.x.c + c]);
                        } else {
                            best = best.max(desc.pad_value);
                        }
                    }
                }
                y[((oy - first) * desc.y.w + ox) * desc.y.c + c] = best;
            }
        }
    }
}
