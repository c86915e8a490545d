//! `conv_i8_{1..6}x16c2_avx2`, `conv_i8_{1..8}x8c2_avx2`.
//!
//! ```text
//! acc[m][v] = bias[v]
//! for segment, step:                      2 deep
//!     w[v] = vpmovsxbw 16 bytes           8 channels × 2, i16
//!     for m: a = broadcast two i16 of pixel m
//!         acc[m][v] = vpaddd(acc[m][v], vpmaddwd(a, w[v]))
//! epilogue(acc)
//! ```
//! 1. `vpmaddubsw`, which multiplies u8 by i8, saturates at 2¹⁵: two products of 255 · 127 are twice that, and
//!    real layers have such pairs in nearly every panel. Products of i16 in i32 never saturate. They cost two
//!    `vpmaddwd` and two `vpaddd` per 32 MACs, where the other way needs `vpmaddubsw`, `vpmaddwd` and one
//!    `vpaddd`. That is the same number of multiplications, which are the bound if additions have ports of their
//!    own. So there is only one path, and nothing in it can saturate. (A step of 4 × 16 weights with such a pair
//!    would need the instructions of both ways, six for four. So a second path would pay if fewer than a third of
//!    the steps had one. The share is a third to two thirds in 3×3 layers trained on CIFAR-10 or with normally
//!    distributed weights, half and more in 1×1 layers, and nearly all with uniformly distributed weights.)
//! 2. Inputs are widened once per block of rows, while padding is added, and their zero point is subtracted then;
//!    weights stay i8 in memory and are widened as they are loaded, once per step for all pixels.
//! 3. 12 accumulators, two weights, the broadcast and a product are all 16 registers.

use core::arch::x86_64::*;

use super::vector::Avx2Vector;
use crate::tiled::driver::{Tile, TileFn};
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Epilogue, INT8, INT8_SKIP, MODES, finish};
use crate::tiled::geometry::{MAX_MR, Tiling};

pub(super) const TILING: Tiling = Tiling { lanes: 8, nr_vectors: 2, mr: [0, 8, 6, 0, 0], kr: 2, widen: true };

/// Computes `M` pixels × `N` vectors of 8 channels.
///
/// # Safety
/// See [`TileFn`].
#[target_feature(enable = "avx2")]
unsafe fn tile<const M: usize, const N: usize, const MODE: usize>(t: &Tile, e: &Epilogue) {
    let mut acc = [[_mm256_setzero_si256(); N]; M];
    let mut x = [t.x[0]; M];
    x.copy_from_slice(&t.x[..M]);
    let mut w = t.weights;
    // SAFETY: the constants and the weights of the panel, and every step of every segment of every
    // pixel, are inside their buffers, see `Tile`.
    unsafe {
        for v in 0..N {
            let bias = _mm256_load_si256(t.out.constants.add(32 * v).cast());
            for row in &mut acc {
                row[v] = bias;
            }
        }
        for sy in 0..t.segments[0] {
            for sx in 0..t.segments[1] {
                let mut at = sy * t.segment_stride[0] + sx * t.segment_stride[1];
                for _ in 0..t.steps {
                    let mut weights = [_mm256_setzero_si256(); N];
                    for v in 0..N {
                        weights[v] = _mm256_cvtepi8_epi16(_mm_load_si128(w.add(16 * v).cast()));
                    }
                    for m in 0..M {
                        let a = _mm256_set1_epi32(x[m].add(at).cast::<i32>().read_unaligned());
                        for v in 0..N {
                            acc[m][v] = _mm256_add_epi32(acc[m][v], _mm256_madd_epi16(a, weights[v]));
                        }
                    }
                    at += 4;
                    w = w.add(16 * N);
                }
            }
        }
        finish::<Avx2Vector, M, N, MODE>(&t.out, e, &acc);
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
        tile::<6, 2, MODE>,
        tile::<6, 2, MODE>,
        tile::<6, 2, MODE>,
    ];
    // The tiling has no panel of three or four vectors.
    [one, two, two, two]
}

pub(super) static TILES: [[[TileFn; MAX_MR]; 4]; MODES] =
    [by_vectors::<INT8>(), by_vectors::<INT8_SKIP>(), by_vectors::<BOTH_SKIP>(), by_vectors::<ANY>()];
