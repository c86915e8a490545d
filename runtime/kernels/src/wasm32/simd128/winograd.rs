//! `conv_i16_f4x4_3x16c2_simd128`: transforms and products of [`crate::tiled::winograd`].
//!
//! A product of 6 tiles × 16 channels is computed in four parts of 3 tiles × 8 channels, so that the sums stay in
//! registers.

use core::arch::wasm32::*;

use super::vector::Simd128Vector;
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Epilogue, INT8, INT8_SKIP, MODES, Outputs, finish};
use crate::tiled::geometry::Tiling;
use crate::tiled::winograd::{CHANNELS, GROUP, Kernels, M_TILE, ProductFn, RowFn};
use crate::winograd::{INVERSE_OF_9, POSITIONS, REACH, TILE};

/// Like the direct kernel's, except that a panel has [`CHANNELS`] channels and the driver does not widen inputs.
pub(super) const TILING: Tiling =
    Tiling { lanes: 4, nr_vectors: 4, mr: [0, 0, 0, 0, GROUP], kr: 2, widen: false };

pub(crate) static KERNELS: Kernels = Kernels {
    tiling: &TILING,
    input,
    weights,
    products: &products_by_tiles(),
    output,
    rows: &ROWS,
    // All instructions here take half as many numbers as avx2's, for which the transforms' price is given.
    price: [2, 2],
};

/// The share of the flipped sign bit in V: only the point 1 has a row in `Bᵀ` whose sum, −6, is not zero.
const FLIPPED_SHARE: i16 = 36 * 128;
/// Position (1, 1).
const POINT_ONE: usize = REACH + 1;

/// Computes `Bᵀ d` of one column (or row).
#[inline]
fn input_1d(d: [v128; REACH]) -> [v128; REACH] {
    let (c, e) = (i16x8_sub(d[4], d[2]), i16x8_sub(d[3], d[1]));
    let four = |v| i16x8_shl(v, 2);
    let a = i16x8_sub(d[4], four(d[2]));
    let b = i16x8_sub(d[3], four(d[1]));
    let e2 = i16x8_add(e, e);
    [
        i16x8_add(c, four(i16x8_sub(d[0], d[2]))),
        i16x8_add(a, b),
        i16x8_sub(a, b),
        i16x8_add(c, e2),
        i16x8_sub(i16x8_sub(d[5], d[3]), four(e)),
        i16x8_sub(c, e2),
    ]
}

/// See [`Kernels::input`].
///
/// # Safety
/// See that item; `channels` is a multiple of 8.
unsafe fn input(pixels: &[*const u8; POSITIONS], v: *mut i16, position: usize, channels: usize) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        for c in (0..channels).step_by(8) {
            let mut columns = [[i16x8_splat(0); REACH]; REACH];
            for (j, column) in columns.iter_mut().enumerate() {
                *column =
                    input_1d(core::array::from_fn(|i| i16x8_load_extend_u8x8(pixels[i * REACH + j].add(c))));
            }
            for i in 0..REACH {
                let row = input_1d(core::array::from_fn(|j| columns[j][i]));
                for (j, &value) in row.iter().enumerate() {
                    let value = if i * REACH + j == POINT_ONE {
                        i16x8_sub(value, i16x8_splat(FLIPPED_SHARE))
                    } else {
                        value
                    };
                    v128_store(v.add((i * REACH + j) * position + c).cast(), value);
                }
            }
        }
    }
}

/// Computes `G g`, without the denominators, of one column (or row).
#[inline]
fn weights_1d([a, b, c]: [v128; 3]) -> [v128; REACH] {
    let even = i16x8_add(a, c);
    let far = i16x8_add(a, i16x8_shl(c, 2));
    let b2 = i16x8_add(b, b);
    [a, i16x8_add(even, b), i16x8_sub(even, b), i16x8_add(far, b2), c, i16x8_sub(far, b2)]
}

/// See [`Kernels::weights`].
///
/// # Safety
/// See that item.
unsafe fn weights(blob: *const u8, u: *mut i16, position: usize, pairs: usize) {
    let tap = pairs * CHANNELS * 2;
    // SAFETY: guaranteed by the caller.
    unsafe {
        for at in (0..tap).step_by(8) {
            let mut columns = [[i16x8_splat(0); REACH]; 3];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = weights_1d(core::array::from_fn(|i| {
                    i16x8_load_extend_i8x8(blob.add((i * 3 + j) * tap + at).cast())
                }));
            }
            for i in 0..REACH {
                let row = weights_1d(core::array::from_fn(|j| columns[j][i]));
                for (j, &value) in row.iter().enumerate() {
                    v128_store(u.add((i * REACH + j) * position + at).cast(), value);
                }
            }
        }
    }
}

/// Computes the products of `M` tiles and `N` vectors of 4 channels: `m[t][v] = Σ_k v[t][k]·u[k][v]`.
///
/// # Safety
/// The same as for [`ProductFn`].
#[inline]
unsafe fn part<const M: usize, const N: usize>(
    v: *const i16,
    tile: usize,
    u: *const i16,
    m: *mut i32,
    pairs: usize,
) {
    let mut acc = [[i32x4_splat(0); N]; M];
    // SAFETY: guaranteed by the caller.
    unsafe {
        for k in 0..pairs {
            let weights: [v128; N] =
                core::array::from_fn(|i| v128_load(u.add(2 * CHANNELS * k + 8 * i).cast()));
            for (t, acc) in acc.iter_mut().enumerate() {
                let a = v128_load32_splat(v.add(t * tile + 2 * k).cast());
                for (acc, w) in acc.iter_mut().zip(weights) {
                    *acc = i32x4_add(*acc, i32x4_dot_i16x8(a, w));
                }
            }
        }
        for (t, acc) in acc.iter().enumerate() {
            for (i, &acc) in acc.iter().enumerate() {
                v128_store(m.add(t * M_TILE + 4 * i).cast(), acc);
            }
        }
    }
}

/// See [`ProductFn`].
///
/// # Safety
/// See that item; `A + B` tiles.
unsafe fn product<const A: usize, const B: usize>(
    v: *const i16,
    tile: usize,
    u: *const i16,
    m: *mut i32,
    pairs: usize,
) {
    // SAFETY: guaranteed by the caller, for a part of the channels and of the tiles.
    unsafe {
        for half in [0, CHANNELS / 2] {
            let (u, m) = (u.add(2 * half), m.add(half));
            part::<A, 2>(v, tile, u, m, pairs);
            if B > 0 {
                part::<B, 2>(v.add(A * tile), tile, u, m.add(A * M_TILE), pairs);
            }
        }
    }
}

const fn products_by_tiles() -> [ProductFn; GROUP] {
    [product::<1, 0>, product::<2, 0>, product::<3, 0>, product::<4, 0>, product::<5, 0>, product::<3, 3>]
}

/// Returns the outputs of one column (or row): 24·y0, 12·y1, 6·y2, 6·y3.
#[inline]
fn output_1d(m: [v128; REACH]) -> [v128; TILE] {
    let two = |v| i32x4_shl(v, 1);
    let (a, b) = (i32x4_add(m[1], m[2]), i32x4_sub(m[1], m[2]));
    let (c, d) = (i32x4_add(m[3], m[5]), i32x4_sub(m[3], m[5]));
    let three = |v| i32x4_add(v, two(v));
    [
        i32x4_add(c, two(i32x4_sub(three(m[0]), two(a)))),
        i32x4_sub(d, two(b)),
        i32x4_sub(c, a),
        i32x4_sub(two(i32x4_add(d, three(m[4]))), b),
    ]
}

/// See [`Kernels::output`].
///
/// # Safety
/// See that item.
unsafe fn output(m: *const i32, start: *const i32, sums: *mut i32) {
    let inverse = i32x4_splat(INVERSE_OF_9);
    // SAFETY: guaranteed by the caller.
    unsafe {
        for at in (0..CHANNELS).step_by(4) {
            let mut columns = [[i32x4_splat(0); TILE]; REACH];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = output_1d(core::array::from_fn(|i| {
                    v128_load(m.add((i * REACH + j) * CHANNELS + at).cast())
                }));
            }
            for i in 0..TILE {
                let row = output_1d(core::array::from_fn(|j| columns[j][i]));
                for (j, &value) in row.iter().enumerate() {
                    let to = sums.add((i * TILE + j) * CHANNELS + at);
                    let from = if start.is_null() { to.cast_const() } else { start.add(at) };
                    let sum = i32x4_shr(i32x4_mul(value, inverse), EXPONENT[i] + EXPONENT[j]);
                    v128_store(to.cast(), i32x4_add(sum, v128_load(from.cast())));
                }
            }
        }
    }
}

/// The exponent of 2 in the factor of output i: 24 = 3·8, 12 = 3·4, 6 = 3·2.
const EXPONENT: [u32; TILE] = [3, 2, 1, 1];

/// See [`Kernels::rows`].
///
/// # Safety
/// See that item.
unsafe fn row<const M: usize, const MODE: usize>(sums: *const i32, out: &Outputs, e: &Epilogue) {
    let mut acc = [[i32x4_splat(0); 4]; M];
    // SAFETY: guaranteed by the caller.
    unsafe {
        for (m, acc) in acc.iter_mut().enumerate() {
            for (v, acc) in acc.iter_mut().enumerate() {
                *acc = v128_load(sums.add(m * CHANNELS + 4 * v).cast());
            }
        }
        finish::<Simd128Vector, M, 4, MODE>(out, e, &acc);
    }
}

const fn rows<const MODE: usize>() -> [RowFn; TILE] {
    [row::<1, MODE>, row::<2, MODE>, row::<3, MODE>, row::<4, MODE>]
}

static ROWS: [[RowFn; TILE]; MODES] =
    [rows::<INT8>(), rows::<INT8_SKIP>(), rows::<BOTH_SKIP>(), rows::<ANY>()];
