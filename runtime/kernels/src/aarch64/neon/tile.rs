//! `conv_i8_4x4c8_neon`: any convolution as a matrix product of packed rows.
//!
//! ```text
//! acc[p][c] = Σ_k row[p][k]·w[c][k]                 int32; row = the pixels under the window, raw int8
//! ```
//! The packed bias includes the zero point's share, `−z·Σ w`, and padding is written as `z`.
//!
//! ```text
//! for each block of pixels (its rows fit in L2)
//!     pack its rows by fours: [row / 4][k / 16][4][16], see [`super::pack_a`]
//!     for each panel of 4 channels (its weights fit in L1)
//!         for each tile of 4 pixels
//!             for each 32 of the depth
//!                 load 4 rows × 32 bytes
//!                 for each channel: load 32 bytes
//!                     for each pixel: t = x₀·w₀ + x₁·w₁ + x₂·w₂ + x₃·w₃    8 lanes of int16
//!                                     acc[p][c] += pairs of t              4 lanes of int32
//!             add the 4 lanes of each acc; store 4 × 4 sums
//!     epilogue over pixels × 16 channels
//! ```
//!
//! 1. *Four products per widening addition.* `smull`, `smlal` ×3 and one `sadalp` are 32 MACs in 5 instructions
//!    (6.4 each), where the textbook's `smull`, `smlal2`, `sadalp` are 16 in 3 (5.3). An int16 lane can hold four
//!    products exactly if its four weights' magnitudes sum to at most 255, as 128·255 < 2¹⁵. Packing decides this
//!    per panel and 32 of depth from the actual weights. Otherwise that block adds after two products, which
//!    always fit (128·254 < 2¹⁵).
//! 2. *The loop counter is the list of decisions*: a word whose top bit is set if the next block is such an
//!    exception, followed by a sentinel. `adds m, m, m` puts the bit into the carry and the end into the zero
//!    flag, so loop and choice are two instructions per block.
//! 3. *Rows are packed by fours*, so that one `ld1` of four registers loads 16 bytes of each of four pixels.
//!    Packing takes about a tenth of an instruction per byte, once for all output channels.
//! 4. *The first block adds with `saddlp`*, so that no accumulator is zeroed.
//! 5. *Loads are a few multiplications ahead of their use*; otherwise a core that issues in order (Cortex-A53)
//!    waits for them.
//! 6. *Left-over pixels run one at a time* on a 1×4 tile (26 instructions per 32 of depth and pixel, where the 4×4
//!    tile has 21.5), never as an idle part of the large one.
//!
//! A tile of 4×4 takes 80 arithmetic instructions, 4 loads and 2 of loop for 512 MACs: 5.95 MACs per instruction,
//! 93 % of the mix's 6.4. An exceptional block takes 96, 4 and 3: 4.97. No larger tile fits: 16 accumulators, 8
//! registers of pixels, 4 of weights and 4 of sums are all 32.

use core::arch::asm;

/// Output channels per panel and tile.
pub const NR: usize = 4;
/// Output pixels per tile; their rows are packed side by side.
pub const MR: usize = 4;
/// Depth per block, in bytes.
pub use crate::neon_tiling::DEPTH_STEP;
/// Blocks per word of decisions; the sentinel needs the 64th bit.
pub const STEPS_PER_WORD: usize = 63;
/// Channels per row of the accumulator buffer, which is its stride in int32s.
pub use crate::neon_tiling::CHANNELS;

/// The largest sum of four weight magnitudes in one lane: 128·255 fits in int16.
const LANE_LIMIT: u32 = 255;

/// Returns the number of words of decisions per panel.
pub const fn words(blocks: usize) -> usize {
    blocks.div_ceil(STEPS_PER_WORD)
}

/// The bytes of a panel that one word of decisions covers, except for the last.
pub const WORD_BYTES: usize = STEPS_PER_WORD * DEPTH_STEP * NR;

/// Returns the word of decisions for at most [`WORD_BYTES`] of a panel, `[block][channel][32]`.
pub fn decide(blocks: &[u8]) -> u64 {
    let mut word = 0;
    let mut bit = 1 << 63;
    for block in blocks.chunks_exact(DEPTH_STEP * NR) {
        if needs_narrow_step(block) {
            word |= bit;
        }
        bit >>= 1;
    }
    word | bit
}

/// Returns whether four products could overflow an int16 lane somewhere in the block.
fn needs_narrow_step(block: &[u8]) -> bool {
    block.chunks_exact(DEPTH_STEP).any(|channel| {
        (0..8).any(|lane| {
            let sum: u32 = (0..4).map(|i| u32::from((channel[8 * i + lane] as i8).unsigned_abs())).sum();
            sum > LANE_LIMIT
        })
    })
}

// Registers: x in v0–v3 (the first 16 of the depth, one per pixel) and v20–v23 (the second), w in v4–v7 (two
// per channel, two channels at a time), int16 sums in v10–v13 (one per pixel), accumulators in the rest, four per
// channel.

/// Multiplies one channel's 8 bytes with four pixels: `$x` is empty or "2" for the halves of the depth.
macro_rules! multiply {
    ($op:literal, $x:literal, $w:literal, $half:literal) => {
        concat!(
            ".irp p, 0, 1, 2, 3\n",
            $op,
            " v1\\p\\().8h, v",
            $x,
            "\\p\\().",
            $half,
            ", v",
            $w,
            ".",
            $half,
            "\n.endr\n"
        )
    };
}

/// Adds pairs of the four pixels' int16 sums to their accumulators.
macro_rules! widen {
    ($add:literal, [$c0:literal $c1:literal $c2:literal $c3:literal]) => {
        concat!(
            $add,
            " v",
            $c0,
            ".4s, v10.8h\n",
            $add,
            " v",
            $c1,
            ".4s, v11.8h\n",
            $add,
            " v",
            $c2,
            ".4s, v12.8h\n",
            $add,
            " v",
            $c3,
            ".4s, v13.8h\n",
        )
    };
}

/// A block of depth. `$channel` computes one channel; it receives the registers of its weights, its accumulators,
/// and the loads that it places between its products and their sum.
macro_rules! block_4x4 {
    ($channel:ident, $add:literal) => {
        concat!(
            "ld1 {{v0.16b-v3.16b}}, [{x}], #64\n",
            "ld1 {{v4.16b-v7.16b}}, [{w}], #64\n",
            $channel!($add, "4", "5", ["8" "9" "14" "15"], "ld1 {{v20.16b-v23.16b}}, [{x}], #64\n", ""),
            $channel!($add, "6", "7", ["16" "17" "18" "19"], "", "ld1 {{v4.16b-v7.16b}}, [{w}], #64\n"),
            $channel!($add, "4", "5", ["24" "25" "26" "27"], "", ""),
            $channel!($add, "6", "7", ["28" "29" "30" "31"], "", ""),
        )
    };
}

/// Four products per widening addition.
macro_rules! wide {
    ($add:literal, $a:literal, $b:literal, $acc:tt, $early:literal, $late:literal) => {
        concat!(
            multiply!("smull", "", $a, "8b"),
            $early,
            multiply!("smlal2", "", $a, "16b"),
            multiply!("smlal", "2", $b, "8b"),
            multiply!("smlal2", "2", $b, "16b"),
            $late,
            widen!($add, $acc),
        )
    };
}

/// Two products per widening addition.
macro_rules! narrow {
    ($add:literal, $a:literal, $b:literal, $acc:tt, $early:literal, $late:literal) => {
        concat!(
            multiply!("smull", "", $a, "8b"),
            $early,
            multiply!("smlal2", "", $a, "16b"),
            widen!($add, $acc),
            multiply!("smull", "2", $b, "8b"),
            multiply!("smlal2", "2", $b, "16b"),
            $late,
            widen!("sadalp", $acc),
        )
    };
}

/// Adds up the lanes of one pixel's four accumulators and stores the four sums.
macro_rules! reduce {
    ($c0:literal, $c1:literal, $c2:literal, $c3:literal, $at:literal) => {
        concat!(
            "addp v",
            $c0,
            ".4s, v",
            $c0,
            ".4s, v",
            $c1,
            ".4s\n",
            "addp v",
            $c2,
            ".4s, v",
            $c2,
            ".4s, v",
            $c3,
            ".4s\n",
            "addp v",
            $c0,
            ".4s, v",
            $c0,
            ".4s, v",
            $c2,
            ".4s\n",
            "str q",
            $c0,
            ", [{acc}, #",
            $at,
            "]\n",
        )
    };
}

/// The loop over the decisions around one tile's blocks. `{m}` is the first word, `{next}` points after it.
macro_rules! blocks {
    ($block:ident, $wide:ident, $narrow:ident) => {
        concat!(
            "adds {m}, {m}, {m}\n",
            "b.cs 6f\n",
            $block!($wide, "saddlp"),
            "3:\n",
            "adds {m}, {m}, {m}\n",
            "b.cs 5f\n",
            "4:\n",
            $block!($wide, "sadalp"),
            "adds {m}, {m}, {m}\n",
            "b.cs 5f\n",
            $block!($wide, "sadalp"),
            "adds {m}, {m}, {m}\n",
            "b.cc 4b\n",
            "5:\n",
            "b.eq 7f\n",
            $block!($narrow, "sadalp"),
            "adds {m}, {m}, {m}\n",
            "b.cs 5b\n",
            "b 4b\n",
            "6:\n",
            $block!($narrow, "saddlp"),
            "b 3b\n",
            "7:\n",
            "cmp {next}, {words_end}\n",
            "b.eq 8f\n",
            "ldr {m}, [{next}], #8\n",
            "b 3b\n",
            "8:\n",
        )
    };
}

/// Multiplies `tiles` × 4 pixels by one panel of 4 channels; sums go to `acc`, [`CHANNELS`] int32s per pixel.
///
/// # Safety
/// `tiles` is at least 1; `words` is a result of [`decide`], up to `words_end`, for `n` blocks; `rows` are `tiles`
/// packed groups of four of `n` blocks, 128·n bytes each, and the panel has as many; `acc` has room for
/// 4·`tiles`·[`CHANNELS`] int32s, of which the first four of each [`CHANNELS`] are written.
#[inline(never)]
pub unsafe fn panel_4x4(
    rows: *const u8,
    tiles: usize,
    panel: *const u8,
    words: *const u64,
    words_end: *const u64,
    acc: *mut i32,
) {
    // SAFETY: reads and writes exactly what the contract lists: the loop over blocks ends at each word's sentinel
    // and at `words_end`; every vector register that it changes is declared.
    unsafe {
        asm!(
            "2:",
            "mov {w}, {panel}",
            "ldr {m}, [{words}]",
            "add {next}, {words}, #8",
            blocks!(block_4x4, wide, narrow),
            reduce!("8", "16", "24", "28", "0"),
            reduce!("9", "17", "25", "29", "64"),
            reduce!("14", "18", "26", "30", "128"),
            reduce!("15", "19", "27", "31", "192"),
            "add {acc}, {acc}, #256",
            "subs {tiles}, {tiles}, #1",
            "b.ne 2b",
            x = inout(reg) rows => _,
            tiles = inout(reg) tiles => _,
            panel = in(reg) panel,
            words = in(reg) words,
            words_end = in(reg) words_end,
            acc = inout(reg) acc => _,
            w = out(reg) _,
            m = out(reg) _,
            next = out(reg) _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack),
        );
    }
}

/// Multiplies one pixel's 8 bytes with four channels, whose weights are in v`$w0`…
macro_rules! multiply_one {
    ($op:literal, $x:literal, [$w0:literal $w1:literal $w2:literal $w3:literal], $half:literal) => {
        concat!(
            $op,
            " v10.8h, v",
            $x,
            ".",
            $half,
            ", v",
            $w0,
            ".",
            $half,
            "\n",
            $op,
            " v11.8h, v",
            $x,
            ".",
            $half,
            ", v",
            $w1,
            ".",
            $half,
            "\n",
            $op,
            " v12.8h, v",
            $x,
            ".",
            $half,
            ", v",
            $w2,
            ".",
            $half,
            "\n",
            $op,
            " v13.8h, v",
            $x,
            ".",
            $half,
            ", v",
            $w3,
            ".",
            $half,
            "\n",
        )
    };
}

/// A block of depth: one row (v0, v1), four channels (v4–v7, v20–v23).
macro_rules! block_1x4 {
    ($products:ident, $add:literal) => {
        concat!(
            "ldr q0, [{x}], #64\n",
            "ld1 {{v4.16b-v7.16b}}, [{w}], #64\n",
            "ld1 {{v20.16b-v23.16b}}, [{w}], #64\n",
            "ldr q1, [{x}], #64\n",
            $products!($add),
        )
    };
}

/// Four products per widening addition.
macro_rules! wide_one {
    ($add:literal) => {
        concat!(
            multiply_one!("smull", "0", ["4" "6" "20" "22"], "8b"),
            multiply_one!("smlal2", "0", ["4" "6" "20" "22"], "16b"),
            multiply_one!("smlal", "1", ["5" "7" "21" "23"], "8b"),
            multiply_one!("smlal2", "1", ["5" "7" "21" "23"], "16b"),
            widen!($add, ["16" "17" "18" "19"]),
        )
    };
}

/// Two products per widening addition.
macro_rules! narrow_one {
    ($add:literal) => {
        concat!(
            multiply_one!("smull", "0", ["4" "6" "20" "22"], "8b"),
            multiply_one!("smlal2", "0", ["4" "6" "20" "22"], "16b"),
            widen!($add, ["16" "17" "18" "19"]),
            multiply_one!("smull", "1", ["5" "7" "21" "23"], "8b"),
            multiply_one!("smlal2", "1", ["5" "7" "21" "23"], "16b"),
            widen!("sadalp", ["16" "17" "18" "19"]),
        )
    };
}

/// Multiplies one pixel by one panel of 4 channels.
///
/// # Safety
/// The same as for [`panel_4x4`], for one pixel of a group of four, whose first 16 bytes are at `row`, and four
/// int32s of `acc`.
#[inline(never)]
pub unsafe fn panel_1x4(
    row: *const u8,
    panel: *const u8,
    words: *const u64,
    words_end: *const u64,
    acc: *mut i32,
) {
    // SAFETY: as in `panel_4x4`; a pixel's next 16 bytes are 64 on.
    unsafe {
        asm!(
            "ldr {m}, [{next}], #8",
            blocks!(block_1x4, wide_one, narrow_one),
            reduce!("16", "17", "18", "19", "0"),
            x = inout(reg) row => _,
            w = inout(reg) panel => _,
            next = inout(reg) words => _,
            words_end = in(reg) words_end,
            acc = in(reg) acc,
            m = out(reg) _,
            out("v0") _, out("v1") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v10") _, out("v11") _, out("v12") _, out("v13") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            options(nostack),
        );
    }
}
