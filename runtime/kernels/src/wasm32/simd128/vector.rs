//! WebAssembly's vectors, and the operators that are written generically over [`Vector`].
//!
//! 1. `i32x4.trunc_sat_f32x4_s` takes many instructions on x86-64. Adding 1.5·2²³ rounds to nearest even, as in
//!    [`crate::round_ties_even`], and the bits of the sum, minus an integer, are the result.
//! 2. `pmax(b, a)` is `b < a ? a : b`, and `pmin` likewise: if one is a NaN, the result is `b`.
//! 3. Narrowing keeps the order of lanes, so a panel's channels are ascending.

use core::arch::wasm32::*;

use crate::tiled::epilogue::{Bounds, Epilogue, Outputs};
use crate::tiled::vector::{Vector, requantize};

/// 128 bits.
pub(crate) enum Simd128Vector {}

/// The f32 whose unit in the last place is 1.
const MAGIC: f32 = 12_582_912.0;

impl Vector for Simd128Vector {
    type Floats = v128;
    type Ints = v128;
    type Bytes = v128;
    type Pixel = v128;

    const LANES: usize = 4;

    crate::tiled::set::lanewise! {
        splat(value: f32) -> v128 { f32x4_splat(value) }
        splat_int(value: i32) -> v128 { i32x4_splat(value) }
        splat_byte(value: u8) -> v128 { u8x16_splat(value) }
        add(a: v128, b: v128) -> v128 { f32x4_add(a, b) }
        sub(a: v128, b: v128) -> v128 { f32x4_sub(a, b) }
        mul(a: v128, b: v128) -> v128 { f32x4_mul(a, b) }
        max(a: v128, b: v128) -> v128 { f32x4_pmax(b, a) }
        min(a: v128, b: v128) -> v128 { f32x4_pmin(b, a) }
        add_ints(a: v128, b: v128) -> v128 { i32x4_add(a, b) }
        max_bytes(a: v128, b: v128) -> v128 { u8x16_max(a, b) }
        to_floats(v: v128) -> v128 { f32x4_convert_i32x4(v) }
        to_ints(v: v128) -> v128 {
            i32x4_sub(f32x4_add(v, f32x4_splat(MAGIC)), i32x4_splat(MAGIC.to_bits() as i32))
        }
        load(from: *const u8) -> v128 { v128_load(from.cast()) }
        store(to: *mut f32, v: v128) -> () { v128_store(to.cast(), v) }
        widen_with_slack(from: *const u8, _n: usize) -> v128 {
            u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(v128_load32_zero(from.cast())))
        }
        load_bytes_with_slack(from: *const u8, _n: usize) -> v128 { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> v128 {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if n >= 4 {
                v128_load(from.cast())
            } else {
                let mut values = [0f32; 4];
                core::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n);
                v128_load(values.as_ptr().cast())
            }
        }
    }

    #[inline(always)]
    unsafe fn widen_first(from: *const u8, n: usize) -> v128 {
        let mut values = [0u8; 4];
        let mut from = from;
        // SAFETY: guaranteed by the caller, or the copy.
        unsafe {
            if n < 4 {
                core::ptr::copy_nonoverlapping(from, values.as_mut_ptr(), n);
                from = values.as_ptr();
            }
            Self::widen_with_slack(from, n)
        }
    }

    #[inline(always)]
    unsafe fn narrow_first(to: *mut u8, n: usize, v: v128) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let words = i16x8_narrow_i32x4(v, v);
            let bytes = u8x16_narrow_i16x8(words, words);
            if n >= 4 {
                v128_store32_lane::<0>(bytes, to.cast());
            } else {
                let lanes = i32x4_extract_lane::<0>(bytes).to_le_bytes();
                core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_bytes_first(to: *mut u8, n: usize, v: v128) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if n >= 16 {
                v128_store(to.cast(), v);
            } else {
                let mut lanes = [0u8; 16];
                v128_store(lanes.as_mut_ptr().cast(), v);
                core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
            }
        }
    }

    #[inline(always)]
    unsafe fn requantize_pixel<const N: usize>(v: [v128; N], out: &Bounds) -> v128 {
        const { assert!(N == 1 || N == 2 || N == 4) };
        // SAFETY: guaranteed by the caller.
        unsafe {
            let mut q = [i32x4_splat(0); 4];
            for i in 0..N {
                q[i] = requantize::<Self>(v[i], out);
            }
            let low = i16x8_narrow_i32x4(q[0], q[1]);
            let high = if N == 4 { i16x8_narrow_i32x4(q[2], q[3]) } else { low };
            u8x16_narrow_i16x8(low, high)
        }
    }

    #[inline(always)]
    unsafe fn load_pixel<const N: usize>(from: *const u8, channels: usize) -> [v128; N] {
        let mut lanes = [0u8; 16];
        let mut from = from;
        // SAFETY: guaranteed by the caller, or the copy.
        unsafe {
            if channels < 4 * N {
                // The bytes after them may be another thread's output.
                core::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), channels);
                from = lanes.as_ptr();
            }
            let mut v = [f32x4_splat(0.0); N];
            for i in 0..N {
                v[i] = f32x4_convert_i32x4(Self::widen_with_slack(from.add(4 * i), 4));
            }
            v
        }
    }

    #[inline(always)]
    unsafe fn store_pixel<const N: usize>(to: *mut u8, channels: usize, bytes: v128) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            match channels {
                16 if N == 4 => v128_store(to.cast(), bytes),
                8 if N == 2 => v128_store64_lane::<0>(bytes, to.cast()),
                4 if N == 1 => v128_store32_lane::<0>(bytes, to.cast()),
                _ => {
                    let mut lanes = [0u8; 16];
                    v128_store(lanes.as_mut_ptr().cast(), bytes);
                    core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, channels);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn finish_any<const N: usize>(t: &Outputs, e: &Epilogue, m: usize, acc: &[v128; N]) {
        // SAFETY: guaranteed by the caller.
        unsafe { finish_any::<N>(t, e, m, acc) }
    }
}

crate::tiled::set::operators!("simd128", Simd128Vector);
