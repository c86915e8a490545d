//! What follows a tile's sums: scale, residual, clamp, round, narrow, store.
//!
//! ```text
//! v  = f32(acc)·m  (+ (f32(skip) − zero)·m_skip)              per vector of 4 channels
//! q  = bits(min(hi, max(lo, v)) + 1.5·2²³) − bits(1.5·2²³) + zero + 128
//! ```
//! 1. `i32x4.trunc_sat_f32x4_s` takes many instructions on x86-64. The sum with 1.5·2²³ rounds to nearest even, as in
//!    [`crate::round_ties_even`], and its bits, an integer apart, are the result.
//! 2. `pmax(lo, v)` is `lo < v ? v : lo`: a NaN becomes `lo`, as [`crate::Requant::apply`] wants.
//! 3. Narrowing keeps the order of lanes, so that a panel's channels are ascending.

use core::arch::wasm32::*;

use crate::shape::ConvOutput;
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Bounds, Epilogue, INT8_SKIP, Outputs};

/// The f32 whose unit in the last place is 1.
const MAGIC: f32 = 12_582_912.0;

/// Four values clamped, rounded to nearest even, and with the zero point of the unsigned byte added.
#[inline]
pub(super) fn round(v: v128, out: &Bounds) -> v128 {
    let v = f32x4_pmax(f32x4_splat(out.lo), v);
    let v = f32x4_pmin(f32x4_splat(out.hi), v);
    let sum = f32x4_add(v, f32x4_splat(MAGIC));
    i32x4_add(sum, i32x4_splat(out.zero - MAGIC.to_bits() as i32))
}

/// Writes a tile of sums.
///
/// # Safety
/// `t` as in [`crate::tiled::driver::TileFn`].
#[inline]
pub(super) unsafe fn finish<const M: usize, const N: usize, const MODE: usize>(
    t: &Outputs,
    e: &Epilogue,
    acc: &[[v128; N]; M],
) {
    if MODE == ANY {
        // Through memory, so that this code is there once and not per pixel.
        let mut sums = [[i32x4_splat(0); N]; M];
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
    const { assert!(M <= 8 && (N == 1 || N == 2 || N == 4)) };
    pixels!(0 1 2 3 4 5 6 7);
}

/// Writes the sums of pixel `m`.
///
/// # Safety
/// As [`finish`].
#[inline]
unsafe fn pixel<const N: usize, const MODE: usize>(t: &Outputs, e: &Epilogue, m: usize, acc: [v128; N]) {
    let mut v = [f32x4_splat(0.0); N];
    // SAFETY: the constants of the panel and `channels` bytes of each pixel's outputs and residual are
    // inside their buffers, see `Outputs`.
    unsafe {
        let constant =
            |which: usize, i: usize| v128_load(t.constants.add(which * t.constants_stride + 16 * i).cast());
        for i in 0..N {
            v[i] = f32x4_mul(f32x4_convert_i32x4(acc[i]), constant(1, i));
        }
        if MODE == INT8_SKIP || MODE == BOTH_SKIP || (MODE == ANY && e.has_skip) {
            let skip = load_pixel::<N>(t.skip.wrapping_add(m * t.stride), t.channels);
            let (zero, multiplier) = (f32x4_splat(e.skip_zero), f32x4_splat(e.skip_multiplier));
            for i in 0..N {
                v[i] = f32x4_add(v[i], f32x4_mul(f32x4_sub(skip[i], zero), multiplier));
            }
        }
        if MODE == ANY && e.output == ConvOutput::Float32 {
            return store_logits::<N>(t, v);
        }
        if MODE != ANY || e.output.has_int8() {
            store::<N>(t.y.wrapping_add(m * t.stride), t.channels, quantize::<N>(v, &e.y));
        }
        if MODE == BOTH_SKIP || (MODE == ANY && e.output.has_affine()) {
            for i in 0..N {
                v[i] = f32x4_add(f32x4_mul(v[i], constant(2, i)), constant(3, i));
            }
            store::<N>(t.y2.wrapping_add(m * t.stride), t.channels, quantize::<N>(v, &e.y2));
        }
    }
}

/// `N` vectors to bytes, of which the first 4·N count.
#[inline]
fn quantize<const N: usize>(v: [v128; N], out: &Bounds) -> v128 {
    let mut q = [i32x4_splat(0); 4];
    for i in 0..N {
        q[i] = round(v[i], out);
    }
    let low = i16x8_narrow_i32x4(q[0], q[1]);
    let high = if N == 4 { i16x8_narrow_i32x4(q[2], q[3]) } else { low };
    u8x16_narrow_i16x8(low, high)
}

/// Stores the first `channels` bytes, at most 4·N.
///
/// # Safety
/// They are writable.
#[inline]
unsafe fn store<const N: usize>(to: *mut u8, channels: usize, bytes: v128) {
    // SAFETY: the caller's contract.
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

/// A pixel's bytes as f32.
///
/// # Safety
/// `channels`, at most 4·N, bytes are readable.
#[inline]
unsafe fn load_pixel<const N: usize>(from: *const u8, channels: usize) -> [v128; N] {
    let mut lanes = [0u8; 16];
    let mut from = from;
    if channels < 4 * N {
        // What follows may be another thread's output.
        // SAFETY: the caller's contract.
        unsafe { core::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), channels) };
        from = lanes.as_ptr();
    }
    let mut v = [f32x4_splat(0.0); N];
    for i in 0..N {
        // SAFETY: the caller's contract, or the copy.
        v[i] = unsafe { load(from.add(4 * i)) };
    }
    v
}

/// 4 bytes as f32.
///
/// # Safety
/// They are readable.
#[inline]
pub(super) unsafe fn load(from: *const u8) -> v128 {
    // SAFETY: the caller's contract.
    f32x4_convert_i32x4(widened(unsafe { v128_load32_zero(from.cast()) }))
}

/// The first 4 bytes as i32.
#[inline]
pub(super) fn widened(bytes: v128) -> v128 {
    u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes))
}

/// Writes `channels` f32 values.
///
/// # Safety
/// `t.y` has room for them.
#[inline]
unsafe fn store_logits<const N: usize>(t: &Outputs, v: [v128; N]) {
    let mut lanes = [[0f32; 4]; N];
    for (lanes, v) in lanes.iter_mut().zip(v) {
        // SAFETY: an array of 4 f32.
        unsafe { v128_store(lanes.as_mut_ptr().cast(), v) };
    }
    // SAFETY: the caller's contract; there are at most 4·N channels.
    unsafe { core::ptr::copy_nonoverlapping(lanes.as_ptr().cast::<f32>(), t.y.cast(), t.channels) };
}
