//! What follows a tile's sums: scale, residual, clamp, round, narrow, store.
//!
//! ```text
//! v  = f32(acc)·m  (+ (f32(skip) − zero)·m_skip)                         per vector
//! q  = saturate_u8(saturate_i16(rne(min(hi, v))) + zero + 128), at least lo   per pixel, ≤ 64 channels
//! ```
//! 1. Clamping to integers commutes with rounding, so the lower bound is left to the saturating packs
//!    and one byte-wise maximum; the upper one is taken in f32, because `vcvtps2dq` turns what is too
//!    large into the *lowest* integer. That is also what becomes of NaN, as [`crate::Requant::apply`] wants.
//! 2. `vpackssdw` and `vpackuswb` work within 128 bits. The weights are packed in the order that makes
//!    the result of four vectors ascending, so no permutation follows; fewer vectors need one.
//! 3. One or two whole vectors go by moves of their own width. A masked one counts as 64 bytes when the CPU
//!    looks whether a load hits a store before it: where the residual lies in the output's place, each pixel
//!    would wait for the one before, some 60 cycles.

use core::arch::x86_64::*;

use crate::shape::ConvOutput;
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Bounds, Epilogue, INT8_SKIP, Outputs};

/// Writes a tile of sums.
///
/// # Safety
/// The CPU has the features; `t` as in [`crate::tiled::driver::TileFn`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn finish<const M: usize, const N: usize, const MODE: usize>(
    t: &Outputs,
    e: &Epilogue,
    acc: &[[__m512i; N]; M],
) {
    if MODE == ANY {
        // Through memory, so that this code is there once and not per pixel.
        let mut sums = [[_mm512_setzero_si512(); N]; M];
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
    const { assert!(M <= 8) };
    pixels!(0 1 2 3 4 5 6 7);
}

/// Writes the sums of pixel `m`.
///
/// # Safety
/// As [`finish`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) unsafe fn pixel<const N: usize, const MODE: usize>(
    t: &Outputs,
    e: &Epilogue,
    m: usize,
    acc: [__m512i; N],
) {
    let mask = u64::MAX >> (64 - t.channels);
    let mut v = [_mm512_setzero_ps(); N];
    // SAFETY: the constants of the panel and `channels` bytes of each pixel's outputs and residual
    // are inside their buffers, see `Outputs`; masked lanes touch no memory.
    unsafe {
        for i in 0..N {
            let multiplier = _mm512_load_ps(t.constants.add(t.constants_stride + 64 * i).cast());
            v[i] = _mm512_mul_ps(_mm512_cvtepi32_ps(acc[i]), multiplier);
        }
        if MODE == INT8_SKIP || MODE == BOTH_SKIP || (MODE == ANY && e.has_skip) {
            let skip = load_pixel::<N>(t.skip.add(m * t.stride), mask);
            let (zero, multiplier) = (_mm512_set1_ps(e.skip_zero), _mm512_set1_ps(e.skip_multiplier));
            for i in 0..N {
                v[i] = _mm512_add_ps(v[i], _mm512_mul_ps(_mm512_sub_ps(skip[i], zero), multiplier));
            }
        }
        if MODE == ANY && e.output == ConvOutput::Float32 {
            return store_logits::<N>(t, v);
        }
        if MODE != ANY || e.output.has_int8() {
            store::<N>(t.y.add(m * t.stride), mask, quantize::<N>(v, &e.y));
        }
        if MODE == BOTH_SKIP || (MODE == ANY && e.output.has_affine()) {
            for i in 0..N {
                let gain = _mm512_load_ps(t.constants.add(2 * t.constants_stride + 64 * i).cast());
                let offset = _mm512_load_ps(t.constants.add(3 * t.constants_stride + 64 * i).cast());
                v[i] = _mm512_add_ps(_mm512_mul_ps(v[i], gain), offset);
            }
            store::<N>(t.y2.add(m * t.stride), mask, quantize::<N>(v, &e.y2));
        }
    }
}

/// The mask of `N` whole vectors.
const fn whole<const N: usize>() -> u64 {
    u64::MAX >> (64 - 16 * N)
}

/// Stores the bytes of `N` vectors that `mask` selects.
///
/// # Safety
/// They are writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn store<const N: usize>(to: *mut u8, mask: u64, bytes: __m512i) {
    // SAFETY: the caller's contract.
    unsafe {
        match N {
            1 if mask == whole::<1>() => _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(bytes)),
            2 if mask == whole::<2>() => _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(bytes)),
            4 if mask == whole::<4>() => _mm512_storeu_si512(to.cast(), bytes),
            _ => _mm512_mask_storeu_epi8(to.cast(), mask, bytes),
        }
    }
}

/// `N` vectors in the panel's lane order to bytes in channel order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quantize<const N: usize>(v: [__m512; N], out: &Bounds) -> __m512i {
    let hi = _mm512_set1_ps(out.hi);
    let mut q = [_mm512_setzero_si512(); 4];
    for i in 0..N {
        // In this order a NaN stays one.
        q[i] = _mm512_cvtps_epi32(_mm512_min_ps(hi, v[i]));
    }
    let zero = _mm512_set1_epi16(out.zero as i16);
    let low = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), zero);
    let high = if N > 2 { _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), zero) } else { low };
    let bytes = _mm512_max_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(out.lo_byte as i8));
    // Each 128 bits now hold four channels of each vector.
    if N == 4 { bytes } else { _mm512_permutexvar_epi32(gather_order::<N>(), bytes) }
}

/// A pixel's bytes as f32, in the panel's lane order: the reverse of [`quantize`].
///
/// # Safety
/// The bytes that `mask` selects are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn load_pixel<const N: usize>(from: *const u8, mask: u64) -> [__m512; N] {
    // SAFETY: the caller's contract.
    let mut bytes = unsafe {
        match N {
            1 if mask == whole::<1>() => _mm512_castsi128_si512(_mm_loadu_si128(from.cast())),
            2 if mask == whole::<2>() => _mm512_castsi256_si512(_mm256_loadu_si256(from.cast())),
            4 if mask == whole::<4>() => _mm512_loadu_si512(from.cast()),
            _ => _mm512_maskz_loadu_epi8(mask, from.cast()),
        }
    };
    if N != 4 {
        bytes = _mm512_permutexvar_epi32(scatter_order::<N>(), bytes);
    }
    let mut v = [_mm512_setzero_ps(); N];
    for (i, v) in v.iter_mut().enumerate() {
        // Dword j of each 128 bits takes byte 4i + j; the other three bytes become zero.
        let i = 4 * i as i32;
        let order = _mm_setr_epi32(
            0x8080_8000u32 as i32 | i,
            0x8080_8000u32 as i32 | (i + 1),
            0x8080_8000u32 as i32 | (i + 2),
            0x8080_8000u32 as i32 | (i + 3),
        );
        *v = _mm512_cvtepi32_ps(_mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order)));
    }
    v
}

/// Dword order that brings the first N dwords of each 128 bits together.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn gather_order<const N: usize>() -> __m512i {
    match N {
        1 => _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        2 => _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0),
        _ => _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0),
    }
}

/// The reverse of [`gather_order`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn scatter_order<const N: usize>() -> __m512i {
    match N {
        1 => _mm512_setr_epi32(0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0),
        2 => _mm512_setr_epi32(0, 1, 0, 0, 2, 3, 0, 0, 4, 5, 0, 0, 6, 7, 0, 0),
        _ => _mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0),
    }
}

/// Writes `channels` f32 values in channel order.
///
/// # Safety
/// `t.y` has room for `channels` values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn store_logits<const N: usize>(t: &Outputs, v: [__m512; N]) {
    let mut lanes = [[0f32; 16]; N];
    for (lanes, v) in lanes.iter_mut().zip(v) {
        // SAFETY: an array of 16 f32.
        unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), v) };
    }
    for c in 0..t.channels {
        // Channel c stands in block c / 4N of four lanes, see `channel_at`.
        let (block, rest) = (c / (4 * N), c % (4 * N));
        // SAFETY: the caller's contract.
        unsafe { *t.y.cast::<f32>().add(c) = lanes[rest / 4][4 * block + rest % 4] };
    }
}
