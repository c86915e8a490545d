//! Converts int32 sums to a convolution's outputs, 16 channels of a run of pixels at a time.
//!
//! ```text
//! v  = f32(acc + bias[c])·m[c]  (+ f32(skip − skip_zero)·m_skip)
//! y  = clamp(rne(v) + z, lo, hi)        y2 = clamp(rne(v·gain[c] + offset[c]) + z2, lo2, hi2)
//! ```
//! The sums arrive in a buffer with [`CHANNELS`] per pixel. Channels are therefore the fastest-running index
//! again, constants stay in registers over the run, and each pixel is one 16-byte store: 31 instructions per 16
//! values of `y`, 19 more with a residual. If a constant is not *tame* ([`super::requant::is_tame`]), so that `v`
//! might be a NaN, three more instructions apply the lower bound first.

use core::arch::aarch64::*;

use super::requant::{Quad, Round, load, minus_zero, scale, sum};
use super::tile::CHANNELS;
use crate::quant::Requant;

/// Addresses of the results and constants; pointers to constants and tensors are to channel 0.
#[derive(Clone, Copy)]
pub struct Epilogue {
    /// `y.c` values, followed by at least 15 readable ones, as for the next three fields.
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
    /// Whether all constants are tame.
    pub tame: bool,
}

impl Epilogue {
    /// Writes channels `channel..channel + count` of `pixels` consecutive pixels from `pixel` on, from
    /// sums at `acc`, [`CHANNELS`] per pixel.
    ///
    /// # Safety
    /// The pixels and channels exist in the output, and `acc` holds that many rows; `count ≤ 16`.
    #[inline]
    pub unsafe fn run(&self, acc: *const i32, pixel: usize, pixels: usize, channel: usize, count: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if count < CHANNELS {
                self.partial(acc, pixel, pixels, channel, count);
            } else if self.tame {
                self.whole::<true>(acc, pixel, pixels, channel);
            } else {
                self.whole::<false>(acc, pixel, pixels, channel);
            }
        }
    }

    /// Writes all 16 channels.
    ///
    /// # Safety
    /// The same as for [`Epilogue::run`].
    #[inline(always)]
    unsafe fn whole<const TAME: bool>(&self, acc: *const i32, pixel: usize, pixels: usize, channel: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            match (self.has_skip, self.has_y, self.has_y2) {
                (false, true, false) => self.outputs::<TAME, false, true, false>(acc, pixel, pixels, channel),
                (true, true, false) => self.outputs::<TAME, true, true, false>(acc, pixel, pixels, channel),
                (false, true, true) => self.outputs::<TAME, false, true, true>(acc, pixel, pixels, channel),
                (true, true, true) => self.outputs::<TAME, true, true, true>(acc, pixel, pixels, channel),
                (false, false, _) => self.outputs::<TAME, false, false, true>(acc, pixel, pixels, channel),
                (true, false, _) => self.outputs::<TAME, true, false, true>(acc, pixel, pixels, channel),
            }
        }
    }

    /// Writes fewer than 16 channels through buffers of 16, so that nothing beyond them is accessed.
    ///
    /// # Safety
    /// The same as for [`Epilogue::run`].
    #[inline(never)]
    unsafe fn partial(&self, acc: *const i32, pixel: usize, pixels: usize, channel: usize, count: usize) {
        for i in 0..pixels {
            let at = (pixel + i) * self.stride + channel;
            let (mut skip, mut y, mut y2) = ([0u8; CHANNELS], [0u8; CHANNELS], [0u8; CHANNELS]);
            // SAFETY: `count` bytes at `at` exist in each tensor in use. The buffers replace one pixel of 16
            // channels, which explains the stride of 0 and the constants moved to channel 0.
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
                one.run(acc.add(i * CHANNELS), 0, 1, 0, CHANNELS);
                if self.has_y {
                    core::ptr::copy_nonoverlapping(y.as_ptr(), self.y.add(at), count);
                }
                if self.has_y2 {
                    core::ptr::copy_nonoverlapping(y2.as_ptr(), self.y2.add(at), count);
                }
            }
        }
    }

    /// Writes all 16 channels with these outputs.
    ///
    /// # Safety
    /// The same as for [`Epilogue::run`]; the constants have 16 values from `channel` on.
    #[inline(never)]
    unsafe fn outputs<const TAME: bool, const SKIP: bool, const Y: bool, const Y2: bool>(
        &self,
        mut acc: *const i32,
        pixel: usize,
        pixels: usize,
        channel: usize,
    ) {
        let at = pixel * self.stride + channel;
        let (mut skip, mut y, mut y2) =
            (self.skip.wrapping_add(at), self.y.wrapping_add(at), self.y2.wrapping_add(at));
        // SAFETY: guaranteed by the caller; `skip`, `y`, `y2` are dereferenced only if they are in use.
        unsafe {
            let bias = vld1q_s32_x4(self.bias.add(channel));
            let bias = [bias.0, bias.1, bias.2, bias.3];
            let m = load(self.multiplier.add(channel));
            let (round, round2) = (Round::new(self.requant), Round::new(self.requant2));
            let skip_zero = vdupq_n_s8(self.skip_zero);
            let skip_m = [vdupq_n_f32(self.skip_multiplier); 4];
            let apply = |r: &Round, v| if TAME { r.apply_number(v) } else { r.apply(v) };
            for _ in 0..pixels {
                let sums: Quad =
                    core::array::from_fn(|i| vcvtq_f32_s32(vaddq_s32(vld1q_s32(acc.add(4 * i)), bias[i])));
                let mut v = scale(sums, m);
                acc = acc.add(CHANNELS);
                if SKIP {
                    v = sum(v, scale(minus_zero(vld1q_s8(skip.cast()), skip_zero), skip_m));
                    skip = skip.wrapping_add(self.stride);
                }
                if Y {
                    vst1q_s8(y.cast(), apply(&round, v));
                    y = y.wrapping_add(self.stride);
                }
                if Y2 {
                    let v2 = sum(scale(v, load(self.gain.add(channel))), load(self.offset.add(channel)));
                    vst1q_s8(y2.cast(), apply(&round2, v2));
                    y2 = y2.wrapping_add(self.stride);
                }
            }
        }
    }

    /// Writes `v` itself of one pixel's channels `channel..channel + count` to `y` as f32s.
    ///
    /// # Safety
    /// `acc` has `count ≤ 16` sums and `y` at least `channel + count` f32s.
    pub unsafe fn logits(&self, acc: *const i32, channel: usize, count: usize) {
        for i in 0..count {
            // SAFETY: guaranteed by the caller.
            unsafe {
                let sum = (*acc.add(i)).wrapping_add(*self.bias.add(channel + i));
                *self.y.cast::<f32>().add(channel + i) = sum as f32 * *self.multiplier.add(channel + i);
            }
        }
    }
}
