//! Each channel times its own activation: what squeeze-and-excitation ends with.
//!
//! `y[c] = clamp(rne(f32(x[c] − x_zero)·(f32(gate[c] − gate_zero)·multiplier)) + z)`; the inner product is
//! rounded to f32 first, so that it can be made once per channel.

use crate::set::ScaleScalars;

/// See the module; `x` and `y` are NHWC with `gate.len()` channels.
pub fn scale(scalars: &ScaleScalars, x: &[i8], gate: &[i8], y: &mut [i8]) {
    for (i, (&x, y)) in x.iter().zip(y).enumerate() {
        let gain = gain(scalars, gate[i % gate.len()]);
        *y = scalars.y.apply((i32::from(x) - i32::from(scalars.x_zero)) as f32 * gain);
    }
}

/// The factor that a gate's value stands for.
pub fn gain(scalars: &ScaleScalars, gate: i8) -> f32 {
    (i32::from(gate) - i32::from(scalars.gate_zero)) as f32 * scalars.multiplier
}
