//! `conv_i8_12x8c4_dotprod`: the register tile on `sdot`.
//!
//! `sdot acc.4s, w.16b, x.4b[lane]` adds, for four output channels, four MACs each of one pixel.
//! The 64 bytes of weights are `[half of the depth][4 channels twice][4 depths]`, and a pair's
//! vectors are channels 0…3 and 4…7 of the first pixel, then of the second.
//!
//! Distance to the limit: per block of depth, twelve pixels take 48 `sdot`, three loads and 1/8 of the loop's two
//! instructions, 1.068 instructions per `sdot`; tiles of fewer pixels take 34, 18 and 10 instructions for 32, 16
//! and 8 `sdot`. Of a ResNet-50's instructions 83 % are `sdot`, 7 % load, 7 % requantize and add residuals, and 3
//! % pack A and loop. Each instruction computes 13.2 MACs on average, where `sdot` computes 16. Shallow layers are
//! furthest from the limit (10.8 at a depth of 64), as an epilogue costs the same at any depth.
//!
//! All 32 registers are in use, so a step's weights can only be loaded at its start. A core that issues out of
//! order (Cortex-A76) is not affected; for one that issues in order (Cortex-A55) there is
//! [`super::tile_in_order`].

use core::arch::aarch64::*;

use crate::aarch64::common::tile::{Depth, Pair, Tile, tiles};

/// See the module.
pub(super) struct Dotprod;

/// Four `sdot` of one pixel: accumulator registers, input register, lanes.
macro_rules! pixel {
    ($a:literal $b:literal $x:literal $l0:literal $l1:literal) => {
        concat!(
            "sdot v",
            $a,
            ".4s, v0.16b, v",
            $x,
            ".4b[",
            $l0,
            "]\n",
            "sdot v",
            $b,
            ".4s, v1.16b, v",
            $x,
            ".4b[",
            $l0,
            "]\n",
            "sdot v",
            $a,
            ".4s, v2.16b, v",
            $x,
            ".4b[",
            $l1,
            "]\n",
            "sdot v",
            $b,
            ".4s, v3.16b, v",
            $x,
            ".4b[",
            $l1,
            "]\n",
        )
    };
}

/// Eight `sdot` of a pixel pair.
macro_rules! pair {
    ($a:literal $b:literal $c:literal $d:literal $x:literal) => {
        concat!(pixel!($a $b $x 0 1), pixel!($c $d $x 2 3))
    };
}

tiles!(
    "dotprod",
    51,
    concat!(
        "ld1 {{v0.16b-v3.16b}}, [{w}], #64\n",
        "ld1 {{v4.16b-v7.16b}}, [{at}], #64\n",
        pair!(8 9 10 11 4),
        pair!(12 13 14 15 5),
        "ld1 {{v4.16b-v5.16b}}, [{at}], {next}\n",
        pair!(16 17 18 19 6),
        pair!(20 21 22 23 7),
        pair!(24 25 26 27 4),
        pair!(28 29 30 31 5),
    ),
    34,
    concat!(
        "ld1 {{v0.16b-v3.16b}}, [{w}], #64\n",
        "ld1 {{v4.16b-v7.16b}}, [{at}], {next}\n",
        pair!(8 9 10 11 4),
        pair!(12 13 14 15 5),
        pair!(16 17 18 19 6),
        pair!(20 21 22 23 7),
    ),
    18,
    concat!(
        "ld1 {{v0.16b-v3.16b}}, [{w}], #64\n",
        "ld1 {{v4.16b-v5.16b}}, [{at}], {next}\n",
        pair!(8 9 10 11 4),
        pair!(12 13 14 15 5),
    ),
    10,
    concat!("ld1 {{v0.16b-v3.16b}}, [{w}], #64\n", "ld1 {{v4.16b}}, [{at}], {next}\n", pair!(8 9 10 11 4),)
);

impl Tile for Dotprod {
    type InOrder = super::tile_in_order::InOrder;
    const NAME: &'static str = "dotprod";
    const MACS: f64 = 16.0;
    const COST: [usize; 4] = COST;
    const SECOND_PIXEL: usize = 0;

    fn weight_at(channel: usize, k: usize) -> usize {
        k / 4 * 32 + channel * 4 + k % 4
    }

    fn channel(vector: usize, lane: usize) -> usize {
        vector % 2 * 4 + lane
    }

    #[inline(always)]
    fn to_pixels(v: int8x16_t) -> int8x16_t {
        v
    }

    #[inline(always)]
    fn from_pixels(v: int8x16_t) -> int8x16_t {
        v
    }

    #[inline(always)]
    unsafe fn twelve(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 6] {
        // SAFETY: the same contract.
        unsafe { twelve(depth, x, weights, bias) }
    }

    #[inline(always)]
    unsafe fn eight(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 4] {
        // SAFETY: the same contract.
        unsafe { eight(depth, x, weights, bias) }
    }

    #[inline(always)]
    unsafe fn four(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 2] {
        // SAFETY: the same contract.
        unsafe { four(depth, x, weights, bias) }
    }

    #[inline(always)]
    unsafe fn two(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 1] {
        // SAFETY: the same contract.
        unsafe { two(depth, x, weights, bias) }
    }
}
