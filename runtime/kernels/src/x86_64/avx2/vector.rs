//! AVX2's vectors, and the operators that are generic over [`Vector`].
//!
//! Requantizing a pixel is
//! ```text
//! q  = max(saturate_u8(saturate_i16(rne(min(hi, v))) + zero + 128), lo)
//! ```
//! 1. Clamping to integers commutes with rounding, so the saturating packs and one byte-wise maximum apply the
//!    lower bound. The upper one is applied in f32, because `vcvtps2dq` converts values that are too large to the
//!    *lowest* integer. NaN becomes the lowest integer, too, as [`crate::Requant::apply`] requires.
//! 2. `vpackssdw` and `vpackuswb` work within 128 bits. The order of the weights makes the result of two vectors
//!    ascending; one vector needs a permutation.

use core::arch::x86_64::*;

use crate::tiled::epilogue::{Bounds, Epilogue, Outputs};
use crate::tiled::vector::Vector;

/// 256 bits.
pub(in crate::x86_64) enum Avx2Vector {}

impl Vector for Avx2Vector {
    type Floats = __m256;
    type Ints = __m256i;
    type Bytes = __m256i;
    type Pixel = __m128i;

    const LANES: usize = 8;

    crate::tiled::set::lanewise! {
        splat(value: f32) -> __m256 { _mm256_set1_ps(value) }
        splat_int(value: i32) -> __m256i { _mm256_set1_epi32(value) }
        splat_byte(value: u8) -> __m256i { _mm256_set1_epi8(value as i8) }
        add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        add_ints(a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        max_bytes(a: __m256i, b: __m256i) -> __m256i { _mm256_max_epu8(a, b) }
        to_floats(v: __m256i) -> __m256 { _mm256_cvtepi32_ps(v) }
        to_ints(v: __m256) -> __m256i { _mm256_cvtps_epi32(v) }
        load(from: *const u8) -> __m256 { _mm256_load_ps(from.cast()) }
        store(to: *mut f32, v: __m256) -> () { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> __m256 {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if n >= 8 {
                _mm256_loadu_ps(from)
            } else {
                let mut values = [0f32; 8];
                core::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n);
                _mm256_loadu_ps(values.as_ptr())
            }
        }
    }

    #[inline(always)]
    unsafe fn widen_first(from: *const u8, n: usize) -> __m256i {
        let mut values = [0u8; 8];
        let mut from = from;
        // SAFETY: guaranteed by the caller, or the copy.
        unsafe {
            if n < 8 {
                core::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n);
                from = values.as_ptr();
            }
            Self::widen_with_slack(from, n)
        }
    }

    #[inline(always)]
    unsafe fn widen_with_slack(from: *const u8, _: usize) -> __m256i {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())) }
    }

    #[inline(always)]
    unsafe fn narrow_first(to: *mut u8, n: usize, v: __m256i) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            let bytes = _mm_packus_epi16(words, words);
            if n >= 8 {
                _mm_storel_epi64(to.cast(), bytes);
            } else {
                let lanes = _mm_cvtsi128_si64(bytes).to_le_bytes();
                core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_bytes_with_slack(from: *const u8, _: usize) -> __m256i {
        // SAFETY: guaranteed by the caller.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_bytes_first(to: *mut u8, n: usize, v: __m256i) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if n >= 32 {
                _mm256_storeu_si256(to.cast(), v);
            } else {
                let mut lanes = [0u8; 32];
                _mm256_storeu_si256(lanes.as_mut_ptr().cast(), v);
                core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
            }
        }
    }

    #[inline(always)]
    unsafe fn requantize_pixel<const N: usize>(v: [__m256; N], out: &Bounds) -> __m128i {
        const { assert!(N <= 2) };
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut q = [_mm256_setzero_si256(); 2];
            for i in 0..N {
                // In this order a NaN stays one.
                q[i] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(out.hi), v[i]));
            }
            let zero = _mm256_set1_epi16(out.zero as i16);
            let words = _mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]), zero);
            let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = _mm_max_epu8(_mm_packus_epi16(low, high), _mm_set1_epi8(out.lo_byte as i8));
            // Each eight bytes now contain four channels of each vector.
            if N == 2 { bytes } else { _mm_shuffle_epi32::<0b1000>(bytes) }
        }
    }

    #[inline(always)]
    unsafe fn load_pixel<const N: usize>(from: *const u8, channels: usize) -> [__m256; N] {
        let mut lanes = [0u8; 16];
        let mut from = from;
        // SAFETY: guaranteed by the caller, or the copy.
        unsafe {
            if channels < 8 * N {
                // The bytes after them may be another thread's output.
                core::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), channels);
                from = lanes.as_ptr();
            }
            let bytes = if N == 2 {
                _mm_shuffle_epi32::<0b11_01_10_00>(_mm_loadu_si128(from.cast()))
            } else {
                _mm_loadl_epi64(from.cast())
            };
            let mut v = [_mm256_setzero_ps(); N];
            v[0] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
            if N == 2 {
                v[1 % N] = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)));
            }
            v
        }
    }

    #[inline(always)]
    unsafe fn store_pixel<const N: usize>(to: *mut u8, channels: usize, bytes: __m128i) {
        // SAFETY: guaranteed by the caller.
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

    #[inline(always)]
    unsafe fn finish_any<const N: usize>(t: &Outputs, e: &Epilogue, m: usize, acc: &[Self::Ints; N]) {
        // SAFETY: guaranteed by the caller.
        unsafe { finish_any::<N>(t, e, m, acc) }
    }
}

crate::tiled::set::operators!("avx2", Avx2Vector);
