//! `conv_i16_f4x4_6x16c2_avx2`: transforms and products of [`crate::tiled::winograd`].
//!
//! A product of 6 tiles × 16 channels needs 12 accumulators, two weights, a broadcast and a product: all 16
//! registers. Per pair of channels that is 12 `vpmaddwd` and 12 `vpaddd` for 2 + 6 loads, the same mix as the
//! direct kernel without its two widenings. Each MAC replaces 4 of the direct sum (2.9 and 3.1 if sides of 7 and
//! 14 end in parts of tiles).

use core::arch::x86_64::*;

use super::vector::Avx2Vector;
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Epilogue, INT8, INT8_SKIP, MODES, Outputs, finish};
use crate::tiled::geometry::Tiling;
use crate::tiled::winograd::{CHANNELS, GROUP, Kernels, M_TILE, ProductFn, RowFn};
use crate::winograd::{INVERSE_OF_9, POSITIONS, REACH, TILE};

/// Like the direct kernel's, except that the driver does not widen inputs.
pub(in super::super) const TILING: Tiling =
    Tiling { lanes: 8, nr_vectors: 2, mr: [0, 0, GROUP, 0, 0], kr: 2, widen: false };

pub(crate) static KERNELS: Kernels = Kernels {
    tiling: &TILING,
    input,
    weights,
    products: &products_by_tiles(),
    output,
    rows: &ROWS,
    price: [2, 2],
};

/// The share of the flipped sign bit in V: only the point 1 has a row in `Bᵀ` whose sum, −6, is not zero.
const FLIPPED_SHARE: i16 = 36 * 128;
/// Position (1, 1).
const POINT_ONE: usize = REACH + 1;

/// Computes `Bᵀ d` of one column (or row).
#[inline]
#[target_feature(enable = "avx2")]
fn input_1d(d: [__m256i; REACH]) -> [__m256i; REACH] {
    let (c, e) = (_mm256_sub_epi16(d[4], d[2]), _mm256_sub_epi16(d[3], d[1]));
    let four = |v| _mm256_slli_epi16::<2>(v);
    let a = _mm256_sub_epi16(d[4], four(d[2]));
    let b = _mm256_sub_epi16(d[3], four(d[1]));
    let e2 = _mm256_add_epi16(e, e);
    [
        _mm256_add_epi16(c, four(_mm256_sub_epi16(d[0], d[2]))),
        _mm256_add_epi16(a, b),
        _mm256_sub_epi16(a, b),
        _mm256_add_epi16(c, e2),
        _mm256_sub_epi16(_mm256_sub_epi16(d[5], d[3]), four(e)),
        _mm256_sub_epi16(c, e2),
    ]
}

/// See [`Kernels::input`].
///
/// # Safety
/// See that item; `channels` is a multiple of 16.
#[target_feature(enable = "avx2")]
unsafe fn input(pixels: &[*const u8; POSITIONS], v: *mut i16, position: usize, channels: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        for c in (0..channels).step_by(16) {
            let mut columns = [[_mm256_setzero_si256(); REACH]; REACH];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = input_1d(core::array::from_fn(|i| {
                    _mm256_cvtepu8_epi16(_mm_loadu_si128(pixels[i * REACH + j].add(c).cast()))
                }));
            }
            for i in 0..REACH {
                let row = input_1d(core::array::from_fn(|j| columns[j][i]));
                for (j, &value) in row.iter().enumerate() {
                    let value = if i * REACH + j == POINT_ONE {
                        _mm256_sub_epi16(value, _mm256_set1_epi16(FLIPPED_SHARE))
                    } else {
                        value
                    };
                    _mm256_storeu_si256(v.add((i * REACH + j) * position + c).cast(), value);
                }
            }
        }
    }
}

/// Computes `G g`, without the denominators, of one column (or row).
#[inline]
#[target_feature(enable = "avx2")]
fn weights_1d([a, b, c]: [__m256i; 3]) -> [__m256i; REACH] {
    let even = _mm256_add_epi16(a, c);
    let far = _mm256_add_epi16(a, _mm256_slli_epi16::<2>(c));
    let b2 = _mm256_add_epi16(b, b);
    [
        a,
        _mm256_add_epi16(even, b),
        _mm256_sub_epi16(even, b),
        _mm256_add_epi16(far, b2),
        c,
        _mm256_sub_epi16(far, b2),
    ]
}

/// See [`Kernels::weights`].
///
/// # Safety
/// See that item.
#[target_feature(enable = "avx2")]
unsafe fn weights(blob: *const u8, u: *mut i16, position: usize, pairs: usize) {
    let tap = pairs * CHANNELS * 2;
    // SAFETY: guaranteed by the caller.
    unsafe {
        for at in (0..tap).step_by(16) {
            let mut columns = [[_mm256_setzero_si256(); REACH]; 3];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = weights_1d(core::array::from_fn(|i| {
                    _mm256_cvtepi8_epi16(_mm_loadu_si128(blob.add((i * 3 + j) * tap + at).cast()))
                }));
            }
            for i in 0..REACH {
                let row = weights_1d(core::array::from_fn(|j| columns[j][i]));
                for (j, &value) in row.iter().enumerate() {
                    _mm256_storeu_si256(u.add((i * REACH + j) * position + at).cast(), value);
                }
            }
        }
    }
}

/// See [`ProductFn`].
///
/// # Safety
/// See that item; `M` tiles.
#[target_feature(enable = "avx2")]
unsafe fn product<const M: usize>(v: *const i16, tile: usize, u: *const i16, m: *mut i32, pairs: usize) {
    let mut acc = [[_mm256_setzero_si256(); 2]; M];
    // SAFETY: guaranteed by the caller.
    unsafe {
        for k in 0..pairs {
            let weights =
                [_mm256_loadu_si256(u.add(32 * k).cast()), _mm256_loadu_si256(u.add(32 * k + 16).cast())];
            for (t, acc) in acc.iter_mut().enumerate() {
                let a = _mm256_set1_epi32(v.add(t * tile + 2 * k).cast::<i32>().read_unaligned());
                for (acc, w) in acc.iter_mut().zip(weights) {
                    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(a, w));
                }
            }
        }
        for (t, acc) in acc.iter().enumerate() {
            for (i, &acc) in acc.iter().enumerate() {
                _mm256_storeu_si256(m.add(t * M_TILE + 8 * i).cast(), acc);
            }
        }
    }
}

const fn products_by_tiles() -> [ProductFn; GROUP] {
    [product::<1>, product::<2>, product::<3>, product::<4>, product::<5>, product::<6>]
}

/// Returns the outputs of one column (or row): 24·y0, 12·y1, 6·y2, 6·y3.
#[inline]
#[target_feature(enable = "avx2")]
fn output_1d(m: [__m256i; REACH]) -> [__m256i; TILE] {
    let two = |v| _mm256_slli_epi32::<1>(v);
    let (a, b) = (_mm256_add_epi32(m[1], m[2]), _mm256_sub_epi32(m[1], m[2]));
    let (c, d) = (_mm256_add_epi32(m[3], m[5]), _mm256_sub_epi32(m[3], m[5]));
    let three = |v| _mm256_add_epi32(v, two(v));
    [
        _mm256_add_epi32(c, two(_mm256_sub_epi32(three(m[0]), two(a)))),
        _mm256_sub_epi32(d, two(b)),
        _mm256_sub_epi32(c, a),
        _mm256_sub_epi32(two(_mm256_add_epi32(d, three(m[4]))), b),
    ]
}

/// See [`Kernels::output`].
///
/// # Safety
/// See that item.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn output(m: *const i32, start: *const i32, sums: *mut i32) {
    let inverse = _mm256_set1_epi32(INVERSE_OF_9);
    // SAFETY: guaranteed by the caller.
    unsafe {
        for at in (0..CHANNELS).step_by(8) {
            let mut columns = [[_mm256_setzero_si256(); TILE]; REACH];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = output_1d(core::array::from_fn(|i| {
                    _mm256_loadu_si256(m.add((i * REACH + j) * CHANNELS + at).cast())
                }));
            }
            for i in 0..TILE {
                let row = output_1d(core::array::from_fn(|j| columns[j][i]));
                for (j, &value) in row.iter().enumerate() {
                    let to = sums.add((i * TILE + j) * CHANNELS + at);
                    let from = if start.is_null() { to.cast_const() } else { start.add(at) };
                    let shift = _mm_cvtsi32_si128(EXPONENT[i] + EXPONENT[j]);
                    let sum = _mm256_sra_epi32(_mm256_mullo_epi32(value, inverse), shift);
                    let sum = _mm256_add_epi32(sum, _mm256_loadu_si256(from.cast()));
                    _mm256_storeu_si256(to.cast(), sum);
                }
            }
        }
    }
}

/// The exponent of 2 in the factor of output i: 24 = 3·8, 12 = 3·4, 6 = 3·2.
const EXPONENT: [i32; TILE] = [3, 2, 1, 1];

/// See [`Kernels::rows`].
///
/// # Safety
/// See that item.
#[target_feature(enable = "avx2")]
unsafe fn row<const M: usize, const MODE: usize>(sums: *const i32, out: &Outputs, e: &Epilogue) {
    let mut acc = [[_mm256_setzero_si256(); 2]; M];
    // SAFETY: guaranteed by the caller.
    unsafe {
        for (m, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                *acc = _mm256_loadu_si256(sums.add(m * CHANNELS + 8 * v).cast());
            }
        }
        finish::<Avx2Vector, M, 2, MODE>(out, e, &acc);
    }
}

const fn rows<const MODE: usize>() -> [RowFn; TILE] {
    [row::<1, MODE>, row::<2, MODE>, row::<3, MODE>, row::<4, MODE>]
}

pub(in super::super) static ROWS: [[RowFn; TILE]; MODES] =
    [rows::<INT8>(), rows::<INT8_SKIP>(), rows::<BOTH_SKIP>(), rows::<ANY>()];
