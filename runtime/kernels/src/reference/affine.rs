//! Per-channel affine map: a batch normalisation that nothing could absorb.
//!
//! `y[c] = clamp(rne(f32(x[c] − x_zero)·gain[c] + offset[c]) + z)`; one product, then one sum.

use crate::quant::Requant;

/// See the module; `x` and `y` are NHWC with `gain.len()` channels.
pub fn affine(x_zero: i8, out: Requant, gain: &[f32], offset: &[f32], x: &[i8], y: &mut [i8]) {
    for (i, (&x, y)) in x.iter().zip(y).enumerate() {
        let c = i % gain.len();
        *y = out.apply((i32::from(x) - i32::from(x_zero)) as f32 * gain[c] + offset[c]);
    }
}
