//! `conv_i8_12x8c4_dotprod` for cores that issue in order (Cortex-A55): the tiles of [`super::tile`], with every
//! load beside an `sdot` that does not need it.
//!
//! Such a core issues two instructions per cycle, but a 128-bit vector load takes two cycles alone, and `ld1` of
//! four registers eight. So each vector is loaded by three instructions, each of which issues beside an `sdot`:
//! `ldr d` (the low half), `ldr x` (the high half), `ins`. A miss stalls the first use, so loads run ahead:
//!
//! ```text
//! for pixel pair p of the step:             eight sdot, weights in order v0 v1 v2 v3
//!     load input of pair p + 2               into the register that pair p - 1 has left
//!     last pair: reload each weight after its last use, for the next step
//! ```
//! 1. Three registers hold the inputs of six pixel pairs, four hold the weights; with 24 accumulators 31 of 32 are
//!    in use.
//! 2. A step loads for the next step. The last step of a tap loads the first of the next tap. The very last step
//!    loads its own operands again, so that nothing outside the panel and the input is read.
//! 3. `prfm` prefetches the weights of the fifth step ahead: they stream from the last-level cache, once per group
//!    of pixels ([`Tile::GROUP`]).
//!
//! Limit: one `sdot` per cycle, 48 per twelve pixels and block of depth. Estimates for an RK3566 (Cortex-A55 at
//! 1.8 GHz, 32 KB and a shared 512 KB of cache; a model, not a board): a step takes 78 cycles in a ResNet-50, and
//! the whole network 265 ms, where the plain tiles take 345; ResNet-18 takes 129 and 143. The rest is waiting for
//! cache lines, a quarter of all cycles. Groups of one tile read each weight once per twelve pixels, and at depths
//! above 1,300 a tile's input exceeds its share of the cache. Dividing the depth, with the sums kept in memory in
//! between, would allow larger groups.

use core::arch::aarch64::*;

use super::tile::Dotprod;
use crate::aarch64::common::tile::{Depth, Pair, Tile};

/// See the module.
pub(super) struct InOrder;

/// An `sdot` (accumulator, weights, input, lane) and the instruction that issues beside it.
macro_rules! dot {
    ($a:literal $w:literal $x:literal $lane:literal $beside:expr) => {
        concat!("sdot v", $a, ".4s, v", $w, ".16b, v", $x, ".4b[", $lane, "]\n", $beside, "\n")
    };
}

/// The eight `sdot` of a pixel pair, and the instruction that issues beside each.
macro_rules! pair {
    ($a:literal $b:literal $c:literal $d:literal $x:literal
     [$e0:expr, $e1:expr, $e2:expr, $e3:expr, $e4:expr, $e5:expr, $e6:expr, $e7:expr]) => {
        concat!(
            dot!($a 0 $x 0 $e0),
            dot!($c 0 $x 2 $e1),
            dot!($b 1 $x 0 $e2),
            dot!($d 1 $x 2 $e3),
            dot!($a 2 $x 1 $e4),
            dot!($c 2 $x 3 $e5),
            dot!($b 3 $x 1 $e6),
            dot!($d 3 $x 3 $e7),
        )
    };
}

/// The first pair of a step, with the weights that the step before could not load, and the input at `$offset`.
macro_rules! first_pair {
    ($a:literal $b:literal $c:literal $d:literal $x:literal, $load:literal, $offset:literal, $last:expr) => {
        pair!($a $b $c $d $x [
            "ldr d3, [{w}, #48]",
            "ins v2.d[1], {w2}",
            concat!("ldr d", $load, ", [{at}, #", $offset, "]"),
            "ins v3.d[1], {w3}",
            concat!("ldr {high}, [{at}, #", $offset, " + 8]"),
            "add {w}, {w}, {w_step}",
            $last,
            concat!("ins v", $load, ".d[1], {high}")
        ])
    };
}

/// A pair in the middle, with the input at `$offset` and four free slots.
macro_rules! middle_pair {
    ($a:literal $b:literal $c:literal $d:literal $x:literal, $load:literal, $offset:literal,
     [$e2:expr, $e3:expr, $e4:expr, $e6:expr, $e7:expr]) => {
        pair!($a $b $c $d $x [
            concat!("ldr d", $load, ", [{at}, #", $offset, "]"),
            concat!("ldr {high}, [{at}, #", $offset, " + 8]"),
            $e2,
            $e3,
            $e4,
            concat!("ins v", $load, ".d[1], {high}"),
            $e6,
            $e7
        ])
    };
}

/// The last pair of a step, with the next step's weights and the input at `$offset`.
macro_rules! last_pair {
    ($a:literal $b:literal $c:literal $d:literal $x:literal, $load:literal, $offset:literal) => {
        pair!($a $b $c $d $x [
            concat!("ldr d", $load, ", [{at}, #", $offset, "]"),
            "ldr d0, [{w}]",
            concat!("ldr {high}, [{at}, #", $offset, " + 8]"),
            "ldr d1, [{w}, #16]",
            "ins v0.d[1], {w0}",
            "ldr d2, [{w}, #32]",
            "ins v1.d[1], {w1}",
            concat!("ins v", $load, ".d[1], {high}")
        ])
    };
}

/// Defines one tile function from its name, pairs, step, the loads of the first step's inputs and of the biases,
/// and the accumulators' names and registers.
macro_rules! tile {
    ($name:ident, $pairs:literal, $step:expr, $inputs:expr, $bias:expr,
     [$([$a:ident $ra:tt $b:ident $rb:tt $c:ident $rc:tt $d:ident $rd:tt])*]) => {
        #[inline(always)]
        unsafe fn $name(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; $pairs] {
            $(let ($a, $b, $c, $d): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);)*
            // How many of the eight copies of the step a tap's first pass skips.
            let skipped = depth.blocks.wrapping_neg() % 8;
            // SAFETY: by the trait's contract the CPU has the instructions, and all that they load is readable:
            // inputs of the steps in turn and, in the last one, of the last tap's first; weights of the steps in
            // turn and, in the last one, its own. `br` jumps to the start of a step's copy.
            unsafe {
                core::arch::asm!(
                    ".arch_extension dotprod",
                    $bias,
                    "adr {entry}, 3f",
                    "add {entry}, {entry}, {skipped}, lsl #2",
                    "ldr {at}, [{taps}], #8",
                    "add {at}, {x}, {at}",
                    "add {next}, {at}, {stride}",
                    $inputs,
                    "ldr q0, [{w}]",
                    "ldr q1, [{w}, #16]",
                    "ldr d2, [{w}, #32]",
                    "ldr {w2}, [{w}, #40]",
                    "ldr {w3}, [{w}, #56]",
                    "2:",
                    "mov {left}, {blocks}",
                    "mov {tap}, {at}",
                    "cmp {tap_count}, #1",
                    "b.eq 5f",
                    "ldr {tap}, [{taps}], #8",
                    "add {tap}, {x}, {tap}",
                    "5:",
                    "br {entry}",
                    "3:",
                    $step, $step, $step, $step, $step, $step, $step,
                    "6:",
                    // The last step of a tap loads from the next one; the very last loads no further weights.
                    "cmp {left}, #8",
                    "csel {next}, {tap}, {next}, le",
                    "ccmp {tap_count}, #1, #0, le",
                    "csel {w_step}, xzr, {w_step}, eq",
                    $step,
                    "4:",
                    "subs {left}, {left}, #8",
                    "b.gt 3b",
                    "subs {tap_count}, {tap_count}, #1",
                    "b.ne 2b",
                    // `br` relies on steps of equal size.
                    concat!(".if (6b - 3b) != 7 * 4 * {instructions}"),
                    ".error \"a step of this tile does not have the instructions that it is said to have\"",
                    ".endif",
                    instructions = const INSTRUCTIONS[$pairs / 2 - 2],
                    entry = out(reg) _,
                    at = out(reg) _,
                    next = out(reg) _,
                    left = out(reg) _,
                    tap = out(reg) _,
                    high = out(reg) _,
                    w0 = out(reg) _,
                    w1 = out(reg) _,
                    w2 = out(reg) _,
                    w3 = out(reg) _,
                    skipped = in(reg) skipped * INSTRUCTIONS[$pairs / 2 - 2],
                    taps = inout(reg) depth.taps => _,
                    tap_count = inout(reg) depth.tap_count => _,
                    blocks = in(reg) depth.blocks,
                    x = in(reg) x,
                    stride = in(reg) depth.stride,
                    w = inout(reg) weights => _,
                    w_step = inout(reg) 64usize => _,
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

/// The instructions of a step of eight and of twelve pixels.
const INSTRUCTIONS: [usize; 2] = [60, 82];

tile!(
    twelve,
    6,
    concat!(
        first_pair!(8 9 10 11 4, 6, 32, ""),
        middle_pair!(12 13 14 15 5, 4, 48, ["", "", "", "", ""]),
        middle_pair!(16 17 18 19 6, 5, 64, ["", "", "", "", ""]),
        middle_pair!(20 21 22 23 4, 6, 80, [
            "ldr {w0}, [{w}, #8]",
            "ldr {w1}, [{w}, #24]",
            "mov {at}, {next}",
            "add {next}, {next}, {stride}",
            ""
        ]),
        middle_pair!(24 25 26 27 5, 4, 0, [
            "ldr {w2}, [{w}, #40]",
            "ldr {w3}, [{w}, #56]",
            "prfm pldl1keep, [{w}, #320]",
            "",
            ""
        ]),
        last_pair!(28 29 30 31 6, 5, 16),
    ),
    concat!("ldr q4, [{at}]\n", "ldr q5, [{at}, #16]\n"),
    concat!(
        "ld1 {{v8.16b-v11.16b}}, [{bias}]\n",
        "ld1 {{v12.16b-v15.16b}}, [{bias}]\n",
        "ld1 {{v16.16b-v19.16b}}, [{bias}]\n",
        "ld1 {{v20.16b-v23.16b}}, [{bias}]\n",
        "ld1 {{v24.16b-v27.16b}}, [{bias}]\n",
        "ld1 {{v28.16b-v31.16b}}, [{bias}]\n"
    ),
    [[a0 "v8" a1 "v9" a2 "v10" a3 "v11"] [b0 "v12" b1 "v13" b2 "v14" b3 "v15"]
     [c0 "v16" c1 "v17" c2 "v18" c3 "v19"] [d0 "v20" d1 "v21" d2 "v22" d3 "v23"]
     [e0 "v24" e1 "v25" e2 "v26" e3 "v27"] [f0 "v28" f1 "v29" f2 "v30" f3 "v31"]]
);

tile!(
    eight,
    4,
    concat!(
        first_pair!(8 9 10 11 4, 7, 48, "mov {at}, {next}"),
        middle_pair!(12 13 14 15 5, 4, 0, [
            "ldr {w0}, [{w}, #8]",
            "ldr {w1}, [{w}, #24]",
            "add {next}, {next}, {stride}",
            "",
            ""
        ]),
        middle_pair!(16 17 18 19 6, 5, 16, [
            "ldr {w2}, [{w}, #40]",
            "ldr {w3}, [{w}, #56]",
            "prfm pldl1keep, [{w}, #320]",
            "",
            ""
        ]),
        last_pair!(20 21 22 23 7, 6, 32),
    ),
    concat!("ldr q4, [{at}]\n", "ldr q5, [{at}, #16]\n", "ldr q6, [{at}, #32]\n"),
    concat!(
        "ld1 {{v8.16b-v11.16b}}, [{bias}]\n",
        "ld1 {{v12.16b-v15.16b}}, [{bias}]\n",
        "ld1 {{v16.16b-v19.16b}}, [{bias}]\n",
        "ld1 {{v20.16b-v23.16b}}, [{bias}]\n"
    ),
    [[a0 "v8" a1 "v9" a2 "v10" a3 "v11"] [b0 "v12" b1 "v13" b2 "v14" b3 "v15"]
     [c0 "v16" c1 "v17" c2 "v18" c3 "v19"] [d0 "v20" d1 "v21" d2 "v22" d3 "v23"]]
);

impl Tile for InOrder {
    type InOrder = Self;
    const GROUP: Option<usize> = Some(16 << 10);
    const NAME: &'static str = Dotprod::NAME;
    const MACS: f64 = Dotprod::MACS;
    // Bands are divided by these costs, and bands must not depend on the core.
    const COST: [usize; 4] = Dotprod::COST;
    const SECOND_PIXEL: usize = Dotprod::SECOND_PIXEL;

    fn weight_at(channel: usize, k: usize) -> usize {
        Dotprod::weight_at(channel, k)
    }

    fn channel(vector: usize, lane: usize) -> usize {
        Dotprod::channel(vector, lane)
    }

    #[inline(always)]
    fn to_pixels(v: int8x16_t) -> int8x16_t {
        Dotprod::to_pixels(v)
    }

    #[inline(always)]
    fn from_pixels(v: int8x16_t) -> int8x16_t {
        Dotprod::from_pixels(v)
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

    // The plain tiles suffice for the ends of bands.
    #[inline(always)]
    unsafe fn four(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 2] {
        // SAFETY: the same contract.
        unsafe { Dotprod::four(depth, x, weights, bias) }
    }

    #[inline(always)]
    unsafe fn two(depth: &Depth, x: *const u8, weights: *const u8, bias: *const u8) -> [Pair; 1] {
        // SAFETY: the same contract.
        unsafe { Dotprod::two(depth, x, weights, bias) }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::testing::Rng;

    /// Returns all sums of a tile, in order.
    fn sums<const N: usize>(pairs: [Pair; N]) -> Vec<i32> {
        let lanes = |v: int32x4_t| {
            let mut lanes = [0; 4];
            // SAFETY: four sums have room.
            unsafe { vst1q_s32(lanes.as_mut_ptr(), v) };
            lanes
        };
        pairs.into_iter().flatten().flat_map(lanes).collect()
    }

    #[test]
    fn tiles_add_up_as_the_plain_ones_for_any_depth() {
        if super::super::get().is_none() {
            std::eprintln!("SKIPPED: this CPU has no dot products");
            return;
        }
        let mut rng = Rng(5);
        let mut bytes = |n: usize| -> Vec<u8> { (0..n).map(|_| rng.range(0, 255) as u8).collect() };
        for tap_count in [1, 2, 9] {
            for blocks in 1..=17 {
                // Planes follow one another, and the taps' first blocks are in no particular order.
                let stride = 12 * 8 + 16;
                let x = bytes((tap_count + blocks) * stride);
                let taps: Vec<usize> = (0..tap_count).map(|t| t * 7 % tap_count * stride).collect();
                // The buffer is exactly the panel, so that a sanitizer or an unmapped page after it detects any
                // over-read.
                let weights = bytes(tap_count * blocks * 64);
                let bias = bytes(64);
                let depth = Depth { taps: taps.as_ptr(), tap_count, blocks, stride };
                let (x, w, b) = (x.as_ptr(), weights.as_ptr(), bias.as_ptr());
                // SAFETY: the CPU has `sdot`; the buffers cover what the taps, blocks and pixels reach.
                let (ours, plain) = unsafe {
                    let ours =
                        [sums(InOrder::twelve(&depth, x, w, b)), sums(InOrder::eight(&depth, x, w, b))];
                    (ours, [sums(Dotprod::twelve(&depth, x, w, b)), sums(Dotprod::eight(&depth, x, w, b))])
                };
                assert_eq!(ours, plain, "{tap_count} taps of {blocks} blocks");
            }
        }
    }
}
