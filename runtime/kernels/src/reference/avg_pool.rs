//! Global average pooling.
//!
//! `y[c] = clamp(rne(f32(Σ x[c] − n·x_zero)·m) + z)`, the sum in int32 over all n pixels.

use crate::set::AvgPoolScalars;
use crate::shape::Shape;

/// See the module; `x` is NHWC of `shape`, `y` has `shape.c` values.
pub fn avg_pool(shape: Shape, scalars: &AvgPoolScalars, x: &[i8], y: &mut [i8]) {
    for (c, y) in y.iter_mut().enumerate() {
        let sum: i32 =
            (0..shape.pixels()).map(|p| i32::from(x[p * shape.c + c]) - i32::from(scalars.x_zero)).sum();
        *y = scalars.y.apply(sum as f32 * scalars.multiplier);
    }
}
