//! `conv_i8_{1..6}x16c4_avxvnni`, `conv_i8_{1..8}x8c4_avxvnni`.
//!
//! ```text
//! acc[m][v] = bias[v]
//! for segment, step:                      4 deep
//!     w[v] = load 32 bytes of weights     8 channels × 4
//!     for m: a = broadcast 4 bytes of pixel m
//!         acc[m][v] = vpdpbusd(acc[m][v], a, w[v])
//! epilogue(acc)
//! ```
//! 1. 12 accumulators, two weights and a broadcast leave one of 16 registers: 12 `vpdpbusd`, which take six
//!    cycles, for 8 loads.
//! 2. The tile is one macro for the two encodings of `vpdpbusd`: VEX, which is AVX-VNNI's, and EVEX, which is
//!    AVX-512 VL's. The second exists for tests: CPUs with AVX-512 run the same driver, packing and epilogue
//!    through it, so everything except the encoding of one instruction is checked there, too.

use core::arch::x86_64::*;

use crate::tiled::driver::{Tile, TileFn};
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Epilogue, INT8, INT8_SKIP, MODES, finish};
use crate::tiled::geometry::{MAX_MR, Tiling};
use crate::x86_64::avx2::vector::Avx2Vector;

pub(super) const TILING: Tiling =
    Tiling { lanes: 8, nr_vectors: 2, mr: [0, 8, 6, 0, 0], kr: 4, widen: false };

/// Defines the module `$name` with its table of tiles, which use `$dot` under `$features`.
macro_rules! tiles {
    ($name:ident, $features:literal, $dot:ident) => {
        pub(super) mod $name {
            use super::*;

            /// Computes `M` pixels × `N` vectors of 8 channels.
            ///
            /// # Safety
            /// See [`TileFn`].
            #[target_feature(enable = $features)]
            unsafe fn tile<const M: usize, const N: usize, const MODE: usize>(t: &Tile, e: &Epilogue) {
                let mut acc = [[_mm256_setzero_si256(); N]; M];
                let mut x = [t.x[0]; M];
                x.copy_from_slice(&t.x[..M]);
                let mut w = t.weights;
                // SAFETY: the constants and the weights of the panel, and every step of every segment of
                // every pixel, are inside their buffers, see `Tile`.
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
                                    weights[v] = _mm256_load_si256(w.add(32 * v).cast());
                                }
                                for m in 0..M {
                                    let a = _mm256_set1_epi32(x[m].add(at).cast::<i32>().read_unaligned());
                                    for v in 0..N {
                                        acc[m][v] = $dot(acc[m][v], a, weights[v]);
                                    }
                                }
                                at += 4;
                                w = w.add(32 * N);
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

            pub(in super::super) static TILES: [[[TileFn; MAX_MR]; 4]; MODES] = [
                by_vectors::<INT8>(),
                by_vectors::<INT8_SKIP>(),
                by_vectors::<BOTH_SKIP>(),
                by_vectors::<ANY>(),
            ];
        }
    };
}

tiles!(vex, "avx2,avxvnni", _mm256_dpbusd_avx_epi32);
#[cfg(test)]
tiles!(evex, "avx2,avx512vl,avx512vnni", _mm256_dpbusd_epi32);
