//! Winograd's transforms of the input and of the output, eight and four channels at a time.

use core::arch::aarch64::*;
use core::arch::asm;

use super::geometry::CLASSES;
use super::{LANES, REACH, TILE};
use crate::aarch64::neon::tile::CHANNELS;
use crate::shape::Shape;
use crate::winograd::INVERSE_OF_9;

/// The number of points of a tile with three outputs per side, which is also the number of inputs it reads.
const SHORT: usize = REACH - 1;

/// Hides a constant from the optimizer, which would replace multiplications by it with shifts and additions, two
/// instructions where `mla` is one.
#[inline(always)]
fn opaque16(v: int16x8_t) -> int16x8_t {
    let mut v = v;
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0:v} */", inout(vreg) v, options(pure, nomem, nostack, preserves_flags)) };
    v
}

/// Like [`opaque16`].
#[inline(always)]
fn opaque32(v: int32x4_t) -> int32x4_t {
    let mut v = v;
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {0:v} */", inout(vreg) v, options(pure, nomem, nostack, preserves_flags)) };
    v
}

/// Computes `Bᵀ d` of one column (or row) of N inputs: one value per point. With five inputs the last is
/// undefined.
#[inline(always)]
fn input_1d<const N: usize>(d: [int16x8_t; REACH], two: int16x8_t, four: int16x8_t) -> [int16x8_t; REACH] {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe {
        let c = vsubq_s16(d[4], d[2]);
        let e = vsubq_s16(d[3], d[1]);
        if N == SHORT {
            let f = vsubq_s16(d[3], d[2]);
            return [
                vmlaq_s16(e, vsubq_s16(d[0], d[2]), two),
                vmlsq_s16(f, d[1], two),
                vmlaq_s16(f, vsubq_s16(d[1], d[2]), two),
                e,
                vmlsq_s16(c, e, two),
                e,
            ];
        }
        let a = vmlsq_s16(d[4], d[2], four);
        let b = vmlsq_s16(d[3], d[1], four);
        [
            vmlaq_s16(c, vsubq_s16(d[0], d[2]), four),
            vaddq_s16(a, b),
            vsubq_s16(a, b),
            vmlaq_s16(c, e, two),
            vmlsq_s16(vsubq_s16(d[5], d[3]), e, four),
            vmlsq_s16(c, e, two),
        ]
    }
}

/// The source of a band's input tiles.
pub struct Input {
    pub x: *const u8,
    pub shape: Shape,
    /// The distance from one pixel to the next in bytes.
    pub stride: usize,
    pub zero: i8,
    pub pad: [usize; 2],
    /// Room for the 6×6 pixels of a tile at the edge, [`patch_bytes`].
    pub patch: *mut u8,
}

/// Returns the size in bytes of [`Input::patch`].
pub const fn patch_bytes(stride: usize) -> usize {
    REACH * REACH * stride
}

impl Input {
    /// Returns the address of the H×W pixels that the tile with first output (`oy`, `ox`) reads, and the distance
    /// from one row to the next in bytes. A tile that extends beyond the input is copied, with padding around it.
    ///
    /// # Safety
    /// `x` is a tensor of the shape and stride, and `patch` has room.
    unsafe fn tile<const H: usize, const W: usize>(&self, oy: usize, ox: usize) -> (*const u8, usize) {
        let (top, left) = (oy.wrapping_sub(self.pad[0]), ox.wrapping_sub(self.pad[1]));
        let fits = |first: usize, reach: usize, size: usize| first < size && first + reach <= size;
        if fits(top, H, self.shape.h) && fits(left, W, self.shape.w) {
            let row = self.shape.w * self.stride;
            return (self.x.wrapping_add(top * row + left * self.stride), row);
        }
        for i in 0..H {
            for j in 0..W {
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

/// The destination of one tile's transformed channels, in int16s, per class of positions (see
/// [`super::geometry`]).
pub struct Place {
    /// The first position's first eight channels.
    pub v: [*mut i16; CLASSES],
    /// The distance from eight channels to the next.
    pub step: [usize; CLASSES],
    /// The distance from position (i, j) to (i + 1, j).
    pub row: usize,
    /// The distance from position (i, j) to (i, j + 1), for classes 0 and 2.
    pub column: [usize; 2],
}

/// Transforms all channels of the tile whose first output is (`oy`, `ox`), 8 at a time. `four` is true in each
/// direction in which the tile has four outputs (rows, columns).
///
/// # Safety
/// `input` meets the description of its fields, channels are a multiple of 8, and `place` has room in the tile's
/// classes.
pub unsafe fn transform_input(input: &Input, [oy, ox]: [usize; 2], four: [bool; 2], place: &Place) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match four {
            [true, true] => transform_input_of::<REACH, REACH>(input, oy, ox, place),
            [true, false] => transform_input_of::<REACH, SHORT>(input, oy, ox, place),
            [false, true] => transform_input_of::<SHORT, REACH>(input, oy, ox, place),
            [false, false] => transform_input_of::<SHORT, SHORT>(input, oy, ox, place),
        }
    }
}

/// # Safety
/// The same as for [`transform_input`].
#[inline(never)]
unsafe fn transform_input_of<const H: usize, const W: usize>(
    input: &Input,
    oy: usize,
    ox: usize,
    place: &Place,
) {
    // SAFETY: the tile's H·W pixels are readable, `input.shape.c ≤ input.stride` bytes each; the caller provides
    // room for the results.
    unsafe {
        let (pixels, row_bytes) = input.tile::<H, W>(oy, ox);
        let mut rows: [*const u8; REACH] = core::array::from_fn(|i| pixels.wrapping_add(i * row_bytes));
        let [mut v0, mut v1, mut v2, mut v3] = place.v;
        let two = opaque16(vdupq_n_s16(2));
        let four = opaque16(vdupq_n_s16(4));
        for _ in 0..input.shape.c / LANES {
            let column = |j: usize| {
                let at = |i: usize| vmovl_s8(vld1_s8(rows[i].wrapping_add(j * input.stride).cast()));
                let last = if H == REACH { at(5) } else { two };
                input_1d::<H>([at(0), at(1), at(2), at(3), at(4), last], two, four)
            };
            // Written out, so that the compiler can keep all 36 values in registers.
            let last = if W == REACH { column(5) } else { [two; REACH] };
            let c = [column(0), column(1), column(2), column(3), column(4), last];
            let row = |i: usize, out: *mut i16, step: usize, corner: *mut i16| {
                let d = [c[0][i], c[1][i], c[2][i], c[3][i], c[4][i], c[5][i]];
                let [t0, t1, t2, t3, t4, t5] = input_1d::<W>(d, two, four);
                vst1q_s16(out, t0);
                vst1q_s16(out.wrapping_add(step), t1);
                vst1q_s16(out.wrapping_add(2 * step), t2);
                vst1q_s16(out.wrapping_add(3 * step), t3);
                vst1q_s16(out.wrapping_add(4 * step), t4);
                if W == REACH {
                    vst1q_s16(corner, t5);
                }
            };
            let common = |i: usize| {
                row(i, v0.wrapping_add(i * place.row), place.column[0], v1.wrapping_add(i * place.row));
            };
            common(0);
            common(1);
            common(2);
            common(3);
            common(4);
            if H == REACH {
                row(5, v2, place.column[1], v3);
            }
            for row in &mut rows {
                *row = row.wrapping_add(LANES);
            }
            v0 = v0.wrapping_add(place.step[0]);
            v1 = v1.wrapping_add(place.step[1]);
            v2 = v2.wrapping_add(place.step[2]);
            v3 = v3.wrapping_add(place.step[3]);
        }
    }
}

/// The constants of [`output_1d`].
#[derive(Clone, Copy)]
struct Factors {
    two: int32x4_t,
    three: int32x4_t,
    four: int32x4_t,
    six: int32x4_t,
}

/// Returns the outputs of one column (or row): 24·y0, 12·y1, 6·y2, 6·y3, or, from five points, 6·y0, 6·y1, 6·y2
/// and an undefined value.
#[inline(always)]
fn output_1d<const N: usize>(m: [int32x4_t; REACH], f: Factors) -> [int32x4_t; TILE] {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe {
        if N == SHORT {
            // m₋1 ± 3·m1
            let (a, b) = (vmlaq_s32(m[2], m[1], f.three), vmlsq_s32(m[2], m[1], f.three));
            return [
                vsubq_s32(vmlaq_s32(m[3], m[0], f.three), a),
                vmlaq_s32(b, m[3], f.two),
                vmlaq_s32(vsubq_s32(vshlq_n_s32::<2>(m[3]), a), m[4], f.six),
                m[3],
            ];
        }
        let (a, b) = (vaddq_s32(m[1], m[2]), vsubq_s32(m[1], m[2]));
        let (c, d) = (vaddq_s32(m[3], m[5]), vsubq_s32(m[3], m[5]));
        [
            vmlsq_s32(vmlaq_s32(c, m[0], f.six), a, f.four),
            vmlsq_s32(d, b, f.two),
            vsubq_s32(c, a),
            vmlaq_s32(vsubq_s32(vaddq_s32(d, d), b), m[4], f.six),
        ]
    }
}

/// Returns the exponent of 2 in the factor of output `i`: 24 = 3·8, 12 = 3·4, 6 = 3·2.
const fn exponent(points: usize, i: usize) -> u32 {
    match (points, i) {
        (REACH, 0) => 3,
        (REACH, 1) => 2,
        _ => 1,
    }
}

/// `v >> s`.
#[inline(always)]
fn shift(v: int32x4_t, s: u32) -> int32x4_t {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe {
        match s {
            2 => vshrq_n_s32::<2>(v),
            3 => vshrq_n_s32::<3>(v),
            4 => vshrq_n_s32::<4>(v),
            5 => vshrq_n_s32::<5>(v),
            _ => vshrq_n_s32::<6>(v),
        }
    }
}

/// Transforms the sums of one tile, [`CHANNELS`] channels, from `m` (`[36][CHANNELS]`) to `acc`, 4×4 pixels of
/// [`CHANNELS`]; adds them to the content of `acc` if `add`. `four` is as in [`transform_input`].
///
/// # Safety
/// `m` has [`CHANNELS`] int32s at each of the 36 positions, and `acc` has room for 16·[`CHANNELS`].
pub unsafe fn transform_output(m: *const i32, four: [bool; 2], acc: *mut i32, add: bool) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (four, add) {
            ([true, true], false) => transform_output_of::<REACH, REACH, false>(m, acc),
            ([true, false], false) => transform_output_of::<REACH, SHORT, false>(m, acc),
            ([false, true], false) => transform_output_of::<SHORT, REACH, false>(m, acc),
            ([false, false], false) => transform_output_of::<SHORT, SHORT, false>(m, acc),
            ([true, true], true) => transform_output_of::<REACH, REACH, true>(m, acc),
            ([true, false], true) => transform_output_of::<REACH, SHORT, true>(m, acc),
            ([false, true], true) => transform_output_of::<SHORT, REACH, true>(m, acc),
            ([false, false], true) => transform_output_of::<SHORT, SHORT, true>(m, acc),
        }
    }
}

/// # Safety
/// The same as for [`transform_output`].
#[inline(never)]
unsafe fn transform_output_of<const H: usize, const W: usize, const ADD: bool>(m: *const i32, acc: *mut i32) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let f = Factors {
            two: opaque32(vdupq_n_s32(2)),
            three: opaque32(vdupq_n_s32(3)),
            four: opaque32(vdupq_n_s32(4)),
            six: opaque32(vdupq_n_s32(6)),
        };
        let inverse = opaque32(vdupq_n_s32(INVERSE_OF_9));
        for quarter in 0..CHANNELS / 4 {
            let m = m.add(4 * quarter);
            let column = |j: usize| {
                let at = |i: usize| vld1q_s32(m.add((i * REACH + j) * CHANNELS));
                let last = if H == REACH { at(5) } else { f.two };
                output_1d::<H>([at(0), at(1), at(2), at(3), at(4), last], f)
            };
            let last = if W == REACH { column(5) } else { [f.two; TILE] };
            let c = [column(0), column(1), column(2), column(3), column(4), last];
            let store = |i: usize| {
                let y = output_1d::<W>([c[0][i], c[1][i], c[2][i], c[3][i], c[4][i], c[5][i]], f);
                for (j, &y) in y.iter().enumerate().take(W - 2) {
                    let to = acc.add((i * TILE + j) * CHANNELS + 4 * quarter);
                    let sum = shift(vmulq_s32(y, inverse), exponent(H, i) + exponent(W, j));
                    vst1q_s32(to, if ADD { vaddq_s32(vld1q_s32(to), sum) } else { sum });
                }
            };
            store(0);
            store(1);
            store(2);
            if H == REACH {
                store(3);
            }
        }
    }
}
