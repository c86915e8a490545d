//! `conv_i16_f4x4_8x8c1_neon`: 3×3 convolutions of stride 1 by exact Winograd, see [`crate::winograd`].
//!
//! Sides that are not a multiple of 4 end in tiles of 3: F(3, 3) on the points 0, 1, −1, 2, ∞. These are five of
//! the six, so the transformed weights serve both sizes. 14 = 4+4+3+3 takes 22 MACs per line, where four tiles of
//! 4 take 24; 7 = 4+3 takes 11, where two take 12. In two dimensions that is 16 % less. The formulas, with the
//! common factor 6:
//! ```text
//! 6·y0 = 3·(m0 − m1) − m₋1 + m2
//! 6·y1 =      − 3·m1 + m₋1 + 2·m2
//! 6·y2 =      − 3·m1 − m₋1 + 4·m2 + 6·m∞
//! ```
//! ```text
//! for each band of tile rows (its V fits in a few hundred kB)
//!     for each tile, 8 channels: V[ξ] = Bᵀ d B                          36 × 8 int16, ξ = 0…35
//!     for each 16 output channels
//!         for ξ in 0…35: M[ξ] = V[ξ]·U[ξ]           [tiles × c_in]·[c_in × 16], int32
//!         for each tile, 4 channels: Aᵀ M A, divide                      into the epilogue's buffer
//!         epilogue
//! ```
//!
//! 1. *The product* ([`product`]) computes 8 tiles × 8 channels in 16 accumulators. Each turn processes eight
//!    channels of depth: two loads bring 8 tiles × 8, two 8 × 8 weights, and 128 `smlal`/`smlal2` by lane follow.
//!    That is 512 MACs in 134 instructions (3.82 each of the instruction's 4), and each replaces 4 MACs of the
//!    direct sum: 15.3 compared with the direct kernel's 5.95.
//! 2. *Tiles are interleaved by 8 channels*, `[ξ][channel / 8][tile][8]`. The input transform writes this order
//!    and the product loads it, so nothing is transposed.
//! 3. *Tiles are divided into even groups*: 49 are seven groups of 7, not six of 8 and one of 1.
//! 4. *The first 8 channels multiply without adding*, so that no accumulator is zeroed.
//!
//! The transforms cost about 2.5 instructions per input and 3 per output value, once for all output channels. The
//! price is memory: 72 bytes of weights instead of 9. F(2×2, 3×3) would take 32, but multiply 1.8 times as often.

mod geometry;
mod tile;
mod transform;

pub(crate) use crate::winograd::{POSITIONS, REACH, TILE, most_parts, part};
pub use geometry::{Band, CLASSES, group, group_of, groups};
pub use tile::{Class, products};
pub use transform::{Input, Place, patch_bytes, transform_input, transform_output};

use crate::winograd::{DEPTH, WEIGHT_SUM_LIMIT};

/// The largest number of tiles per group.
pub const GROUP: usize = 8;
/// Output channels per product.
pub const LANES: usize = 8;
const _: () = assert!(LANES == DEPTH);

/// Returns the least number of even parts of the depth that keep every |Σ x·w| below 2²⁵ for every int8 input.
/// Weights are OHWI.
pub fn parts(weights: &[i8], c_in: usize) -> usize {
    let steps = c_in / LANES;
    let exact = |parts: usize| {
        weights.chunks_exact(9 * c_in).all(|channel| {
            (0..parts).all(|p| {
                let (first, end) = part(steps, parts, p);
                let taps = channel.chunks_exact(c_in).map(|tap| &tap[first * LANES..end * LANES]);
                taps.flatten().map(|w| u64::from(w.unsigned_abs())).sum::<u64>() < WEIGHT_SUM_LIMIT
            })
        })
    };
    let most = most_parts(steps);
    (1..most).find(|&parts| exact(parts)).unwrap_or(most)
}

/// Computes `G g`, without the denominators, of one column (or row).
fn weights_1d([a, b, c]: [i16; 3]) -> [i16; REACH] {
    let (even, far) = (a + c, a + 4 * c);
    [a, even + b, even - b, far + 2 * b, c, far - 2 * b]
}

/// Computes `G g Gᵀ` of one 3×3 kernel, without the denominators.
pub fn transform_weights(g: &[[i8; 3]; 3]) -> [i16; POSITIONS] {
    let columns: [_; 3] = core::array::from_fn(|j| weights_1d(core::array::from_fn(|i| i16::from(g[i][j]))));
    let mut u = [0; POSITIONS];
    for (i, row) in u.chunks_exact_mut(REACH).enumerate() {
        row.copy_from_slice(&weights_1d(core::array::from_fn(|j| columns[j][i])));
    }
    u
}
