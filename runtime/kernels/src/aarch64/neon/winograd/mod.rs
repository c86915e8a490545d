//! `conv_i16_f4x4_8x8_neon`: 3×3 convolutions of stride 1 by Winograd's F(4×4, 3×3), exactly.
//!
//! Lavin & Gray, *Fast Algorithms for Convolutional Neural Networks*, 2016:
//! ```text
//! Y = Aᵀ[ (G g Gᵀ) ⊙ (Bᵀ d B) ]A        d: 6×6 pixels, g: 3×3 weights, Y: 4×4 outputs
//! ```
//! makes 16 outputs from 36 products per channel pair instead of 144. Usually it is a method for floats,
//! as `G` holds sixths and twenty-fourths. Here every number is an integer and the result is exact:
//!
//! - **Input.** `Bᵀ`'s rows have magnitudes that sum to at most 10, so `Bᵀ d B` of int8 is at most
//!   128·100 = 12,800 and fits int16. `d` is the raw int8, padding is `z`, and `−z·Σ w` is in the bias.
//! - **Weights.** Each row of `G` loses its denominator: (1,0,0), (1,1,1), (1,−1,1), (1,2,4), (0,0,1), (1,−2,4)
//!   for the points 0, 1, −1, 2, ∞, −2. Then `G g Gᵀ` is at most 127·49 = 6,223: int16 as well.
//! - **Output.** The denominators go into `Aᵀ`, whose rows are then multiples 24, 12, 6 and 6 of what
//!   they should be (`m∞` is the product at infinity):
//!   ```text
//!   24·y0 = 6·m0 − 4·(m1 + m₋1) +    (m2 + m₋2)
//!   12·y1 =      − 2·(m1 − m₋1) +    (m2 − m₋2)
//!    6·y2 =      −   (m1 + m₋1) +    (m2 + m₋2)
//!    6·y3 =      −   (m1 − m₋1) + 2·(m2 − m₋2) + 6·m∞
//!   ```
//!   In two dimensions output (i, j) comes out as `9·2^s` times the true sum, s from 2 to 6.
//! - **Division.** All sums wrap modulo 2³², which is a ring, so intermediate overflow is harmless. 9 has
//!   an inverse there, and what remains is `sum·2^s mod 2³²`; an arithmetic shift right by s gives `sum`
//!   if |sum| < 2²⁵. As |Σ x·w| ≤ 128·Σ |w|, that holds for any 224 input channels, and for as many more as the
//!   actual weights allow ([`parts`]); deeper sums are made in parts that are each divided and then added.
//!
//! Sides that are no multiple of 4 end in tiles of 3: F(3, 3) on the points 0, 1, −1, 2, ∞, five of the six, so
//! that the transformed weights serve both sizes. 14 = 4+4+3+3 takes 22 products per line where four tiles of 4
//! take 24, and 7 = 4+3 takes 11 where two take 12, so 16 % less in two dimensions. Its formulas, to the common
//! factor 6:
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
//! 1. *The product* ([`product`]) holds 8 tiles × 8 channels in 16 accumulators. Eight channels of depth per
//!    turn: two loads bring 8 tiles × 8, two 8 × 8 weights, 128 `smlal`/`smlal2` by lane follow. That
//!    is 512 products in 134 instructions (3.82 each of the instruction's 4), and each stands for 4
//!    products of the direct sum: 15.3 against the direct kernel's 5.95.
//! 2. *Tiles are interleaved by 8 channels*, `[ξ][channel / 8][tile][8]`, which is as the input transform
//!    makes them and as the product loads them; nothing is transposed.
//! 3. *Tiles fall into even groups*: 49 are seven groups of 7, not six of 8 and one of 1.
//! 4. *The first 8 channels multiply without adding*, so that no accumulator is zeroed.
//!
//! The transforms cost about 2.5 instructions per input and 3 per output value, once for all output
//! channels. The price is memory: 72 bytes of weights for 9. F(2×2, 3×3) would take 32, but multiply 1.8
//! times as often.

mod product;
mod tiling;
mod transform;

pub use product::{Class, products};
pub use tiling::{Band, CLASSES, Tiling, group, group_of, groups};
pub use transform::{Input, Place, patch_bytes, transform_input, transform_output};

/// Outputs per tile side at most.
pub const TILE: usize = 4;
/// Inputs per tile side at most; the number of points.
pub const REACH: usize = TILE + 2;
/// Positions in the transformed tile.
pub const POSITIONS: usize = REACH * REACH;
/// Tiles per group at most.
pub const GROUP: usize = 8;
/// Output channels per product.
pub const LANES: usize = 8;

/// Σ |w| of one output channel that still makes the division exact: 128·Σ < 2²⁵.
const WEIGHT_SUM_LIMIT: u64 = 1 << 18;
/// Steps of 8 input channels that make the division exact whatever their weights are.
const SAFE_STEPS: usize = 28;
const _: () = assert!((SAFE_STEPS * LANES * 9 * 127) as u64 <= WEIGHT_SUM_LIMIT);

/// Parts that a depth of so many steps of 8 channels is summed in at most.
pub const fn most_parts(steps: usize) -> usize {
    steps.div_ceil(SAFE_STEPS)
}

/// Steps `first..end` of part `part`.
pub const fn part(steps: usize, parts: usize, part: usize) -> (usize, usize) {
    (steps * part / parts, steps * (part + 1) / parts)
}

/// The least number of even parts of the depth that keep every |Σ x·w| below 2²⁵ for every int8 input. Weights
/// are OHWI.
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

/// `G g`, without the denominators, of one column (or row).
fn weights_1d([a, b, c]: [i16; 3]) -> [i16; REACH] {
    let (even, far) = (a + c, a + 4 * c);
    [a, even + b, even - b, far + 2 * b, c, far - 2 * b]
}

/// `G g Gᵀ` of one 3×3 kernel, without the denominators.
pub fn transform_weights(g: &[[i8; 3]; 3]) -> [i16; POSITIONS] {
    let columns: [_; 3] = core::array::from_fn(|j| weights_1d(core::array::from_fn(|i| i16::from(g[i][j]))));
    let mut u = [0; POSITIONS];
    for (i, row) in u.chunks_exact_mut(REACH).enumerate() {
        row.copy_from_slice(&weights_1d(core::array::from_fn(|j| columns[j][i])));
    }
    u
}
