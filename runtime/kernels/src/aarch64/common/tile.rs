//! The part of the blocked convolution that an instruction set provides: its register tiles.
//!
//! ```text
//! acc = bias
//! for tap: for block of depth:
//!     load 8 × 8 weights, MR × 8 inputs; acc[MR × 8] += inputs · weights
//! ```
//! Accumulators are pixel pairs of four vectors, sixteen sums; [`Tile::channel`] maps them to channels.
//!
//! Optimizations, the same for every set:
//! 1. MR = 12: 24 accumulators, four registers of weights and four of inputs are all 32. Tiles of 8, 4 and 2
//!    pixels finish a band.
//! 2. `ld1` of four registers with post-increment: weights take one instruction per block of depth, the twelve
//!    pixels two. The second one's register increment is the step to the next block's plane.
//! 3. Biases are in the blob in the order of a pair's accumulators: twelve pixels start with six loads.
//! 4. The loop over the depth is unrolled eight times and entered in its middle if the number of blocks is not a
//!    multiple of eight, so that any depth runs the same code.

use core::arch::aarch64::*;

/// Pixels of the widest tile.
pub(crate) const WIDEST: usize = 12;
/// How many times the loop over the depth is unrolled.
pub(crate) const UNROLL: usize = 8;

/// The sums of one pixel pair.
pub(crate) type Pair = [int32x4_t; 4];

/// The range of one call of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    /// Offset of the input per tap.
    pub taps: *const usize,
    /// Number of taps, at least 1.
    pub tap_count: usize,
    /// Blocks per tap, at least 1.
    pub blocks: usize,
    /// Bytes from one block of the input to the next.
    pub stride: usize,
}

/// See the module.
///
/// # Safety of the tiles
/// The CPU has the instructions; the tile's pixels are readable at `x` plus every tap's offset, and at each of
/// `blocks` strides from there; `weights` has `tap_count · blocks · 64` bytes and `bias` 64.
pub(crate) trait Tile: Sync + Send + 'static {
    /// The tile for cores that issue in order: the same layout, costs and bits.
    type InOrder: Tile;
    /// The largest input of a group of pixels in bytes, if the first-level cache should hold it; `None` if the
    /// second-level cache suffices for a whole band.
    const GROUP: Option<usize> = None;
    /// The set's name.
    const NAME: &'static str;
    /// Multiply-accumulates of one instruction.
    const MACS: f64;
    /// The instructions for a block of depth with twelve, eight, four and two pixels.
    const COST: [usize; 4];
    /// The position of the constants of a pair's third vector in a panel's constants: 0 if they equal the first
    /// one's, so that they are loaded once, otherwise 8.
    const SECOND_PIXEL: usize;
    /// Returns the position, in the 64 bytes of a step, of the weight of output channel `channel` and depth `k`.
    fn weight_at(channel: usize, k: usize) -> usize;
    /// Returns the output channel in a lane of one of a pair's vectors.
    fn channel(vector: usize, lane: usize) -> usize;
    /// Reorders sixteen bytes from accumulator order to pixel order.
    fn to_pixels(v: int8x16_t) -> int8x16_t;
    /// Reorders sixteen bytes from pixel order, the reverse of [`Tile::to_pixels`].
    fn from_pixels(v: int8x16_t) -> int8x16_t;
    /// Computes twelve pixels.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn twelve(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 6];
    /// Computes eight pixels.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn eight(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 4];
    /// Computes four pixels.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn four(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 2];
    /// Computes two pixels.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn two(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 1];
}

/// Defines one tile function from its name, extension, pairs, instructions per step and their text, the bytes by
/// which the step's earlier loads have already advanced `x`, the loads of the biases, and the accumulators' names
/// and registers.
macro_rules! tile {
    ($name:ident, $extension:literal, $pairs:literal, $count:literal, $step:expr, $advanced:literal,
     $bias:expr, [$([$a:ident $ra:tt $b:ident $rb:tt $c:ident $rc:tt $d:ident $rd:tt])*]) => {
        #[inline(always)]
        unsafe fn $name(
            depth: &crate::aarch64::common::tile::Depth,
            x: *const u8,
            weights: *const u8,
            bias: *const u8,
        ) -> [crate::aarch64::common::tile::Pair; $pairs] {
            use crate::aarch64::common::tile::UNROLL;
            $(let ($a, $b, $c, $d): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);)*
            // The bytes of the instructions that the first pass through the unrolled loop skips.
            let skipped = depth.blocks.wrapping_neg() % UNROLL * $count * 4;
            // SAFETY: by the trait's contract the CPU has the instructions and all that they load is
            // readable; `br` lands at the start of one of the loop's equal steps.
            unsafe {
                core::arch::asm!(
                    concat!(".arch_extension ", $extension),
                    $bias,
                    "adr {entry}, 3f",
                    "add {entry}, {entry}, {skipped}",
                    "2:",
                    "ldr {at}, [{taps}], #8",
                    "mov {left}, {blocks}",
                    "add {at}, {x}, {at}",
                    "br {entry}",
                    "3:",
                    $step, $step, $step, $step, $step, $step, $step, $step,
                    "4:",
                    // `br` relies on this size.
                    concat!(".if (4b - 3b) != 8 * 4 * ", $count),
                    ".error \"a step of this tile does not have the instructions that it is said to have\"",
                    ".endif",
                    "subs {left}, {left}, #8",
                    "b.gt 3b",
                    "subs {tap_count}, {tap_count}, #1",
                    "b.ne 2b",
                    entry = out(reg) _,
                    at = out(reg) _,
                    left = out(reg) _,
                    skipped = in(reg) skipped,
                    taps = inout(reg) depth.taps => _,
                    tap_count = inout(reg) depth.tap_count => _,
                    blocks = in(reg) depth.blocks,
                    x = in(reg) x,
                    next = in(reg) depth.stride.wrapping_sub($advanced),
                    w = inout(reg) weights => _,
                    bias = in(reg) bias,
                    $(out($ra) $a, out($rb) $b, out($rc) $c, out($rd) $d,)*
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    options(nostack, readonly),
                );
            }
            [$([$a, $b, $c, $d]),*]
        }
    };
}
pub(crate) use tile;

/// Defines the four tiles of a set from its multiplication steps.
macro_rules! tiles {
    ($extension:literal, $n12:literal, $s12:expr, $n8:literal, $s8:expr, $n4:literal, $s4:expr, $n2:literal, $s2:expr) => {
        /// See [`Tile::COST`].
        const COST: [usize; 4] = [$n12, $n8, $n4, $n2];

        crate::aarch64::common::tile::tile!(twelve, $extension, 6, $n12, $s12, 64,
            concat!("ld1 {{v8.16b-v11.16b}}, [{bias}]\n", "ld1 {{v12.16b-v15.16b}}, [{bias}]\n",
                    "ld1 {{v16.16b-v19.16b}}, [{bias}]\n", "ld1 {{v20.16b-v23.16b}}, [{bias}]\n",
                    "ld1 {{v24.16b-v27.16b}}, [{bias}]\n", "ld1 {{v28.16b-v31.16b}}, [{bias}]\n"),
            [[a0 "v8" a1 "v9" a2 "v10" a3 "v11"] [b0 "v12" b1 "v13" b2 "v14" b3 "v15"]
             [c0 "v16" c1 "v17" c2 "v18" c3 "v19"] [d0 "v20" d1 "v21" d2 "v22" d3 "v23"]
             [e0 "v24" e1 "v25" e2 "v26" e3 "v27"] [f0 "v28" f1 "v29" f2 "v30" f3 "v31"]]);
        crate::aarch64::common::tile::tile!(eight, $extension, 4, $n8, $s8, 0,
            concat!("ld1 {{v8.16b-v11.16b}}, [{bias}]\n", "ld1 {{v12.16b-v15.16b}}, [{bias}]\n",
                    "ld1 {{v16.16b-v19.16b}}, [{bias}]\n", "ld1 {{v20.16b-v23.16b}}, [{bias}]\n"),
            [[a0 "v8" a1 "v9" a2 "v10" a3 "v11"] [b0 "v12" b1 "v13" b2 "v14" b3 "v15"]
             [c0 "v16" c1 "v17" c2 "v18" c3 "v19"] [d0 "v20" d1 "v21" d2 "v22" d3 "v23"]]);
        crate::aarch64::common::tile::tile!(four, $extension, 2, $n4, $s4, 0,
            concat!("ld1 {{v8.16b-v11.16b}}, [{bias}]\n", "ld1 {{v12.16b-v15.16b}}, [{bias}]\n"),
            [[a0 "v8" a1 "v9" a2 "v10" a3 "v11"] [b0 "v12" b1 "v13" b2 "v14" b3 "v15"]]);
        crate::aarch64::common::tile::tile!(two, $extension, 1, $n2, $s2, 0,
            "ld1 {{v8.16b-v11.16b}}, [{bias}]\n",
            [[a0 "v8" a1 "v9" a2 "v10" a3 "v11"]]);
    };
}
pub(crate) use tiles;
