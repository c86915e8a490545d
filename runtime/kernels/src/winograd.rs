//! 3×3 convolutions of stride 1 by Winograd's F(4×4, 3×3), computed exactly: the part that all kernels share.
//!
//! Lavin & Gray, *Fast Algorithms for Convolutional Neural Networks*, 2016:
//! ```text
//! Y = Aᵀ[ (G g Gᵀ) ⊙ (Bᵀ d B) ]A        d: 6×6 pixels, g: 3×3 weights, Y: 4×4 outputs
//! ```
//! computes 16 outputs with 36 MACs per channel pair instead of 144. Usually the method is used with floats, since
//! `G` contains sixths and twenty-fourths. Here every number is an integer and the result is exact:
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
//! - **Division.** All sums wrap modulo 2³². This is a ring, so intermediate overflow is harmless. 9 has an
//!   inverse there, which leaves `sum·2^s mod 2³²`; an arithmetic shift right by s gives `sum` if |sum| < 2²⁵. As
//!   |Σ x·w| ≤ 128·Σ |w|, that holds for any 224 input channels, and for as many more as the actual weights allow
//!   (neon counts them when it packs; x86-64 uses the depth alone). Deeper sums are computed in parts, each of
//!   which is divided before they are added.

/// The largest number of outputs per tile side.
pub(crate) const TILE: usize = 4;
/// The largest number of inputs per tile side, which is the number of points.
pub(crate) const REACH: usize = TILE + 2;
/// The number of positions in the transformed tile.
pub(crate) const POSITIONS: usize = REACH * REACH;
/// The number of input channels per step of the depth, the unit in which the depth is divided into parts.
pub(crate) const DEPTH: usize = 8;

/// Modulo 2³²: `9 · INVERSE_OF_9 = 1`.
pub(crate) const INVERSE_OF_9: i32 = 954_437_177;
const _: () = assert!(INVERSE_OF_9.wrapping_mul(9) == 1);

/// The largest Σ |w| of one output channel for which the division is exact: 128·Σ < 2²⁵.
pub(crate) const WEIGHT_SUM_LIMIT: u64 = 1 << 18;
/// The number of steps of [`DEPTH`] input channels for which the division is exact, whatever the weights.
const SAFE_STEPS: usize = 28;
const _: () = assert!((SAFE_STEPS * DEPTH * 9 * 127) as u64 <= WEIGHT_SUM_LIMIT);

/// Returns the largest number of parts in which a depth of this many steps is summed.
pub(crate) const fn most_parts(steps: usize) -> usize {
    steps.div_ceil(SAFE_STEPS)
}

/// Returns the steps `first..end` of part `part`.
pub(crate) const fn part(steps: usize, parts: usize, part: usize) -> (usize, usize) {
    (steps * part / parts, steps * (part + 1) / parts)
}
