//! From int32 sums to what a convolution writes, 16 channels of a run of pixels at a time.
//!
//! ```text
//! v  = f32(acc + bias[c])·m[c]  (+ f32(skip − skip_zero)·m_skip)
//! y  = clamp(rne(v) + z, lo, hi)        y2 = clamp(rne(v·gain[c] + offset[c]) + z2, lo2, hi2)
//! ```
//! The sums arrive in a buffer, [`CHUNK`] per pixel, so that channels are the fastest-running index
//! again, constants stay in registers over the run, and each pixel is one 16-byte store: 33 instructions
//! per 16 values of `y`. `lo` is applied in f32 by `fmaxnm`, which also turns a NaN into `lo`; beyond
//! the upper end `fcvtns` and the narrowing moves saturate, so `hi` is applied to the int8.

use core::arch::aarch64::*;

use super::direct::CHUNK;
use crate::quant::Requant;

/// Where results go and with which constants; pointers to constants and tensors are to channel 0.
#[derive(Clone, Copy)]
pub struct Epilogue {
    /// `y.c` values and at least 15 readable ones behind them, as the next three.
    pub bias: *const i32,
    pub multiplier: *const f32,
    pub gain: *const f32,
    pub offset: *const f32,
    pub skip: *const u8,
    pub y: *mut u8,
    pub y2: *mut u8,
    /// Bytes from one pixel to the next in `skip`, `y` and `y2`.
    pub stride: usize,
    pub skip_zero: i8,
    pub skip_multiplier: f32,
    pub requant: Requant,
    pub requant2: Requant,
    pub has_skip: bool,
    pub has_y: bool,
    pub has_y2: bool,
}

type Quad = [float32x4_t; 4];

/// `clamp(rne(v) + z, lo, hi)` of 16 values.
#[inline(always)]
fn quantize(v: Quad, lo: float32x4_t, zero: int16x8_t, hi: int8x16_t) -> int8x16_t {
    // SAFETY: NEON is part of the AArch64 baseline.
    unsafe {
        let q = v.map(|v| vcvtnq_s32_f32(vmaxnmq_f32(v, lo)));
        let a = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(q[0]), q[1]), zero);
        let b = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(q[2]), q[3]), zero);
        vminq_s8(vqmovn_high_s16(vqmovn_s16(a), b), hi)
    }
}

/// 16 int8 minus a zero point, as f32.
#[inline(always)]
fn centred(q: int8x16_t, zero: int8x16_t) -> Quad {
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

impl Epilogue {
    /// Writes channels `channel..channel + count` of `pixels` consecutive pixels from `pixel` on, from
    /// sums at `acc`, [`CHUNK`] per pixel.
    ///
    /// # Safety
    /// The pixels and channels exist in the output, and `acc` holds that many rows; `count ≤ 16`.
    #[inline]
    pub unsafe fn run(
        &self,
        acc: *const i32,
        pixel: usize,
        pixels: usize,
        channel: usize,
        count: usize,
    ) {
        // SAFETY: forwarded.
        unsafe {
            match (count == CHUNK, self.has_skip, self.has_y, self.has_y2) {
                (true, false, true, false) => {
                    self.chunk::<false, true, false>(acc, pixel, pixels, channel);
                }
                (true, true, true, false) => self.chunk::<true, true, false>(acc, pixel, pixels, channel),
                (true, false, true, true) => self.chunk::<false, true, true>(acc, pixel, pixels, channel),
                (true, true, true, true) => self.chunk::<true, true, true>(acc, pixel, pixels, channel),
                (true, false, false, _) => self.chunk::<false, false, true>(acc, pixel, pixels, channel),
                (true, true, false, _) => self.chunk::<true, false, true>(acc, pixel, pixels, channel),
                (false, ..) => self.partial(acc, pixel, pixels, channel, count),
            }
        }
    }

    /// Fewer than 16 channels: through buffers of 16, so that nothing beyond them is touched.
    ///
    /// # Safety
    /// As [`Epilogue::run`].
    #[inline(never)]
    unsafe fn partial(&self, acc: *const i32, pixel: usize, pixels: usize, channel: usize, count: usize) {
        for i in 0..pixels {
            let at = (pixel + i) * self.stride + channel;
            let (mut skip, mut y, mut y2) = ([0u8; CHUNK], [0u8; CHUNK], [0u8; CHUNK]);
            // SAFETY: `count` bytes at `at` exist in each tensor in use; the buffers stand in for one
            // pixel of 16 channels, hence the stride of 0 and the constants moved to channel 0.
            unsafe {
                if self.has_skip {
                    core::ptr::copy_nonoverlapping(self.skip.add(at), skip.as_mut_ptr(), count);
                }
                let one = Self {
                    bias: self.bias.add(channel),
                    multiplier: self.multiplier.add(channel),
                    gain: self.gain.wrapping_add(channel),
                    offset: self.offset.wrapping_add(channel),
                    skip: skip.as_ptr(),
                    y: y.as_mut_ptr(),
                    y2: y2.as_mut_ptr(),
                    stride: 0,
                    ..*self
                };
                one.run(acc.add(i * CHUNK), 0, 1, 0, CHUNK);
                if self.has_y {
                    core::ptr::copy_nonoverlapping(y.as_ptr(), self.y.add(at), count);
                }
                if self.has_y2 {
                    core::ptr::copy_nonoverlapping(y2.as_ptr(), self.y2.add(at), count);
                }
            }
        }
    }

    /// All 16 channels.
    ///
    /// # Safety
    /// As [`Epilogue::run`]; the constants have 16 values from `channel` on.
    #[inline(never)]
    unsafe fn chunk<const SKIP: bool, const Y: bool, const Y2: bool>(
        &self,
        mut acc: *const i32,
        pixel: usize,
        pixels: usize,
        channel: usize,
    ) {
        let at = pixel * self.stride + channel;
        let (mut skip, mut y, mut y2) =
            (self.skip.wrapping_add(at), self.y.wrapping_add(at), self.y2.wrapping_add(at));
        // SAFETY: the caller's promise; `skip`, `y`, `y2` are dereferenced only where they are in use.
        unsafe {
            let bias = vld1q_s32_x4(self.bias.add(channel));
            let m = vld1q_f32_x4(self.multiplier.add(channel));
            let lo = vdupq_n_f32(self.requant.bounds().0);
            let zero = vdupq_n_s16(i16::from(self.requant.zero));
            let hi = vdupq_n_s8(self.requant.hi);
            let lo2 = vdupq_n_f32(self.requant2.bounds().0);
            let zero2 = vdupq_n_s16(i16::from(self.requant2.zero));
            let hi2 = vdupq_n_s8(self.requant2.hi);
            let skip_zero = vdupq_n_s8(self.skip_zero);
            let skip_m = vdupq_n_f32(self.skip_multiplier);
            let bias = [bias.0, bias.1, bias.2, bias.3];
            let m = [m.0, m.1, m.2, m.3];
            for _ in 0..pixels {
                let mut v: Quad = core::array::from_fn(|i| {
                    let sum = vaddq_s32(vld1q_s32(acc.add(4 * i)), bias[i]);
                    vmulq_f32(vcvtq_f32_s32(sum), m[i])
                });
                acc = acc.add(CHUNK);
                if SKIP {
                    let residual = centred(vld1q_s8(skip.cast()), skip_zero);
                    skip = skip.wrapping_add(self.stride);
                    v = core::array::from_fn(|i| vaddq_f32(v[i], vmulq_f32(residual[i], skip_m)));
                }
                if Y {
                    vst1q_s8(y.cast(), quantize(v, lo, zero, hi));
                    y = y.wrapping_add(self.stride);
                }
                if Y2 {
                    let gain = self.gain.add(channel);
                    let offset = self.offset.add(channel);
                    let v2 = core::array::from_fn(|i| {
                        vaddq_f32(
                            vmulq_f32(v[i], vld1q_f32(gain.add(4 * i))),
                            vld1q_f32(offset.add(4 * i)),
                        )
                    });
                    vst1q_s8(y2.cast(), quantize(v2, lo2, zero2, hi2));
                    y2 = y2.wrapping_add(self.stride);
                }
            }
        }
    }

    /// `v` itself of one pixel's channels `channel..channel + count`, into `y` as f32s.
    ///
    /// # Safety
    /// `acc` holds `count ≤ 16` sums and `y` at least `channel + count` f32s.
    pub unsafe fn logits(&self, acc: *const i32, channel: usize, count: usize) {
        for i in 0..count {
            // SAFETY: the caller's promise.
            unsafe {
                let sum = (*acc.add(i)).wrapping_add(*self.bias.add(channel + i));
                *self.y.cast::<f32>().add(channel + i) = sum as f32 * *self.multiplier.add(channel + i);
            }
        }
    }
}
