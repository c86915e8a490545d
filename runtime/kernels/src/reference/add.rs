//! Residual addition of two int8 tensors of one shape.
//!
//! `y = clamp(rne(f32(a − a_zero)·m_a + f32(b − b_zero)·m_b) + z)`; two products, then one sum.

use crate::set::AddScalars;

/// See the module.
pub fn add(s: &AddScalars, a: &[i8], b: &[i8], y: &mut [i8]) {
    for ((&a, &b), y) in a.iter().zip(b).zip(y) {
        *y = add_one(s, a, b);
    }
}

/// One element of [`add`].
#[inline]
pub fn add_one(s: &AddScalars, a: i8, b: i8) -> i8 {
    let a = (i32::from(a) - i32::from(s.a_zero)) as f32 * s.a_multiplier;
    let b = (i32::from(b) - i32::from(s.b_zero)) as f32 * s.b_multiplier;
    s.y.apply(a + b)
}
