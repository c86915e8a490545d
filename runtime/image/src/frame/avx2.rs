//! Converts colours with AVX2: 16 pixels at a time, bit for bit like `convert.rs`.
//!
//! ```text
//! Y′ U′ V′   16 × i16 each, in the order of the pixels (each 128-bit half: eight of them)
//! R = (y·Y′ + rv·V′ + 2¹²) >> 13          one vpmaddwd of the pairs (Y′, V′)
//! G = (y·Y′ − gu·U′ + 2¹² − gv·V′) >> 13  two: (Y′, U′), (V′, 1)
//! B = (y·Y′ + bu·U′ + 2¹²) >> 13          one
//! ```
//! The products of two i16 and their sums fit in i32; packing with saturation clamps the results. Instructions are
//! the bound, about 3 per pixel, not memory: rows stay in the first-level cache.

use std::arch::x86_64::*;

use super::convert::{Factors, Layout};

/// Returns the number of blocks of 16 pixels that may be loaded.
fn loadable(layout: Layout<'_>) -> usize {
    match layout {
        Layout::Yuyv(row) => row.len() / 32,
        Layout::Nv(y, uv) => (y.len() / 16).min(uv.len() / 16),
        Layout::Planes(y, u, v) => (y.len() / 16).min(u.len() / 8).min(v.len() / 8),
        Layout::Whole(y, u, v) => y.len().min(u.len()).min(v.len()) / 16,
    }
}

/// Converts as many of a row's pixels as blocks of 16 allow, and returns their number. `out` is R, G and B.
pub fn row(layout: Layout<'_>, factors: &Factors, out: [&mut [u8]; 3]) -> usize {
    if !is_x86_feature_detected!("avx2") {
        return 0;
    }
    // SAFETY: AVX2 was detected.
    unsafe { blocks(layout, factors, out) }
}

#[target_feature(enable = "avx2")]
fn blocks(layout: Layout<'_>, factors: &Factors, [red_out, green_out, blue_out]: [&mut [u8]; 3]) -> usize {
    let pair =
        |low: i16, high: i16| _mm256_set1_epi32(i32::from(high) << 16 | i32::from(low.cast_unsigned()));
    let (red, blue) = (pair(factors.y, factors.rv), pair(factors.y, factors.bu));
    let (green_yu, green_v) = (pair(factors.y, -factors.gu), pair(-factors.gv, 1 << 12));
    let (black, middle) = (_mm256_set1_epi16(factors.black), _mm256_set1_epi16(128));
    let (half, one) = (_mm256_set1_epi32(1 << 12), _mm256_set1_epi16(1));
    let room = red_out.len().min(green_out.len()).min(blue_out.len());
    let blocks = loadable(layout).min(room / 16);
    for block in 0..blocks {
        // SAFETY: `blocks` bounds every load.
        let (y, u, v) = unsafe { load(layout, block) };
        let y = _mm256_sub_epi16(y, black);
        let (u, v) = (_mm256_sub_epi16(u, middle), _mm256_sub_epi16(v, middle));
        let shifted = |sum| _mm256_srai_epi32::<13>(sum);
        let both = |low, high| _mm256_packs_epi32(shifted(low), shifted(high));
        let (yv_low, yv_high) = (_mm256_unpacklo_epi16(y, v), _mm256_unpackhi_epi16(y, v));
        let (yu_low, yu_high) = (_mm256_unpacklo_epi16(y, u), _mm256_unpackhi_epi16(y, u));
        let (v1_low, v1_high) = (_mm256_unpacklo_epi16(v, one), _mm256_unpackhi_epi16(v, one));
        let plain = |pairs, factor| _mm256_add_epi32(_mm256_madd_epi16(pairs, factor), half);
        let two = |yu, v1| _mm256_add_epi32(_mm256_madd_epi16(yu, green_yu), _mm256_madd_epi16(v1, green_v));
        let r = both(plain(yv_low, red), plain(yv_high, red));
        let g = both(two(yu_low, v1_low), two(yu_high, v1_high));
        let b = both(plain(yu_low, blue), plain(yu_high, blue));
        // A pack works on each half of the registers: eight R, eight G, eight R, eight G.
        let rg = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(r, g));
        let b = _mm256_permute4x64_epi64::<0b10_00>(_mm256_packus_epi16(b, b));
        let planes = [
            (red_out.as_mut_ptr(), _mm256_castsi256_si128(rg)),
            (green_out.as_mut_ptr(), _mm256_extracti128_si256::<1>(rg)),
            (blue_out.as_mut_ptr(), _mm256_castsi256_si128(b)),
        ];
        for (plane, pixels) in planes {
            // SAFETY: `blocks` bounds every store.
            unsafe { _mm_storeu_si128(plane.add(16 * block).cast(), pixels) };
        }
    }
    16 * blocks
}

/// Returns byte `n` of every four, for two pixels each, as i16.
#[target_feature(enable = "avx2")]
fn pairwise(fours: __m256i, n: i8) -> __m256i {
    let (m, o, p) = (n + 4, n + 8, n + 12);
    let order = _mm_setr_epi8(n, -1, n, -1, m, -1, m, -1, o, -1, o, -1, p, -1, p, -1);
    _mm256_shuffle_epi8(fours, _mm256_broadcastsi128_si256(order))
}

/// Loads Y, U and V of 16 pixels.
///
/// # Safety
/// The layout has this block.
#[target_feature(enable = "avx2")]
unsafe fn load(layout: Layout<'_>, block: usize) -> (__m256i, __m256i, __m256i) {
    // SAFETY: each load reads bytes of the block, as the caller guarantees.
    unsafe {
        match layout {
            Layout::Yuyv(row) => {
                let four = _mm256_loadu_si256(row.as_ptr().add(32 * block).cast());
                (_mm256_and_si256(four, _mm256_set1_epi16(0xff)), pairwise(four, 1), pairwise(four, 3))
            }
            Layout::Nv(y, uv) => {
                let y = _mm256_cvtepu8_epi16(_mm_loadu_si128(y.as_ptr().add(16 * block).cast()));
                // Pairs 0…3 belong to the first eight pixels, 4…7 to the others.
                let pairs = _mm256_cvtepu8_epi16(_mm_loadu_si128(uv.as_ptr().add(16 * block).cast()));
                (y, pairwise(pairs, 0), pairwise(pairs, 2))
            }
            Layout::Planes(y, u, v) => {
                let y = _mm256_cvtepu8_epi16(_mm_loadu_si128(y.as_ptr().add(16 * block).cast()));
                let twice = |plane: &[u8]| {
                    let eight = _mm_loadl_epi64(plane.as_ptr().add(8 * block).cast());
                    _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(eight, eight))
                };
                (y, twice(u), twice(v))
            }
            Layout::Whole(y, u, v) => {
                let wide = |plane: &[u8]| {
                    _mm256_cvtepu8_epi16(_mm_loadu_si128(plane.as_ptr().add(16 * block).cast()))
                };
                (wide(y), wide(u), wide(v))
            }
        }
    }
}
