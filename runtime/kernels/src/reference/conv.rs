//! Convolution with its fused epilogue.
//!
//! ```text
//! acc[c] = bias[c] + Σ (x − x_zero)·w[c]                      int32
//! v[c]   = f32(acc[c])·m[c]  (+ f32(skip − skip_zero)·m_skip) f32, two products, then one sum
//! y      = clamp(rne(v) + z, lo, hi)                           int8
//! y2     = clamp(rne(v·gain[c] + offset[c]) + z2, lo2, hi2)    int8
//! ```
//! Layout: `x` and outputs NHWC, weights OHWI. Taps outside the input contribute nothing. The
//! accumulator wraps on overflow; a converter never emits weights for which it could.
//! See Jacob et al., *Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference*, 2018, with the fixed-point multiplier replaced by f32.

use crate::set::{ConvScalars, ConvWeights};
use crate::shape::{ConvDesc, ConvOutput};

/// Where [`conv`] writes; slices that the description does not call for stay untouched.
pub struct ConvResult<'a> {
    /// `y`, NHWC.
    pub y: &'a mut [i8],
    /// `y2`, NHWC.
    pub y2: &'a mut [i8],
    /// `v`, for [`ConvOutput::Float32`].
    pub logits: &'a mut [f32],
}

/// See the module. `x` is int8 NHWC also where the description says pixels (`p − 128`).
pub fn conv(
    desc: &ConvDesc,
    weights: &ConvWeights<'_>,
    scalars: &ConvScalars,
    x: &[i8],
    skip: &[i8],
    out: ConvResult<'_>,
) {
    let ConvResult { y, y2, logits } = out;
    let row = desc.y.w * desc.y.c;
    let nth = |len: usize, oy: usize| if len == 0 { 0..0 } else { oy * row..(oy + 1) * row };
    for oy in 0..desc.y.h {
        let skip = &skip[nth(skip.len(), oy)];
        let (n, n2, nl) = (nth(y.len(), oy), nth(y2.len(), oy), nth(logits.len(), oy));
        let out = ConvResult { y: &mut y[n], y2: &mut y2[n2], logits: &mut logits[nl] };
        conv_row(desc, oy, weights, scalars, x, skip, out);
    }
}

/// Row `oy` of [`conv`]; `skip` and `out` are that row only.
pub fn conv_row(
    desc: &ConvDesc,
    oy: usize,
    weights: &ConvWeights<'_>,
    scalars: &ConvScalars,
    x: &[i8],
    skip: &[i8],
    out: ConvResult<'_>,
) {
    let (group_in, group_out) = (desc.c_in(), desc.y.c / desc.groups);
    for ox in 0..desc.y.w {
        for oc in 0..desc.y.c {
            let first_in = oc / group_out * group_in;
            let mut acc = weights.bias[oc];
            for ky in 0..desc.kernel[0] {
                for kx in 0..desc.kernel[1] {
                    let iy = (oy * desc.stride[0] + ky * desc.dilation[0]).checked_sub(desc.pad[0]);
                    let ix = (ox * desc.stride[1] + kx * desc.dilation[1]).checked_sub(desc.pad[1]);
                    let (Some(iy), Some(ix)) = (iy, ix) else { continue };
                    if iy >= desc.x.h || ix >= desc.x.w {
                        continue;
                    }
                    let pixel = &x[(iy * desc.x.w + ix) * desc.x.c..][first_in..][..group_in];
                    let tap = &weights.weights
                        [((oc * desc.kernel[0] + ky) * desc.kernel[1] + kx) * group_in..][..group_in];
                    for (i, (&q, &w)) in pixel.iter().zip(tap).enumerate() {
                        let zero = if weights.x_zero.len() == 1 {
                            weights.x_zero[0]
                        } else {
                            weights.x_zero[first_in + i]
                        };
                        acc = acc.wrapping_add((i32::from(q) - i32::from(zero)) * i32::from(w));
                    }
                }
            }
            let at = ox * desc.y.c + oc;
            let mut v = acc as f32 * weights.multiplier[oc];
            if desc.skip {
                let residual = (i32::from(skip[at]) - i32::from(scalars.skip_zero)) as f32;
                v += residual * scalars.skip_multiplier;
            }
            if desc.output == ConvOutput::Float32 {
                out.logits[at] = v;
            }
            if desc.output.has_int8() {
                out.y[at] = scalars.y.apply(v);
            }
            if desc.output.has_affine() {
                out.y2[at] = scalars.y2.apply(v * weights.gain[oc] + weights.offset[oc]);
            }
        }
    }
}
