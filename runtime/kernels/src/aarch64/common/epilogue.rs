//! Converts a tile's int32 sums to the convolution's outputs.
//!
//! ```text
//! v  = f32(acc)·m (+ f32(skip − skip_zero)·m_skip)
//! y  = clamp(rne(v) + z),  y2 = clamp(rne(v·gain + offset) + z2)
//! ```
//! Optimizations:
//! 1. Everything is computed in accumulator order; bytes are put into pixel order once per sixteen results, if a
//!    set needs that.
//! 2. *Plain* mode applies if the range is −128…127 and every constant is tame (so that no v can be a NaN).
//!    Rounding is monotone and the bounds are integers, so saturating narrowing after rounding is the clamp. That
//!    takes 20 instructions per 16 results (`scvtf`, `fmul`, `fcvtns`, `sqxtn` four times each, `sqadd` and
//!    `sqxtn` twice). *Careful* mode clamps first, exactly like [`crate::Requant::apply`].

use core::arch::aarch64::*;

use super::requant::Round;
use super::tile::{Pair, Tile};
use crate::set::ConvScalars;

/// Values of the `OUTPUT` parameter, one per [`crate::ConvOutput`].
pub(crate) const INT8: u8 = 0;
pub(crate) const BOTH: u8 = 1;
pub(crate) const AFFINE: u8 = 2;
pub(crate) const FLOAT: u8 = 3;

/// A convolution's scalars in registers.
#[derive(Clone, Copy)]
pub(crate) struct Scalars {
    skip_zero: int8x16_t,
    skip_multiplier: float32x4_t,
    y: Round,
    y2: Round,
}

impl Scalars {
    #[inline(always)]
    pub(crate) fn new(s: &ConvScalars) -> Self {
        // SAFETY: every AArch64 CPU has these instructions.
        unsafe {
            Self {
                skip_zero: vdupq_n_s8(s.skip_zero),
                skip_multiplier: vdupq_n_f32(s.skip_multiplier),
                y: Round::new(s.y),
                y2: Round::new(s.y2),
            }
        }
    }
}

/// The addresses of a pixel pair's results. Pointers that the output does not use are not accessed.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    /// The residual.
    pub skip: *const u8,
    /// The first output.
    pub y: *mut u8,
    /// The second output.
    pub y2: *mut u8,
}

/// Computes `v` of a pixel pair.
///
/// # Safety
/// `constants` are a panel's, `skip` has sixteen bytes when `SKIP`.
#[inline(always)]
pub(crate) unsafe fn scaled<T: Tile, const SKIP: bool>(
    acc: Pair,
    constants: *const f32,
    s: &Scalars,
    skip: *const u8,
) -> [float32x4_t; 4] {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let m = constants.add(16);
        let mut v = [
            vmulq_f32(vcvtq_f32_s32(acc[0]), vld1q_f32(m)),
            vmulq_f32(vcvtq_f32_s32(acc[1]), vld1q_f32(m.add(4))),
            vmulq_f32(vcvtq_f32_s32(acc[2]), vld1q_f32(m.add(T::SECOND_PIXEL))),
            vmulq_f32(vcvtq_f32_s32(acc[3]), vld1q_f32(m.add(T::SECOND_PIXEL + 4))),
        ];
        if SKIP {
            let skip = T::from_pixels(vld1q_s8(skip.cast()));
            let low = vsubl_s8(vget_low_s8(skip), vget_low_s8(s.skip_zero));
            let high = vsubl_high_s8(skip, s.skip_zero);
            let residual = [
                vmovl_s16(vget_low_s16(low)),
                vmovl_high_s16(low),
                vmovl_s16(vget_low_s16(high)),
                vmovl_high_s16(high),
            ];
            for i in 0..4 {
                v[i] = vaddq_f32(v[i], vmulq_f32(vcvtq_f32_s32(residual[i]), s.skip_multiplier));
            }
        }
        v
    }
}

#[inline(always)]
fn narrow<T: Tile, const CAREFUL: bool>(v: [float32x4_t; 4], r: &Round) -> int8x16_t {
    // SAFETY: every AArch64 CPU has these instructions.
    unsafe {
        if CAREFUL {
            return T::to_pixels(vcombine_s8(r.apply(v[0], v[1]), r.apply(v[2], v[3])));
        }
        let low = vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(v[0])), vcvtnq_s32_f32(v[1]));
        let high = vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(v[2])), vcvtnq_s32_f32(v[3]));
        let (low, high) = (vqaddq_s16(low, r.zero), vqaddq_s16(high, r.zero));
        T::to_pixels(vqmovn_high_s16(vqmovn_s16(low), high))
    }
}

/// Writes the int8 results of a pixel pair, number `i` of its tile.
///
/// # Safety
/// `constants` are a panel's; each place that `SKIP` and `OUTPUT` use has sixteen bytes at `16·i`.
#[inline(always)]
pub(crate) unsafe fn write_pair<T: Tile, const SKIP: bool, const OUTPUT: u8, const CAREFUL: bool>(
    acc: Pair,
    i: usize,
    constants: *const f32,
    s: &Scalars,
    to: &Places,
) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let v = scaled::<T, SKIP>(acc, constants, s, to.skip.wrapping_add(16 * i));
        if OUTPUT == INT8 || OUTPUT == BOTH {
            vst1q_s8(to.y.add(16 * i).cast(), narrow::<T, CAREFUL>(v, &s.y));
        }
        if OUTPUT == AFFINE || OUTPUT == BOTH {
            let (g, o) = (constants.add(32), constants.add(48));
            let v = [
                vaddq_f32(vmulq_f32(v[0], vld1q_f32(g)), vld1q_f32(o)),
                vaddq_f32(vmulq_f32(v[1], vld1q_f32(g.add(4))), vld1q_f32(o.add(4))),
                vaddq_f32(
                    vmulq_f32(v[2], vld1q_f32(g.add(T::SECOND_PIXEL))),
                    vld1q_f32(o.add(T::SECOND_PIXEL)),
                ),
                vaddq_f32(
                    vmulq_f32(v[3], vld1q_f32(g.add(T::SECOND_PIXEL + 4))),
                    vld1q_f32(o.add(T::SECOND_PIXEL + 4)),
                ),
            ];
            vst1q_s8(to.y2.add(16 * i).cast(), narrow::<T, CAREFUL>(v, &s.y2));
        }
    }
}
