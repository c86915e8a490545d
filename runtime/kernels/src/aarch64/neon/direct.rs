//! `conv_i8_4x4c8_neon`: any convolution as a matrix product of gathered rows.
//!
//! ```text
//! acc[p][c] = Σ_k row[p][k]·w[c][k]                 int32; row = the pixels under the window, raw int8
//! ```
//! The zero point's share, `−z·Σ w`, is in the packed bias, and padding is written as `z`.
//!
//! ```text
//! for each block of pixels (its rows fit in half of L1)
//!     rows[p] = pointer into x (1×1), or to a gathered copy of the window (k×k)
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
//! 1. *Four products per widening addition.* `smull`, `smlal` ×3 and one `sadalp` are 32 products in 5
//!    instructions (6.4 each) where the textbook's `smull`, `smlal2`, `sadalp` are 16 in 3 (5.3). An
//!    int16 lane holds four products exactly if its four weights' magnitudes sum to at most 255, as
//!    128·255 < 2¹⁵. Packing decides this per panel and 32 of depth from the actual weights; where
//!    it does not hold, that block adds after two products, which always fit (128·254 < 2¹⁵).
//! 2. *The loop counter is the list of decisions*: a word whose top bit says whether the next block is
//!    such an exception, followed by a sentinel. `adds m, m, m` gives the bit in the carry and the end
//!    in the zero flag, so that the choice costs one instruction per block.
//! 3. *The first block adds with `saddlp`*, so that no accumulator is zeroed.
//! 4. *Rows are pointers*, so 1×1 convolutions of any stride read the activation in place and only
//!    k×k ones copy, once per block of pixels for all output channels.
//! 5. *Left-over pixels run one at a time* on a 1×4 tile (28 instructions per 32 of depth and pixel,
//!    where the 4×4 tile has 23), never as an idle part of the large one.
//!
//! A tile of 4×4 takes 80 arithmetic instructions, 8 loads and 3 of loop for 512 products: 5.6 products
//! per instruction, 88 % of the mix's 6.4. The loads are the rest, and 16 accumulators, 8 registers of
//! pixels, 4 of weights and 4 of sums leave no register for a larger tile.

use core::arch::asm;

/// Output channels per panel.
pub const PANEL: usize = 4;
/// Depth per block, in bytes.
pub const BLOCK: usize = 32;
/// Blocks per word of decisions; the sentinel needs the 64th bit.
pub const BLOCKS_PER_WORD: usize = 63;
/// Channels per row of the accumulator buffer, hence its stride in int32s.
pub const CHUNK: usize = 16;

/// The most that four weight magnitudes in one lane may sum to: 128·255 fits int16.
const LANE_LIMIT: u32 = 255;

/// Words of decisions per panel.
pub const fn words(blocks: usize) -> usize {
    blocks.div_ceil(BLOCKS_PER_WORD)
}

/// Bytes of a panel that one word of decisions is about, but for the last.
pub const WORD_BYTES: usize = BLOCKS_PER_WORD * BLOCK * PANEL;

/// The word of decisions for at most [`WORD_BYTES`] of a panel, `[block][channel][32]`.
pub fn decide(blocks: &[u8]) -> u64 {
    let mut word = 0;
    let mut bit = 1 << 63;
    for block in blocks.chunks_exact(BLOCK * PANEL) {
        if needs_narrow_step(block) {
            word |= bit;
        }
        bit >>= 1;
    }
    word | bit
}

/// True when four products could overflow an int16 lane somewhere in the block.
fn needs_narrow_step(block: &[u8]) -> bool {
    block.chunks_exact(BLOCK).any(|channel| {
        (0..8).any(|lane| {
            let sum: u32 = (0..4).map(|i| u32::from((channel[8 * i + lane] as i8).unsigned_abs())).sum();
            sum > LANE_LIMIT
        })
    })
}

// Registers: x in v0–v7 (two per pixel), w in v8–v11 (two per channel, alternating), int16 sums in
// v12–v15 (one per pixel), accumulators in v16–v31 (v16 + 4·channel + pixel).

/// One channel (weights in `$a`, `$b`) against four pixels, four products per widening addition.
macro_rules! wide_step {
    ($add:literal, $a:literal, $b:literal, $c0:literal, $c1:literal, $c2:literal, $c3:literal) => {
        concat!(
            "ldp q",
            $a,
            ", q",
            $b,
            ", [{w}], #32\n",
            "smull v12.8h, v0.8b, v",
            $a,
            ".8b\n",
            "smull v13.8h, v2.8b, v",
            $a,
            ".8b\n",
            "smull v14.8h, v4.8b, v",
            $a,
            ".8b\n",
            "smull v15.8h, v6.8b, v",
            $a,
            ".8b\n",
            "smlal2 v12.8h, v0.16b, v",
            $a,
            ".16b\n",
            "smlal2 v13.8h, v2.16b, v",
            $a,
            ".16b\n",
            "smlal2 v14.8h, v4.16b, v",
            $a,
            ".16b\n",
            "smlal2 v15.8h, v6.16b, v",
            $a,
            ".16b\n",
            "smlal v12.8h, v1.8b, v",
            $b,
            ".8b\n",
            "smlal v13.8h, v3.8b, v",
            $b,
            ".8b\n",
            "smlal v14.8h, v5.8b, v",
            $b,
            ".8b\n",
            "smlal v15.8h, v7.8b, v",
            $b,
            ".8b\n",
            "smlal2 v12.8h, v1.16b, v",
            $b,
            ".16b\n",
            "smlal2 v13.8h, v3.16b, v",
            $b,
            ".16b\n",
            "smlal2 v14.8h, v5.16b, v",
            $b,
            ".16b\n",
            "smlal2 v15.8h, v7.16b, v",
            $b,
            ".16b\n",
            $add,
            " v",
            $c0,
            ".4s, v12.8h\n",
            $add,
            " v",
            $c1,
            ".4s, v13.8h\n",
            $add,
            " v",
            $c2,
            ".4s, v14.8h\n",
            $add,
            " v",
            $c3,
            ".4s, v15.8h\n",
        )
    };
}

/// One channel against four pixels, two products per widening addition.
macro_rules! narrow_step {
    ($add:literal, $a:literal, $b:literal, $c0:literal, $c1:literal, $c2:literal, $c3:literal) => {
        concat!(
            "ldp q",
            $a,
            ", q",
            $b,
            ", [{w}], #32\n",
            "smull v12.8h, v0.8b, v",
            $a,
            ".8b\n",
            "smull v13.8h, v2.8b, v",
            $a,
            ".8b\n",
            "smull v14.8h, v4.8b, v",
            $a,
            ".8b\n",
            "smull v15.8h, v6.8b, v",
            $a,
            ".8b\n",
            "smlal2 v12.8h, v0.16b, v",
            $a,
            ".16b\n",
            "smlal2 v13.8h, v2.16b, v",
            $a,
            ".16b\n",
            "smlal2 v14.8h, v4.16b, v",
            $a,
            ".16b\n",
            "smlal2 v15.8h, v6.16b, v",
            $a,
            ".16b\n",
            $add,
            " v",
            $c0,
            ".4s, v12.8h\n",
            $add,
            " v",
            $c1,
            ".4s, v13.8h\n",
            $add,
            " v",
            $c2,
            ".4s, v14.8h\n",
            $add,
            " v",
            $c3,
            ".4s, v15.8h\n",
            "smull v12.8h, v1.8b, v",
            $b,
            ".8b\n",
            "smull v13.8h, v3.8b, v",
            $b,
            ".8b\n",
            "smull v14.8h, v5.8b, v",
            $b,
            ".8b\n",
            "smull v15.8h, v7.8b, v",
            $b,
            ".8b\n",
            "smlal2 v12.8h, v1.16b, v",
            $b,
            ".16b\n",
            "smlal2 v13.8h, v3.16b, v",
            $b,
            ".16b\n",
            "smlal2 v14.8h, v5.16b, v",
            $b,
            ".16b\n",
            "smlal2 v15.8h, v7.16b, v",
            $b,
            ".16b\n",
            "sadalp v",
            $c0,
            ".4s, v12.8h\n",
            "sadalp v",
            $c1,
            ".4s, v13.8h\n",
            "sadalp v",
            $c2,
            ".4s, v14.8h\n",
            "sadalp v",
            $c3,
            ".4s, v15.8h\n",
        )
    };
}

/// A block of depth: four rows, four channels by `$step`.
macro_rules! block_4x4 {
    ($step:ident, $add:literal) => {
        concat!(
            "ldp q0, q1, [{x0}], #32\n",
            "ldp q2, q3, [{x1}], #32\n",
            "ldp q4, q5, [{x2}], #32\n",
            "ldp q6, q7, [{x3}], #32\n",
            $step!($add, "8", "9", "16", "17", "18", "19"),
            $step!($add, "10", "11", "20", "21", "22", "23"),
            $step!($add, "8", "9", "24", "25", "26", "27"),
            $step!($add, "10", "11", "28", "29", "30", "31"),
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

/// `tiles` × 4 pixels by one panel of 4 channels; sums go to `acc`, [`CHUNK`] int32s per pixel.
///
/// # Safety
/// `tiles` is at least 1; `rows` holds 4·`tiles` pointers; `words` is what [`decide`] wrote, up to
/// `words_end`, for `n` blocks; each row has 32·n readable bytes, the panel 128·n; `acc` has room for
/// 4·`tiles`·[`CHUNK`] int32s, of which the first four of each [`CHUNK`] are written.
#[inline(never)]
pub unsafe fn panel_4x4(
    rows: *const *const u8,
    tiles: usize,
    panel: *const u8,
    words: *const u64,
    words_end: *const u64,
    acc: *mut i32,
) {
    // SAFETY: reads and writes exactly what the contract names: the loop over blocks ends at each word's
    // sentinel and at `words_end`; every vector register that it changes is declared.
    unsafe {
        asm!(
            "2:",
            "ldp {x0}, {x1}, [{rows}], #16",
            "ldp {x2}, {x3}, [{rows}], #16",
            "mov {w}, {panel}",
            "ldr {m}, [{words}]",
            "add {next}, {words}, #8",
            "adds {m}, {m}, {m}",
            "b.cs 6f",
            block_4x4!(wide_step, "saddlp"),
            "3:",
            "adds {m}, {m}, {m}",
            "b.hi 5f",
            "b.eq 7f",
            "4:",
            block_4x4!(wide_step, "sadalp"),
            "adds {m}, {m}, {m}",
            "b.hi 5f",
            "b.ne 4b",
            "7:",
            "cmp {next}, {words_end}",
            "b.eq 8f",
            "ldr {m}, [{next}], #8",
            "b 3b",
            "5:",
            block_4x4!(narrow_step, "sadalp"),
            "b 3b",
            "6:",
            block_4x4!(narrow_step, "saddlp"),
            "b 3b",
            "8:",
            reduce!("16", "20", "24", "28", "0"),
            reduce!("17", "21", "25", "29", "64"),
            reduce!("18", "22", "26", "30", "128"),
            reduce!("19", "23", "27", "31", "192"),
            "add {acc}, {acc}, #256",
            "subs {tiles}, {tiles}, #1",
            "b.ne 2b",
            rows = inout(reg) rows => _,
            tiles = inout(reg) tiles => _,
            panel = in(reg) panel,
            words = in(reg) words,
            words_end = in(reg) words_end,
            acc = inout(reg) acc => _,
            x0 = out(reg) _,
            x1 = out(reg) _,
            x2 = out(reg) _,
            x3 = out(reg) _,
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

/// A block of depth: one row (v0, v1), four channels (v4–v11), four products per widening addition.
macro_rules! block_1x4_wide {
    ($add:literal) => {
        concat!(
            "ldp q0, q1, [{x}], #32\n",
            "ldp q4, q5, [{w}], #32\n",
            "ldp q6, q7, [{w}], #32\n",
            "ldp q8, q9, [{w}], #32\n",
            "ldp q10, q11, [{w}], #32\n",
            "smull v12.8h, v0.8b, v4.8b\n",
            "smull v13.8h, v0.8b, v6.8b\n",
            "smull v14.8h, v0.8b, v8.8b\n",
            "smull v15.8h, v0.8b, v10.8b\n",
            "smlal2 v12.8h, v0.16b, v4.16b\n",
            "smlal2 v13.8h, v0.16b, v6.16b\n",
            "smlal2 v14.8h, v0.16b, v8.16b\n",
            "smlal2 v15.8h, v0.16b, v10.16b\n",
            "smlal v12.8h, v1.8b, v5.8b\n",
            "smlal v13.8h, v1.8b, v7.8b\n",
            "smlal v14.8h, v1.8b, v9.8b\n",
            "smlal v15.8h, v1.8b, v11.8b\n",
            "smlal2 v12.8h, v1.16b, v5.16b\n",
            "smlal2 v13.8h, v1.16b, v7.16b\n",
            "smlal2 v14.8h, v1.16b, v9.16b\n",
            "smlal2 v15.8h, v1.16b, v11.16b\n",
            $add,
            " v16.4s, v12.8h\n",
            $add,
            " v17.4s, v13.8h\n",
            $add,
            " v18.4s, v14.8h\n",
            $add,
            " v19.4s, v15.8h\n",
        )
    };
}

/// The same with two products per widening addition.
macro_rules! block_1x4_narrow {
    ($add:literal) => {
        concat!(
            "ldp q0, q1, [{x}], #32\n",
            "ldp q4, q5, [{w}], #32\n",
            "ldp q6, q7, [{w}], #32\n",
            "ldp q8, q9, [{w}], #32\n",
            "ldp q10, q11, [{w}], #32\n",
            "smull v12.8h, v0.8b, v4.8b\n",
            "smull v13.8h, v0.8b, v6.8b\n",
            "smull v14.8h, v0.8b, v8.8b\n",
            "smull v15.8h, v0.8b, v10.8b\n",
            "smlal2 v12.8h, v0.16b, v4.16b\n",
            "smlal2 v13.8h, v0.16b, v6.16b\n",
            "smlal2 v14.8h, v0.16b, v8.16b\n",
            "smlal2 v15.8h, v0.16b, v10.16b\n",
            $add,
            " v16.4s, v12.8h\n",
            $add,
            " v17.4s, v13.8h\n",
            $add,
            " v18.4s, v14.8h\n",
            $add,
            " v19.4s, v15.8h\n",
            "smull v12.8h, v1.8b, v5.8b\n",
            "smull v13.8h, v1.8b, v7.8b\n",
            "smull v14.8h, v1.8b, v9.8b\n",
            "smull v15.8h, v1.8b, v11.8b\n",
            "smlal2 v12.8h, v1.16b, v5.16b\n",
            "smlal2 v13.8h, v1.16b, v7.16b\n",
            "smlal2 v14.8h, v1.16b, v9.16b\n",
            "smlal2 v15.8h, v1.16b, v11.16b\n",
            "sadalp v16.4s, v12.8h\n",
            "sadalp v17.4s, v13.8h\n",
            "sadalp v18.4s, v14.8h\n",
            "sadalp v19.4s, v15.8h\n",
        )
    };
}

/// One pixel by one panel of 4 channels.
///
/// # Safety
/// As [`panel_4x4`], for one row and four int32s of `acc`.
#[inline(never)]
pub unsafe fn panel_1x4(
    row: *const u8,
    panel: *const u8,
    words: *const u64,
    words_end: *const u64,
    acc: *mut i32,
) {
    // SAFETY: as in `panel_4x4`.
    unsafe {
        asm!(
            "ldr {m}, [{next}], #8",
            "adds {m}, {m}, {m}",
            "b.cs 6f",
            block_1x4_wide!("saddlp"),
            "3:",
            "adds {m}, {m}, {m}",
            "b.hi 5f",
            "b.eq 7f",
            "4:",
            block_1x4_wide!("sadalp"),
            "adds {m}, {m}, {m}",
            "b.hi 5f",
            "b.ne 4b",
            "7:",
            "cmp {next}, {words_end}",
            "b.eq 8f",
            "ldr {m}, [{next}], #8",
            "b 3b",
            "5:",
            block_1x4_narrow!("sadalp"),
            "b 3b",
            "6:",
            block_1x4_narrow!("saddlp"),
            "b 3b",
            "8:",
            reduce!("16", "17", "18", "19", "0"),
            x = inout(reg) row => _,
            w = inout(reg) panel => _,
            next = inout(reg) words => _,
            words_end = in(reg) words_end,
            acc = in(reg) acc,
            m = out(reg) _,
            out("v0") _, out("v1") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            options(nostack),
        );
    }
}
