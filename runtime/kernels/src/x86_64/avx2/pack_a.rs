//! Widening of input rows, which the driver copies.

use core::arch::x86_64::*;

/// Writes `len` values as i16, minus `zero`.
///
/// # Safety
/// `len` bytes can be read and 2·`len` written; the CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn widen(from: *const u8, to: *mut u8, len: usize, zero: i16) {
    let zeros = _mm256_set1_epi16(zero);
    let whole = len / 16 * 16;
    // SAFETY: guaranteed by the caller.
    unsafe {
        for i in (0..whole).step_by(16) {
            let v = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.add(i).cast()));
            _mm256_storeu_si256(to.add(2 * i).cast(), _mm256_sub_epi16(v, zeros));
        }
        for i in whole..len {
            to.cast::<i16>().add(i).write_unaligned(i16::from(*from.add(i)) - zero);
        }
    }
}
