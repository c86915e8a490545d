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
//! - **Weights.** Each row of `G` loses its denominator: (1,0,0), (1,1,1), (1,−1,1), (1,2,4), (1,−2,4),
//!   (0,0,1) for 1/4, −1/6, −1/6, 1/24, 1/24, 1. Then `G g Gᵀ` is at most 127·49 = 6,223: int16 as well.
//! - **Output.** The denominators go into `Aᵀ`, whose rows are then multiples 24, 12, 6 and 6 of what
//!   they should be:
//!   ```text
//!   24·y0 = 6·m0 − 4·(m1 + m2) +    (m3 + m4)
//!   12·y1 =      − 2·(m1 − m2) +    (m3 − m4)
//!    6·y2 =      −   (m1 + m2) +    (m3 + m4)
//!    6·y3 =      −   (m1 − m2) + 2·(m3 − m4) + 6·m5
//!   ```
//!   In two dimensions output (i, j) comes out as `9·2^s` times the true sum, s from 2 to 6.
//! - **Division.** All sums wrap modulo 2³², which is a ring, so intermediate overflow is harmless. 9 has
//!   an inverse there, and what remains is `sum·2^s mod 2³²`; an arithmetic shift right by s gives `sum`
//!   if |sum| < 2²⁵. That |Σ x·w| ≤ 128·Σ |w| < 2²⁵ holds is proved from the actual weights when
//!   packing ([`exact`]); where it does not, the direct kernel takes the layer.
//!
//! ```text
//! for each band of tile rows (its V fits in a few hundred kB)
//!     for each tile, 8 channels: V[ξ] = Bᵀ d B                          36 × 8 int16, ξ = 0…35
//!     for each 16 output channels
//!         for ξ in 0…35: M[ξ] = V[ξ]·U[ξ]           [tiles × c_in]·[c_in × 16], int32
//!         for each tile, 4 channels: Aᵀ M A, divide                      into the epilogue's buffer
//!         epilogue
//! ```
//!
//! 1. *The product* holds 8 tiles × 8 channels in 16 accumulators. Eight channels of depth per turn:
//!    4 paired loads bring 8 tiles × 8, 4 bring 8 × 8 weights, 128 `smlal`/`smlal2` by lane follow. That
//!    is 512 products in 138 instructions (3.7 each of the instruction's 4), and each stands for 4
//!    products of the direct sum: 14.8 against the direct kernel's 5.6.
//! 2. *Tiles are interleaved by 8 channels*, `[ξ][channel / 8][tile][8]`, which is as the input transform
//!    makes them and as the product loads them; nothing is transposed.
//! 3. *Tiles fall into even groups*: 49 are seven groups of 7, not six of 8 and one of 1.
//! 4. *The first 8 channels multiply without adding*, so that no accumulator is zeroed.
//!
//! The transforms cost about 2.5 instructions per input and 3 per output value, once for all output
//! channels. The price is memory: 72 bytes of weights for 9. F(2×2, 3×3) would take 32, but multiply 1.8
//! times as often.

use core::arch::aarch64::*;
use core::arch::asm;

use super::direct::CHUNK;
use crate::shape::Shape;

/// Outputs per tile side.
pub const TILE: usize = 4;
/// Inputs per tile side.
const REACH: usize = TILE + 2;
/// Positions in the transformed tile.
pub const POSITIONS: usize = REACH * REACH;
/// Tiles per group at most.
pub const GROUP: usize = 8;
/// Output channels per product.
pub const LANES: usize = 8;

/// Modulo 2³²: `9 · INVERSE_OF_9 = 1`.
const INVERSE_OF_9: i32 = 954_437_177;
const _: () = assert!(INVERSE_OF_9.wrapping_mul(9) == 1);

/// Σ |w| of one channel that still makes the division exact: 128·Σ < 2²⁵.
const WEIGHT_SUM_LIMIT: u64 = 1 << 18;

/// True when one output channel's weights keep |Σ x·w| below 2²⁵ for every int8 input.
pub fn exact(channel: &[i8]) -> bool {
    channel.iter().map(|w| u64::from(w.unsigned_abs())).sum::<u64>() < WEIGHT_SUM_LIMIT
}

/// `G` without its denominators.
const G: [[i16; 3]; REACH] = [[1, 0, 0], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4], [0, 0, 1]];

/// `G g Gᵀ` of one 3×3 kernel.
pub fn transform_weights(g: &[[i8; 3]; 3]) -> [i16; POSITIONS] {
    let mut u = [0; POSITIONS];
    for (i, row) in G.iter().enumerate() {
        for (j, column) in G.iter().enumerate() {
            let mut sum = 0;
            for (a, g) in row.iter().zip(g) {
                for (b, &g) in column.iter().zip(g) {
                    sum += a * b * i16::from(g);
                }
            }
            u[i * REACH + j] = sum;
        }
    }
    u
}

/// Group `g` of `groups` even ones over `tiles`: its first tile and how many.
pub const fn group(tiles: usize, groups: usize, g: usize) -> (usize, usize) {
    let first = tiles * g / groups;
    (first, tiles * (g + 1) / groups - first)
}

/// Hides a constant from the optimizer, which would turn multiplications by it into shifts and
/// additions, two instructions where `mla` is one.
#[inline(always)]
fn opaque16(v: int16x8_t) -> int16x8_t {
    let mut v = v;
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0:v} */", inout(vreg) v, options(pure, nomem, nostack, preserves_flags)) };
    v
}

/// As [`opaque16`].
#[inline(always)]
fn opaque32(v: int32x4_t) -> int32x4_t {
    let mut v = v;
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0:v} */", inout(vreg) v, options(pure, nomem, nostack, preserves_flags)) };
    v
}

/// `Bᵀ d` of one column (or row).
#[inline(always)]
fn input_1d(d: [int16x8_t; REACH], two: int16x8_t, four: int16x8_t) -> [int16x8_t; REACH] {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe {
        let a = vmlsq_s16(d[4], d[2], four);
        let b = vmlsq_s16(d[3], d[1], four);
        let c = vsubq_s16(d[4], d[2]);
        let e = vsubq_s16(d[3], d[1]);
        [
            vmlaq_s16(c, vsubq_s16(d[0], d[2]), four),
            vaddq_s16(a, b),
            vsubq_s16(a, b),
            vmlaq_s16(c, e, two),
            vmlsq_s16(c, e, two),
            vmlsq_s16(vsubq_s16(d[5], d[3]), e, four),
        ]
    }
}

/// Where a band's input tiles come from.
pub struct Input {
    pub x: *const u8,
    pub shape: Shape,
    /// Bytes from one pixel to the next.
    pub stride: usize,
    pub zero: i8,
    pub pad: [usize; 2],
    /// Room for the 6×6 pixels of a tile at the edge, [`patch_bytes`].
    pub patch: *mut u8,
}

/// Bytes of [`Input::patch`].
pub const fn patch_bytes(stride: usize) -> usize {
    REACH * REACH * stride
}

impl Input {
    /// Where the 6×6 pixels stand that the tile with first output (`oy`, `ox`) reads, and the bytes from
    /// one row to the next. A tile that reaches beyond the input is copied, with padding around it.
    ///
    /// # Safety
    /// `x` is a tensor of the shape and stride, and `patch` has room.
    unsafe fn tile(&self, oy: usize, ox: usize) -> (*const u8, usize) {
        let (top, left) = (oy.wrapping_sub(self.pad[0]), ox.wrapping_sub(self.pad[1]));
        let fits = |first: usize, size: usize| first < size && first + REACH <= size;
        if fits(top, self.shape.h) && fits(left, self.shape.w) {
            let row = self.shape.w * self.stride;
            return (self.x.wrapping_add(top * row + left * self.stride), row);
        }
        for i in 0..REACH {
            for j in 0..REACH {
                let (iy, ix) = (top.wrapping_add(i), left.wrapping_add(j));
                let to = self.patch.wrapping_add((i * REACH + j) * self.stride);
                // SAFETY: pixel (iy, ix) is in the tensor, pixel (i, j) in the patch; the stride is a
                // multiple of 16.
                unsafe {
                    if iy < self.shape.h && ix < self.shape.w {
                        let from = self.x.add((iy * self.shape.w + ix) * self.stride);
                        for at in (0..self.stride).step_by(16) {
                            vst1q_u8(to.add(at), vld1q_u8(from.add(at)));
                        }
                    } else {
                        for at in (0..self.stride).step_by(16) {
                            vst1q_s8(to.add(at).cast(), vdupq_n_s8(self.zero));
                        }
                    }
                }
            }
        }
        (self.patch, REACH * self.stride)
    }
}

/// Transforms all channels of the tile whose first output is (`oy`, `ox`), 8 at a time: position ξ of
/// channels 8k… goes to `v + ξ·position + k·step`, counted in int16s.
///
/// # Safety
/// `input` is as its fields say, with channels a multiple of 8, and `v` has room.
#[inline(never)]
pub unsafe fn transform_input(
    input: &Input,
    oy: usize,
    ox: usize,
    mut v: *mut i16,
    position: usize,
    step: usize,
) {
    // SAFETY: the tile's 36 pixels are readable, `input.shape.c ≤ input.stride` bytes each; the caller
    // gives room for the results.
    unsafe {
        let (pixels, row_bytes) = input.tile(oy, ox);
        let mut rows: [*const u8; REACH] = core::array::from_fn(|i| pixels.wrapping_add(i * row_bytes));
        let two = opaque16(vdupq_n_s16(2));
        let four = opaque16(vdupq_n_s16(4));
        for _ in 0..input.shape.c / LANES {
            let column = |j: usize| {
                let at = |i: usize| vmovl_s8(vld1_s8(rows[i].wrapping_add(j * input.stride).cast()));
                input_1d([at(0), at(1), at(2), at(3), at(4), at(5)], two, four)
            };
            // Spelled out, so that all 36 values are the compiler's to keep in registers.
            let c = [column(0), column(1), column(2), column(3), column(4), column(5)];
            let row = |i: usize| {
                let d = [c[0][i], c[1][i], c[2][i], c[3][i], c[4][i], c[5][i]];
                let [t0, t1, t2, t3, t4, t5] = input_1d(d, two, four);
                let out = v.wrapping_add(i * REACH * position);
                vst1q_s16(out, t0);
                vst1q_s16(out.wrapping_add(position), t1);
                vst1q_s16(out.wrapping_add(2 * position), t2);
                vst1q_s16(out.wrapping_add(3 * position), t3);
                vst1q_s16(out.wrapping_add(4 * position), t4);
                vst1q_s16(out.wrapping_add(5 * position), t5);
            };
            row(0);
            row(1);
            row(2);
            row(3);
            row(4);
            row(5);
            for row in &mut rows {
                *row = row.wrapping_add(LANES);
            }
            v = v.wrapping_add(step);
        }
    }
}

/// The four outputs of one column (or row): 24·y0, 12·y1, 6·y2, 6·y3.
#[inline(always)]
fn output_1d(m: [int32x4_t; REACH], two: int32x4_t, four: int32x4_t, six: int32x4_t) -> [int32x4_t; TILE] {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe {
        let (a, b) = (vaddq_s32(m[1], m[2]), vsubq_s32(m[1], m[2]));
        let (c, d) = (vaddq_s32(m[3], m[4]), vsubq_s32(m[3], m[4]));
        [
            vmlsq_s32(vmlaq_s32(c, m[0], six), a, four),
            vmlsq_s32(d, b, two),
            vsubq_s32(c, a),
            vmlaq_s32(vsubq_s32(vaddq_s32(d, d), b), m[5], six),
        ]
    }
}

/// Sums of one tile, [`CHUNK`] channels, from `m` (`position` int32s between positions) to `acc`, 4×4
/// pixels of [`CHUNK`].
///
/// # Safety
/// `m` holds [`CHUNK`] int32s at each of the 36 positions, `acc` room for 16·[`CHUNK`].
#[inline(never)]
pub unsafe fn transform_output(m: *const i32, position: usize, acc: *mut i32) {
    // SAFETY: the caller's promise.
    unsafe {
        let two = opaque32(vdupq_n_s32(2));
        let four = opaque32(vdupq_n_s32(4));
        let six = opaque32(vdupq_n_s32(6));
        let inverse = opaque32(vdupq_n_s32(INVERSE_OF_9));
        for quarter in 0..CHUNK / 4 {
            let m = m.add(4 * quarter);
            let column = |j: usize| {
                let at = |i: usize| vld1q_s32(m.add((i * REACH + j) * position));
                output_1d([at(0), at(1), at(2), at(3), at(4), at(5)], two, four, six)
            };
            let c = [column(0), column(1), column(2), column(3), column(4), column(5)];
            let acc = acc.add(4 * quarter);
            macro_rules! store {
                ($i:literal: $($j:literal >> $s:literal),*) => {
                    let row = [c[0][$i], c[1][$i], c[2][$i], c[3][$i], c[4][$i], c[5][$i]];
                    let y = output_1d(row, two, four, six);
                    $(vst1q_s32(
                        acc.add(($i * TILE + $j) * CHUNK),
                        vshrq_n_s32::<$s>(vmulq_s32(y[$j], inverse)),
                    );)*
                };
            }
            // 24 = 3·8, 12 = 3·4, 6 = 3·2: shifts of 3, 2, 1, 1 on each axis.
            store!(0: 0 >> 6, 1 >> 5, 2 >> 4, 3 >> 4);
            store!(1: 0 >> 5, 1 >> 4, 2 >> 3, 3 >> 3);
            store!(2: 0 >> 4, 1 >> 3, 2 >> 2, 3 >> 2);
            store!(3: 0 >> 4, 1 >> 3, 2 >> 2, 3 >> 2);
        }
    }
}

/// One tile (its 8 channels in v`$x`, its sums in v`$lo`, v`$hi`) by lane `$k` of the depth, weights v`$w`.
macro_rules! lane {
    ($n:literal, $x:literal, $lo:literal, $hi:literal, $op:literal, $w:literal, $k:literal) => {
        concat!(
            ".if {mr} > ",
            $n,
            "\n",
            $op,
            " v",
            $lo,
            ".4s, v",
            $w,
            ".4h, v",
            $x,
            ".h[",
            $k,
            "]\n",
            $op,
            "2 v",
            $hi,
            ".4s, v",
            $w,
            ".8h, v",
            $x,
            ".h[",
            $k,
            "]\n",
            ".endif\n",
        )
    };
}

/// All tiles by lane `$k` of the depth.
macro_rules! depth {
    ($op:literal, $w:literal, $k:literal) => {
        concat!(
            lane!("0", "0", "16", "17", $op, $w, $k),
            lane!("1", "1", "18", "19", $op, $w, $k),
            lane!("2", "2", "20", "21", $op, $w, $k),
            lane!("3", "3", "22", "23", $op, $w, $k),
            lane!("4", "4", "24", "25", $op, $w, $k),
            lane!("5", "5", "26", "27", $op, $w, $k),
            lane!("6", "6", "28", "29", $op, $w, $k),
            lane!("7", "7", "30", "31", $op, $w, $k),
        )
    };
}

/// Eight channels of depth; the first product by `$first`.
macro_rules! depth8 {
    ($first:literal) => {
        concat!(
            ".if {mr} == 1\n ldr q0, [{v}], #16\n .endif\n",
            ".if {mr} > 1\n ldp q0, q1, [{v}], #32\n .endif\n",
            ".if {mr} == 3\n ldr q2, [{v}], #16\n .endif\n",
            ".if {mr} > 3\n ldp q2, q3, [{v}], #32\n .endif\n",
            ".if {mr} == 5\n ldr q4, [{v}], #16\n .endif\n",
            ".if {mr} > 5\n ldp q4, q5, [{v}], #32\n .endif\n",
            ".if {mr} == 7\n ldr q6, [{v}], #16\n .endif\n",
            ".if {mr} > 7\n ldp q6, q7, [{v}], #32\n .endif\n",
            "ldp q8, q9, [{u}], #32\n",
            "ldp q10, q11, [{u}], #32\n",
            depth!($first, "8", "0"),
            "ldp q12, q13, [{u}], #32\n",
            depth!("smlal", "9", "1"),
            "ldp q14, q15, [{u}], #32\n",
            depth!("smlal", "10", "2"),
            depth!("smlal", "11", "3"),
            depth!("smlal", "12", "4"),
            depth!("smlal", "13", "5"),
            depth!("smlal", "14", "6"),
            depth!("smlal", "15", "7"),
        )
    };
}

/// `m[tile][0..8] = Σ_k v[tile][k]·u[k][0..8]` for MR tiles; rows of `m` are [`CHUNK`] int32s apart.
///
/// # Safety
/// `v` holds `steps`·MR·8 int16s, `u` `steps`·64, `steps ≥ 1`; `m` room for MR rows.
unsafe fn product<const MR: usize>(v: *const i16, u: *const i16, m: *mut i32, steps: usize) {
    // SAFETY: reads and writes exactly what the contract names; all vector registers are declared.
    unsafe {
        asm!(
            depth8!("smull"),
            "subs {steps}, {steps}, #1",
            "b.eq 3f",
            "2:",
            depth8!("smlal"),
            "subs {steps}, {steps}, #1",
            "b.ne 2b",
            "3:",
            "stp q16, q17, [{m}]",
            ".if {mr} > 1\n stp q18, q19, [{m}, #64]\n .endif",
            ".if {mr} > 2\n stp q20, q21, [{m}, #128]\n .endif",
            ".if {mr} > 3\n stp q22, q23, [{m}, #192]\n .endif",
            ".if {mr} > 4\n stp q24, q25, [{m}, #256]\n .endif",
            ".if {mr} > 5\n stp q26, q27, [{m}, #320]\n .endif",
            ".if {mr} > 6\n stp q28, q29, [{m}, #384]\n .endif",
            ".if {mr} > 7\n stp q30, q31, [{m}, #448]\n .endif",
            mr = const MR,
            v = inout(reg) v => _,
            u = inout(reg) u => _,
            m = in(reg) m,
            steps = inout(reg) steps => _,
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

/// A product for a number of tiles known only at run time: all positions of one group.
///
/// `v` is the group's, `position_v` int16s between positions; `u` likewise; `m` the group's rows.
///
/// # Safety
/// As [`product`], for each of the 36 positions; 1 ≤ `tiles` ≤ [`GROUP`].
#[allow(clippy::too_many_arguments)]
pub unsafe fn products(
    tiles: usize,
    v: *const i16,
    position_v: usize,
    u: *const i16,
    position_u: usize,
    m: *mut i32,
    position_m: usize,
    steps: usize,
) {
    /// # Safety
    /// As [`products`].
    #[inline(never)]
    unsafe fn all<const MR: usize>(
        v: *const i16,
        position_v: usize,
        u: *const i16,
        position_u: usize,
        m: *mut i32,
        position_m: usize,
        steps: usize,
    ) {
        for i in 0..POSITIONS {
            // SAFETY: forwarded.
            unsafe {
                product::<MR>(v.add(i * position_v), u.add(i * position_u), m.add(i * position_m), steps);
            }
        }
    }
    // SAFETY: forwarded.
    unsafe {
        let all = match tiles {
            1 => all::<1>,
            2 => all::<2>,
            3 => all::<3>,
            4 => all::<4>,
            5 => all::<5>,
            6 => all::<6>,
            7 => all::<7>,
            _ => all::<8>,
        };
        all(v, position_v, u, position_u, m, position_m, steps);
    }
}
