//! `conv_i8_{1..6}x64c4_avx512vnni`, `conv_i8_{1..8}x{16,32,48}c4_avx512vnni`.
//!
//! ```text
//! acc[m][v] = bias[v]
//! for segment, step:                      4 deep
//!     w[v] = load 64 bytes of weights     16 channels × 4
//!     for m: a = broadcast 4 bytes of pixel m
//!         acc[m][v] = vpdpbusd(acc[m][v], a, w[v])
//! epilogue(acc)
//! ```
//! 1. 6 × 4 accumulators: 24 `vpdpbusd` for 4 + 6 loads, twice as many as the load ports need to hide loads from
//!    the first-level cache, and 11 bytes of weights per cycle, which the second-level cache delivers.
//! 2. Accumulators start as the bias, into which the zero points are folded.
//! 3. The epilogue works on registers; its instructions run on the ports that `vpdpbusd` leaves free while the
//!    next tile's loop begins.

use core::arch::x86_64::*;

use super::vector::Avx512Vector;
use crate::tiled::driver::{Tile, TileFn};
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Epilogue, INT8, INT8_SKIP, MODES, finish};
use crate::tiled::geometry::{MAX_MR, Tiling};

pub(super) const TILING: Tiling =
    Tiling { lanes: 16, nr_vectors: 4, mr: [0, 8, 8, 8, 6], kr: 4, widen: false };

/// Computes `M` pixels × `N` vectors of 16 channels.
///
/// # Safety
/// See [`TileFn`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const M: usize, const N: usize, const MODE: usize>(t: &Tile, e: &Epilogue) {
    let mut acc = [[_mm512_setzero_si512(); N]; M];
    let mut x = [t.x[0]; M];
    x.copy_from_slice(&t.x[..M]);
    let mut w = t.weights;
    // SAFETY: the constants and the weights of the panel, and every step of every segment of every
    // pixel, are inside their buffers, see `Tile`.
    unsafe {
        for v in 0..N {
            let bias = _mm512_load_si512(t.out.constants.add(64 * v).cast());
            for row in &mut acc {
                row[v] = bias;
            }
        }
        for sy in 0..t.segments[0] {
            for sx in 0..t.segments[1] {
                let mut at = sy * t.segment_stride[0] + sx * t.segment_stride[1];
                for _ in 0..t.steps {
                    let mut weights = [_mm512_setzero_si512(); N];
                    for v in 0..N {
                        weights[v] = _mm512_load_si512(w.add(64 * v).cast());
                    }
                    for m in 0..M {
                        let a = _mm512_set1_epi32(x[m].add(at).cast::<i32>().read_unaligned());
                        for v in 0..N {
                            acc[m][v] = _mm512_dpbusd_epi32(acc[m][v], a, weights[v]);
                        }
                    }
                    at += 4;
                    w = w.add(64 * N);
                }
            }
        }
        finish::<Avx512Vector, M, N, MODE>(&t.out, e, &acc);
    }
}

const fn by_pixels<const N: usize, const MODE: usize>() -> [TileFn; MAX_MR] {
    [
        tile::<1, N, MODE>,
        tile::<2, N, MODE>,
        tile::<3, N, MODE>,
        tile::<4, N, MODE>,
        tile::<5, N, MODE>,
        tile::<6, N, MODE>,
        tile::<7, N, MODE>,
        tile::<8, N, MODE>,
    ]
}

const fn by_vectors<const MODE: usize>() -> [[TileFn; MAX_MR]; 4] {
    [by_pixels::<1, MODE>(), by_pixels::<2, MODE>(), by_pixels::<3, MODE>(), by_six::<MODE>()]
}

/// Four vectors leave registers for six pixels.
const fn by_six<const MODE: usize>() -> [TileFn; MAX_MR] {
    [
        tile::<1, 4, MODE>,
        tile::<2, 4, MODE>,
        tile::<3, 4, MODE>,
        tile::<4, 4, MODE>,
        tile::<5, 4, MODE>,
        tile::<6, 4, MODE>,
        tile::<6, 4, MODE>,
        tile::<6, 4, MODE>,
    ]
}

pub(super) static TILES: [[[TileFn; MAX_MR]; 4]; MODES] =
    [by_vectors::<INT8>(), by_vectors::<INT8_SKIP>(), by_vectors::<BOTH_SKIP>(), by_vectors::<ANY>()];
