//! `conv_i8_12x8c8_i8mm`: the register tile on `smmla`.
//!
//! `smmla acc.4s, x.16b, w.16b` adds eight MACs each for two pixels × two output channels. The 64
//! bytes of weights are `[8 channels][8 depths]`, and vector `i` of a pair is channels 2i and 2i + 1 of
//! the first pixel, then of the second; one `tbl` per sixteen results puts them into pixel order.
//!
//! Distance to the limit: per block of depth, twelve pixels take 24 `smmla`, three loads and 1/8 of the loop's two
//! instructions, 1.135 instructions per `smmla`; tiles of fewer pixels take 18, 10 and 6 instructions for 16, 8
//! and 4 `smmla`. Of a ResNet-50's instructions 71 % are `smmla`, 12 % load, 12 % requantize and add residuals,
//! and 5 % pack A and loop. Each instruction computes 22.4 MACs on average, where `smmla` computes 32. The
//! epilogue is that of `sdot` and therefore weighs twice as much: shallow layers reach 15.9 at a depth of 64.

use core::arch::aarch64::*;

use crate::aarch64::common::tile::{Depth, Pair, Tile, tiles};

/// See the module.
pub(super) struct I8mm;

/// Four `smmla` of a pixel pair: accumulator registers, input register.
macro_rules! pair {
    ($a:literal $b:literal $c:literal $d:literal $x:literal) => {
        concat!(
            "smmla v",
            $a,
            ".4s, v",
            $x,
            ".16b, v0.16b\n",
            "smmla v",
            $b,
            ".4s, v",
            $x,
            ".16b, v1.16b\n",
            "smmla v",
            $c,
            ".4s, v",
            $x,
            ".16b, v2.16b\n",
            "smmla v",
            $d,
            ".4s, v",
            $x,
            ".16b, v3.16b\n",
        )
    };
}

tiles!(
    "i8mm",
    27,
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
    18,
    concat!(
        "ld1 {{v0.16b-v3.16b}}, [{w}], #64\n",
        "ld1 {{v4.16b-v7.16b}}, [{at}], {next}\n",
        pair!(8 9 10 11 4),
        pair!(12 13 14 15 5),
        pair!(16 17 18 19 6),
        pair!(20 21 22 23 7),
    ),
    10,
    concat!(
        "ld1 {{v0.16b-v3.16b}}, [{w}], #64\n",
        "ld1 {{v4.16b-v5.16b}}, [{at}], {next}\n",
        pair!(8 9 10 11 4),
        pair!(12 13 14 15 5),
    ),
    6,
    concat!("ld1 {{v0.16b-v3.16b}}, [{w}], #64\n", "ld1 {{v4.16b}}, [{at}], {next}\n", pair!(8 9 10 11 4),)
);

impl Tile for I8mm {
    type InOrder = Self;
    const NAME: &'static str = "i8mm";
    const MACS: f64 = 32.0;
    const COST: [usize; 4] = COST;
    const SECOND_PIXEL: usize = 8;

    fn weight_at(channel: usize, k: usize) -> usize {
        channel * 8 + k
    }

    fn channel(vector: usize, lane: usize) -> usize {
        vector * 2 + lane % 2
    }

    #[inline(always)]
    fn to_pixels(v: int8x16_t) -> int8x16_t {
        static ORDER: [u8; 16] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];
        // SAFETY: every AArch64 CPU has `tbl`; the table has sixteen bytes.
        unsafe { vqtbl1q_s8(v, vld1q_u8(ORDER.as_ptr())) }
    }

    #[inline(always)]
    fn from_pixels(v: int8x16_t) -> int8x16_t {
        static ORDER: [u8; 16] = [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15];
        // SAFETY: as above.
        unsafe { vqtbl1q_s8(v, vld1q_u8(ORDER.as_ptr())) }
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
