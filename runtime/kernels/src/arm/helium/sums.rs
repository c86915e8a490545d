//! The hot loop.

use crate::arm::Sums;

/// The same in plain Rust.
///
/// # Safety
/// The fields are true.
pub(super) unsafe fn sums_i8_2x4(s: &Sums) {
    for p in 0..s.pixels {
        for n in 0..4 {
            // SAFETY: the caller's contract.
            unsafe {
                let mut sum = *s.bias.add(n);
                for segment in 0..s.segments {
                    let x = s.x.add(p * s.step + segment * (s.segment + s.gap)).cast::<i8>();
                    let w = s.weights.cast::<i8>().add(4 * segment * s.segment);
                    for k in 0..s.segment {
                        let weight = w.add((k & !15) * 4 + n * 16 + (k & 15));
                        sum = sum.wrapping_add(i32::from(*x.add(k)) * i32::from(*weight));
                    }
                }
                *s.out.add(4 * p + n) = sum;
            }
        }
    }
}
