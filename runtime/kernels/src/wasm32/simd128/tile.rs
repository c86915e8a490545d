//! `conv_i8_{1..5}x8c2_simd128`, `conv_i8_{1..8}x4c2_simd128`.
//!
//! ```text
//! acc[m][v] = bias[v]
//! for segment, step:                      2 deep
//!     w[v] = i16x8.load8x8_s              4 channels × 2, i16
//!     for m: a = v128.load32_splat        two i16 of pixel m
//!         acc[m][v] = i32x4.add(acc[m][v], i32x4.dot_i16x8_s(a, w[v]))
//! epilogue(acc)
//! ```
//! 1. Products of i16 in i32 never saturate, as in avx2's tile. The relaxed dot product of int8 takes seven bits
//!    on one side and lets the engine choose the result for the eighth, so it cannot give the same bits
//!    everywhere.
//! 2. Inputs are widened once per block of rows; weights are widened as they are loaded, once per step for all
//!    pixels.
//! 3. Engines have 15 vector registers on x86-64: ten accumulators, two weights, the broadcast and a product.

use core::arch::wasm32::*;

use super::vector::Simd128Vector;
use crate::tiled::driver::{Tile, TileFn};
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Epilogue, INT8, INT8_SKIP, MODES, finish};
use crate::tiled::geometry::{MAX_MR, Tiling};

pub(super) const TILING: Tiling = Tiling { lanes: 4, nr_vectors: 2, mr: [0, 8, 5, 0, 0], kr: 2, widen: true };

/// Computes `M` pixels × `N` vectors of 4 channels.
///
/// # Safety
/// See [`TileFn`].
unsafe fn tile<const M: usize, const N: usize, const MODE: usize>(t: &Tile, e: &Epilogue) {
    let mut acc = [[i32x4_splat(0); N]; M];
    let mut x = [t.x[0]; M];
    x.copy_from_slice(&t.x[..M]);
    let mut w = t.weights;
    // SAFETY: the constants and the weights of the panel, and every step of every segment of every
    // pixel, are inside their buffers, see `Tile`.
    unsafe {
        for v in 0..N {
            let bias = v128_load(t.out.constants.add(16 * v).cast());
            for row in &mut acc {
                row[v] = bias;
            }
        }
        for sy in 0..t.segments[0] {
            for sx in 0..t.segments[1] {
                let mut at = sy * t.segment_stride[0] + sx * t.segment_stride[1];
                for _ in 0..t.steps {
                    let mut weights = [i32x4_splat(0); N];
                    for v in 0..N {
                        weights[v] = i16x8_load_extend_i8x8(w.add(8 * v).cast());
                    }
                    for m in 0..M {
                        let a = v128_load32_splat(x[m].add(at).cast());
                        for v in 0..N {
                            acc[m][v] = i32x4_add(acc[m][v], i32x4_dot_i16x8(a, weights[v]));
                        }
                    }
                    at += 4;
                    w = w.add(8 * N);
                }
            }
        }
        finish::<Simd128Vector, M, N, MODE>(&t.out, e, &acc);
    }
}

const fn by_vectors<const MODE: usize>() -> [[TileFn; MAX_MR]; 4] {
    let one: [TileFn; MAX_MR] = [
        tile::<1, 1, MODE>,
        tile::<2, 1, MODE>,
        tile::<3, 1, MODE>,
        tile::<4, 1, MODE>,
        tile::<5, 1, MODE>,
        tile::<6, 1, MODE>,
        tile::<7, 1, MODE>,
        tile::<8, 1, MODE>,
    ];
    let two: [TileFn; MAX_MR] = [
        tile::<1, 2, MODE>,
        tile::<2, 2, MODE>,
        tile::<3, 2, MODE>,
        tile::<4, 2, MODE>,
        tile::<5, 2, MODE>,
        tile::<5, 2, MODE>,
        tile::<5, 2, MODE>,
        tile::<5, 2, MODE>,
    ];
    // The tiling has no panel of three or four vectors, and no tile of more than five pixels and two vectors.
    [one, two, two, two]
}

pub(super) static TILES: [[[TileFn; MAX_MR]; 4]; MODES] =
    [by_vectors::<INT8>(), by_vectors::<INT8_SKIP>(), by_vectors::<BOTH_SKIP>(), by_vectors::<ANY>()];
