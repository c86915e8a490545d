//! Resizing with AVX2, to the bit as `resize.rs` defines it.
//!
//! A row: four taps at a time, R, G and B in lanes of their own. A weight of 22 bits does not fit the
//! 16-bit multiplier, its two halves do:
//! ```text
//! K = h·2¹¹ + l,  0 ≤ l < 2¹¹,  h ≤ 2¹¹
//! Σ K·p = (Σ h·p)·2¹¹ + Σ l·p               one vpmaddwd each for two taps
//! ```
//! Columns: the portable loop, compiled for eight 32-bit lanes. The bound is instructions: about two for
//! each tap of a row, five for eight samples of a column's tap.

use std::arch::x86_64::*;

use super::resize::{Output, column_sums as portable};

const HALF: u32 = 11;

/// The weights of an axis, in fours: `h₀ h₁ h₂ h₃ l₀ l₁ l₂ l₃`; missing taps weigh nothing.
pub struct Packed {
    fours: Vec<[i16; 8]>,
    /// How many bytes the loads of an output and of those before it reach, from the row's start.
    reach: Vec<usize>,
    avx2: bool,
}

impl Packed {
    pub fn new(outputs: &[Output]) -> Self {
        let (mut fours, mut reach, mut farthest) = (Vec::new(), Vec::new(), 0);
        for output in outputs {
            for weights in output.weights.chunks(4) {
                let mut four = [0; 8];
                for (at, weight) in weights.iter().enumerate() {
                    four[at] = (weight >> HALF) as i16;
                    four[4 + at] = (weight & ((1 << HALF) - 1)) as i16;
                }
                fours.push(four);
            }
            let loads = output.weights.len().div_ceil(4);
            farthest = farthest.max(3 * output.first + (12 * loads + 4) * usize::from(loads > 0));
            reach.push(farthest);
        }
        Self { fours, reach, avx2: is_x86_feature_detected!("avx2") }
    }

    /// Resizes one row of RGB, of which `row` holds the pixels from `first` on, as far as loads of 16
    /// bytes may go; says how many outputs that were. `out` has a byte more than they need.
    pub fn resize_row(&self, outputs: &[Output], row: &[u8], first: usize, out: &mut [u8]) -> usize {
        let count = self.reach.partition_point(|&reach| reach <= row.len() + 3 * first);
        if !self.avx2 || out.len() < 3 * count + 1 {
            return 0;
        }
        // SAFETY: AVX2 is there; `count` bounds the loads, and `out` is long enough.
        unsafe { self.row(&outputs[..count], row, first, out) };
        count
    }

    /// # Safety
    /// Every output's loads lie in `row`; `out` has `3·outputs + 1` bytes.
    #[target_feature(enable = "avx2")]
    unsafe fn row(&self, outputs: &[Output], row: &[u8], first: usize, out: &mut [u8]) {
        // Bytes of four pixels as pairs of 16 bits: R₀R₁ G₀G₁ B₀B₁, then of pixels 2 and 3.
        let pairs = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
            6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
        );
        let (high, low) =
            (_mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1), _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3));
        let half = _mm_set1_epi32(1 << (2 * HALF - 1));
        let mut fours = self.fours.iter();
        for (at, output) in outputs.iter().enumerate() {
            let (mut sum_h, mut sum_l) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            let mut from = 3 * (output.first - first);
            for four in fours.by_ref().take(output.weights.len().div_ceil(4)) {
                // SAFETY: the caller vouches for the row; the weights are 16 bytes.
                let (bytes, weights) = unsafe {
                    (_mm_loadu_si128(row.as_ptr().add(from).cast()), _mm_loadu_si128(four.as_ptr().cast()))
                };
                let samples = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), pairs);
                let weights = _mm256_broadcastsi128_si256(weights);
                sum_h = _mm256_add_epi32(
                    sum_h,
                    _mm256_madd_epi16(samples, _mm256_permutevar8x32_epi32(weights, high)),
                );
                sum_l = _mm256_add_epi32(
                    sum_l,
                    _mm256_madd_epi16(samples, _mm256_permutevar8x32_epi32(weights, low)),
                );
                from += 12;
            }
            let both = _mm256_add_epi32(_mm256_slli_epi32::<{ HALF as i32 }>(sum_h), sum_l);
            let sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
            let sum = _mm_srai_epi32::<{ 2 * HALF as i32 }>(_mm_add_epi32(sum, half));
            let words = _mm_packs_epi32(sum, sum);
            let pixel = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
            // SAFETY: the caller vouches for `out`; the fourth byte is the next output's, or spare.
            unsafe { out.as_mut_ptr().add(3 * at).cast::<i32>().write_unaligned(pixel) };
        }
    }
}

/// See [`portable`].
pub fn column_sums(taps: &[u8], stride: usize, weights: &[i32], sums: &mut [i32]) {
    #[target_feature(enable = "avx2")]
    fn wide(taps: &[u8], stride: usize, weights: &[i32], sums: &mut [i32]) {
        portable(taps, stride, weights, sums);
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 is there.
        unsafe { wide(taps, stride, weights, sums) }
    } else {
        portable(taps, stride, weights, sums);
    }
}
