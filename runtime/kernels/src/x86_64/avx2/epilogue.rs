//! What follows a tile's sums: scale, residual, clamp, round, narrow, store.
//!
//! ```text
//! v  = f32(acc)·m  (+ (f32(skip) − zero)·m_skip)                              per vector of 8 channels
//! q  = saturate_u8(saturate_i16(rne(min(hi, v))) + zero + 128), at least lo   per pixel, 8 or 16 channels
//! ```
//! 1. Clamping to integers commutes with rounding, so the lower bound is left to the saturating packs
//!    and one byte-wise maximum; the upper one is taken in f32, because `vcvtps2dq` turns what is too
//!    large into the *lowest* integer. That is also what becomes of NaN, as [`crate::Requant::apply`] wants.
//! 2. `vpackssdw` works within 128 bits; the weights are packed in the order that leaves the result of
//!    two vectors ascending.

use core::arch::x86_64::*;

use crate::shape::ConvOutput;
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Bounds, Epilogue, INT8_SKIP, Outputs};

/// Writes a tile of sums.
///
/// # Safety
/// The CPU has AVX2; `t` as in [`crate::tiled::driver::TileFn`].
#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn finish<const M: usize, const N: usize, const MODE: usize>(
    t: &Outputs,
    e: &Epilogue,
    acc: &[[__m256i; N]; M],
) {
    if MODE == ANY {
        // Through memory, so that this code is there once and not per pixel.
        let mut sums = [[_mm256_setzero_si256(); N]; M];
        for m in 0..M {
            for v in 0..N {
                // SAFETY: the sum's own place; volatile, lest the sums live there all along.
                unsafe { (&raw mut sums[m][v]).write_volatile(acc[m][v]) };
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            // SAFETY: the caller's contract.
            unsafe { pixel::<N, MODE>(t, e, m, *sums) };
        }
        return;
    }
    // Not a loop: were it left rolled, the sums would live in memory during the multiplications, too.
    macro_rules! pixels {
        ($($m:literal)*) => {$(
            if M > $m {
                // SAFETY: the caller's contract.
                unsafe { pixel::<N, MODE>(t, e, $m, acc[$m % M]) };
            }
        )*};
    }
    const { assert!(M <= 8 && N <= 2) };
    pixels!(0 1 2 3 4 5 6 7);
}

/// Writes the sums of pixel `m`.
///
/// # Safety
/// As [`finish`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pixel<const N: usize, const MODE: usize>(t: &Outputs, e: &Epilogue, m: usize, acc: [__m256i; N]) {
    let mut v = [_mm256_setzero_ps(); N];
    // SAFETY: the constants of the panel and `channels` bytes of each pixel's outputs and residual are
    // inside their buffers, see `Outputs`.
    unsafe {
        for i in 0..N {
            let multiplier = _mm256_load_ps(t.constants.add(t.constants_stride + 32 * i).cast());
            v[i] = _mm256_mul_ps(_mm256_cvtepi32_ps(acc[i]), multiplier);
        }
        if MODE == INT8_SKIP || MODE == BOTH_SKIP || (MODE == ANY && e.has_skip) {
            let skip = load_pixel::<N>(t.skip.add(m * t.stride), t.channels);
            let (zero, multiplier) = (_mm256_set1_ps(e.skip_zero), _mm256_set1_ps(e.skip_multiplier));
            for i in 0..N {
                v[i] = _mm256_add_ps(v[i], _mm256_mul_ps(_mm256_sub_ps(skip[i], zero), multiplier));
            }
        }
        if MODE == ANY && e.output == ConvOutput::Float32 {
            return store_logits::<N>(t, v);
        }
        if MODE != ANY || e.output.has_int8() {
            store::<N>(t.y.add(m * t.stride), t.channels, quantize::<N>(v, &e.y));
        }
        if MODE == BOTH_SKIP || (MODE == ANY && e.output.has_affine()) {
            for i in 0..N {
                let gain = _mm256_load_ps(t.constants.add(2 * t.constants_stride + 32 * i).cast());
                let offset = _mm256_load_ps(t.constants.add(3 * t.constants_stride + 32 * i).cast());
                v[i] = _mm256_add_ps(_mm256_mul_ps(v[i], gain), offset);
            }
            store::<N>(t.y2.add(m * t.stride), t.channels, quantize::<N>(v, &e.y2));
        }
    }
}

/// Stores the first `channels` bytes, at most 8·N.
///
/// # Safety
/// They are writable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store<const N: usize>(to: *mut u8, channels: usize, bytes: __m128i) {
    // SAFETY: the caller's contract.
    unsafe {
        if channels == 8 * N {
            if N == 2 {
                _mm_storeu_si128(to.cast(), bytes);
            } else {
                _mm_storel_epi64(to.cast(), bytes);
            }
        } else {
            let mut lanes = [0u8; 16];
            _mm_storeu_si128(lanes.as_mut_ptr().cast(), bytes);
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, channels);
        }
    }
}

/// `N` vectors in the panel's lane order to bytes in channel order.
#[inline]
#[target_feature(enable = "avx2")]
fn quantize<const N: usize>(v: [__m256; N], out: &Bounds) -> __m128i {
    let hi = _mm256_set1_ps(out.hi);
    let mut q = [_mm256_setzero_si256(); 2];
    for i in 0..N {
        // In this order a NaN stays one.
        q[i] = _mm256_cvtps_epi32(_mm256_min_ps(hi, v[i]));
    }
    let zero = _mm256_set1_epi16(out.zero as i16);
    let words = _mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]), zero);
    let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let bytes = _mm_max_epu8(bytes, _mm_set1_epi8(out.lo_byte as i8));
    // Each eight bytes now hold four channels of each vector.
    if N == 2 { bytes } else { _mm_shuffle_epi32::<0b1000>(bytes) }
}

/// A pixel's bytes as f32, in the panel's lane order: the reverse of [`quantize`].
///
/// # Safety
/// `channels`, at most 8·N, bytes are readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_pixel<const N: usize>(from: *const u8, channels: usize) -> [__m256; N] {
    let mut lanes = [0u8; 16];
    let mut from = from;
    if channels < 8 * N {
        // What follows may be another thread's output.
        // SAFETY: the caller's contract.
        unsafe { core::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), channels) };
        from = lanes.as_ptr();
    }
    // SAFETY: the caller's contract, or the copy.
    let bytes = unsafe {
        if N == 2 {
            _mm_shuffle_epi32::<0b11_01_10_00>(_mm_loadu_si128(from.cast()))
        } else {
            _mm_loadl_epi64(from.cast())
        }
    };
    let mut v = [_mm256_setzero_ps(); N];
    v[0] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
    if N == 2 {
        v[1 % N] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)));
    }
    v
}

/// Writes `channels` f32 values in channel order.
///
/// # Safety
/// `t.y` has room for `channels` values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_logits<const N: usize>(t: &Outputs, v: [__m256; N]) {
    let mut lanes = [[0f32; 8]; N];
    for (lanes, v) in lanes.iter_mut().zip(v) {
        // SAFETY: an array of 8 f32.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), v) };
    }
    for c in 0..t.channels {
        // Channel c stands in block c / 4N of four lanes, see `channel_at`.
        let (block, rest) = (c / (4 * N), c % (4 * N));
        // SAFETY: the caller's contract.
        unsafe { *t.y.cast::<f32>().add(c) = lanes[rest / 4][4 * block + rest % 4] };
    }
}
