//! Requantizes 16 values with the bits of [`Requant::apply`].

use core::arch::aarch64::*;

use crate::quant::Requant;

/// 16 f32s.
pub type Quad = [float32x4_t; 4];

/// The constants of one [`Requant`] in registers.
#[derive(Clone, Copy)]
pub struct Round {
    lowest: float32x4_t,
    zero: int16x8_t,
    lo: int8x16_t,
    hi: int8x16_t,
}

impl Round {
    #[inline(always)]
    pub fn new(r: Requant) -> Self {
        // SAFETY: NEON is part of the AArch64 baseline.
        unsafe {
            Self {
                lowest: vdupq_n_f32(r.bounds().0),
                zero: vdupq_n_s16(i16::from(r.zero)),
                lo: vdupq_n_s8(r.lo),
                hi: vdupq_n_s8(r.hi),
            }
        }
    }

    /// Computes `clamp(rne(v) + z, lo, hi)`: a NaN becomes `lo`, like in the definition.
    #[inline(always)]
    pub fn apply(&self, v: Quad) -> int8x16_t {
        // SAFETY: NEON is part of the AArch64 baseline. `fmaxnm` takes the number, not the NaN.
        self.apply_number(v.map(|v| unsafe { vmaxnmq_f32(v, self.lowest) }))
    }

    /// Like [`apply`](Self::apply) for values that are not NaN. Rounding is monotone and the bounds are integers,
    /// so they may be applied last: beyond them, `fcvtns` and the narrowing moves saturate outside of every int8.
    #[inline(always)]
    pub fn apply_number(&self, v: Quad) -> int8x16_t {
        // SAFETY: NEON is part of the AArch64 baseline.
        unsafe {
            let q = v.map(|v| vcvtnq_s32_f32(v));
            let a = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(q[0]), q[1]), self.zero);
            let b = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(q[2]), q[3]), self.zero);
            vminq_s8(vmaxq_s8(vqmovn_high_s16(vqmovn_s16(a), b), self.lo), self.hi)
        }
    }
}

/// The largest magnitude of a tame constant. If all constants are tame, a convolution's `v` and `v·gain + offset`
/// stay below f32's 2¹²⁸ and are therefore numbers.
const TAME: f32 = 2.814_749_8e14; // 2⁴⁸

/// Returns whether a constant is in the range of any real network.
pub fn is_tame(v: f32) -> bool {
    v.abs() <= TAME
}

/// Converts 16 int8s minus a zero point to f32.
#[inline(always)]
pub fn minus_zero(q: int8x16_t, zero: int8x16_t) -> Quad {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe {
        let (a, b) = (vsubl_s8(vget_low_s8(q), vget_low_s8(zero)), vsubl_high_s8(q, zero));
        [
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))),
            vcvtq_f32_s32(vmovl_high_s16(a)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(b))),
            vcvtq_f32_s32(vmovl_high_s16(b)),
        ]
    }
}

/// Loads 16 consecutive f32s.
///
/// # Safety
/// They are readable.
#[inline(always)]
pub unsafe fn load(p: *const f32) -> Quad {
    // SAFETY: guaranteed by the caller.
    unsafe {
        let v = vld1q_f32_x4(p);
        [v.0, v.1, v.2, v.3]
    }
}

/// Computes `a·m`, one product each.
#[inline(always)]
pub fn scale(a: Quad, m: Quad) -> Quad {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe { [vmulq_f32(a[0], m[0]), vmulq_f32(a[1], m[1]), vmulq_f32(a[2], m[2]), vmulq_f32(a[3], m[3])] }
}

/// Computes `a + b`; never contracted with a product.
#[inline(always)]
pub fn sum(a: Quad, b: Quad) -> Quad {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1]), vaddq_f32(a[2], b[2]), vaddq_f32(a[3], b[3])] }
}
