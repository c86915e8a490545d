//! AVX-512's vectors, and the operators that are generic over [`Vector`].
//!
//! Parts of vectors are masked, with one exception: one or two whole vectors of a pixel use moves of their own
//! width. A masked store counts as 64 bytes when the CPU checks whether a load hits an earlier store. If the
//! residual is in the output's place, each pixel would therefore wait for the one before, about 60 cycles.
//!
//! Requantizing a pixel is
//! ```text
//! q  = max(saturate_u8(saturate_i16(rne(min(hi, v))) + zero + 128), lo)
//! ```
//! 1. Clamping to integers commutes with rounding, so the saturating packs and one byte-wise maximum apply the
//!    lower bound. The upper one is applied in f32, because `vcvtps2dq` converts values that are too large to the
//!    *lowest* integer. NaN becomes the lowest integer, too, as [`crate::Requant::apply`] requires.
//! 2. `vpackssdw` and `vpackuswb` work within 128 bits. The order of the weights makes the result of four vectors
//!    ascending; fewer vectors need a permutation.

use core::arch::x86_64::*;

use crate::tiled::epilogue::{Bounds, Epilogue, Outputs};
use crate::tiled::vector::Vector;

/// 512 bits.
pub(in crate::x86_64) enum Avx512Vector {}

/// Returns the lowest `n` bits.
#[inline(always)]
fn mask16(n: usize) -> u16 {
    if n >= 16 { u16::MAX } else { (1 << n) - 1 }
}

/// Returns the lowest `n` bits.
#[inline(always)]
fn mask64(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// Returns the lowest `n` bits; `n` is at least one and at most 64.
#[inline(always)]
fn mask(n: usize) -> u64 {
    u64::MAX >> (64 - n)
}

impl Vector for Avx512Vector {
    type Floats = __m512;
    type Ints = __m512i;
    type Bytes = __m512i;
    type Pixel = __m512i;

    const LANES: usize = 16;

    crate::tiled::set::lanewise! {
        splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        splat_int(value: i32) -> __m512i { _mm512_set1_epi32(value) }
        splat_byte(value: u8) -> __m512i { _mm512_set1_epi8(value as i8) }
        add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        add_ints(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        max_bytes(a: __m512i, b: __m512i) -> __m512i { _mm512_max_epu8(a, b) }
        to_floats(v: __m512i) -> __m512 { _mm512_cvtepi32_ps(v) }
        to_ints(v: __m512) -> __m512i { _mm512_cvtps_epi32(v) }
        load(from: *const u8) -> __m512 { _mm512_load_ps(from.cast()) }
        load_first(from: *const f32, n: usize) -> __m512 { _mm512_maskz_loadu_ps(mask16(n), from) }
        store(to: *mut f32, v: __m512) -> () { _mm512_storeu_ps(to, v) }
        widen_first(from: *const u8, n: usize) -> __m512i {
            _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask16(n), from.cast()))
        }
        widen_with_slack(from: *const u8, n: usize) -> __m512i { Self::widen_first(from, n) }
        narrow_first(to: *mut u8, n: usize, v: __m512i) -> () {
            _mm_mask_storeu_epi8(to.cast(), mask16(n), _mm512_cvtepi32_epi8(v))
        }
        load_bytes_with_slack(from: *const u8, n: usize) -> __m512i {
            _mm512_maskz_loadu_epi8(mask64(n), from.cast())
        }
        store_bytes_first(to: *mut u8, n: usize, v: __m512i) -> () {
            _mm512_mask_storeu_epi8(to.cast(), mask64(n), v)
        }
    }

    #[inline(always)]
    unsafe fn requantize_pixel<const N: usize>(v: [__m512; N], out: &Bounds) -> __m512i {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut q = [_mm512_setzero_si512(); 4];
            for i in 0..N {
                // In this order a NaN stays one.
                q[i] = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(out.hi), v[i]));
            }
            let zero = _mm512_set1_epi16(out.zero as i16);
            let low = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), zero);
            let high = if N > 2 { _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), zero) } else { low };
            let bytes = _mm512_max_epu8(_mm512_packus_epi16(low, high), _mm512_set1_epi8(out.lo_byte as i8));
            // Each 128 bits now contain four channels of each vector.
            if N == 4 { bytes } else { _mm512_permutexvar_epi32(gather_order::<N>(), bytes) }
        }
    }

    #[inline(always)]
    unsafe fn load_pixel<const N: usize>(from: *const u8, channels: usize) -> [__m512; N] {
        let mask = mask(channels);
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut bytes = match N {
                1 if mask == whole::<1>() => _mm512_castsi128_si512(_mm_loadu_si128(from.cast())),
                2 if mask == whole::<2>() => _mm512_castsi256_si512(_mm256_loadu_si256(from.cast())),
                4 if mask == whole::<4>() => _mm512_loadu_si512(from.cast()),
                _ => _mm512_maskz_loadu_epi8(mask, from.cast()),
            };
            if N != 4 {
                bytes = _mm512_permutexvar_epi32(scatter_order::<N>(), bytes);
            }
            let mut v = [_mm512_setzero_ps(); N];
            for (i, v) in v.iter_mut().enumerate() {
                // Dword j of each 128 bits gets byte 4i + j; the other three bytes become zero.
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
    }

    #[inline(always)]
    unsafe fn store_pixel<const N: usize>(to: *mut u8, channels: usize, bytes: __m512i) {
        let mask = mask(channels);
        // SAFETY: guaranteed by the caller.
        unsafe {
            match N {
                1 if mask == whole::<1>() => _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(bytes)),
                2 if mask == whole::<2>() => {
                    _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(bytes));
                }
                4 if mask == whole::<4>() => _mm512_storeu_si512(to.cast(), bytes),
                _ => _mm512_mask_storeu_epi8(to.cast(), mask, bytes),
            }
        }
    }

    #[inline(always)]
    unsafe fn finish_any<const N: usize>(t: &Outputs, e: &Epilogue, m: usize, acc: &[Self::Ints; N]) {
        // SAFETY: guaranteed by the caller.
        unsafe { finish_any::<N>(t, e, m, acc) }
    }
}

/// Returns the mask of `N` whole vectors.
const fn whole<const N: usize>() -> u64 {
    u64::MAX >> (64 - 16 * N)
}

/// Returns the dword order that brings the first N dwords of each 128 bits together.
///
/// # Safety
/// The same as for [`Vector`].
#[inline(always)]
unsafe fn gather_order<const N: usize>() -> __m512i {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match N {
            1 => _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
            2 => _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0),
            _ => _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0),
        }
    }
}

/// Returns the reverse of [`gather_order`].
///
/// # Safety
/// The same as for [`Vector`].
#[inline(always)]
unsafe fn scatter_order<const N: usize>() -> __m512i {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match N {
            1 => _mm512_setr_epi32(0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0),
            2 => _mm512_setr_epi32(0, 1, 0, 0, 2, 3, 0, 0, 4, 5, 0, 0, 6, 7, 0, 0),
            _ => _mm512_setr_epi32(0, 1, 2, 0, 3, 4, 5, 0, 6, 7, 8, 0, 9, 10, 11, 0),
        }
    }
}

crate::tiled::set::operators!("avx512f,avx512bw,avx512vl", Avx512Vector);
