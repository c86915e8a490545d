//! Requantizes vectors, exactly like [`Requant::apply`].

use core::arch::aarch64::*;

use crate::quant::Requant;

/// The constants of one [`Requant`] in registers.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    /// `lo − zero`.
    pub lo: float32x4_t,
    /// `hi − zero`.
    pub hi: float32x4_t,
    /// The zero point.
    pub zero: int16x8_t,
}

impl Round {
    #[inline(always)]
    pub(crate) fn new(r: Requant) -> Self {
        let (lo, hi) = r.bounds();
        // SAFETY: every AArch64 CPU has these instructions.
        unsafe { Self { lo: vdupq_n_f32(lo), hi: vdupq_n_f32(hi), zero: vdupq_n_s16(r.zero.into()) } }
    }

    /// Requantizes eight values. `fmaxnm` turns a NaN into `lo`, like the definition.
    #[inline(always)]
    pub(crate) fn apply(&self, low: float32x4_t, high: float32x4_t) -> int8x8_t {
        // SAFETY: as in `new`.
        unsafe {
            let low = vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(low, self.lo), self.hi));
            let high = vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(high, self.lo), self.hi));
            vqmovn_s16(vqaddq_s16(vqmovn_high_s32(vqmovn_s32(low), high), self.zero))
        }
    }
}

/// Converts eight int8 values minus a zero point to f32.
#[inline(always)]
pub(crate) fn minus_zero(x: int8x8_t, zero: int8x8_t) -> (float32x4_t, float32x4_t) {
    // SAFETY: every AArch64 CPU has these instructions.
    unsafe {
        let d = vsubl_s8(x, zero);
        (vcvtq_f32_s32(vmovl_s16(vget_low_s16(d))), vcvtq_f32_s32(vmovl_high_s16(d)))
    }
}
