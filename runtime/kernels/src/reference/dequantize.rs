//! The way out for networks that do not end in a dense layer: `y = f32(x − zero)·scale`, NHWC.

/// See the module.
pub fn dequantize(zero: i8, scale: f32, x: &[i8], y: &mut [f32]) {
    for (&x, y) in x.iter().zip(y) {
        *y = (i32::from(x) - i32::from(zero)) as f32 * scale;
    }
}
