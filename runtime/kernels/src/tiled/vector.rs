//! What the element-wise operators and the epilogue need of an instruction set's vectors.
//!
//! These algorithms are written once over [`Vector`], and are `#[inline(always)]` like its methods: an instruction
//! set calls them from functions with its `#[target_feature]`s ([`super::set::operators`]), into which all of it is
//! inlined. They call the methods in plain loops: a closure would be a function without those features.

use super::epilogue::{Bounds, Epilogue, Outputs};

/// The vectors of an instruction set: how wide they are, and how a part of one is read and written.
///
/// # Safety of the methods
/// The CPU has the set's features. "The first `n`" of a vector are all of it where `n` is more than it holds.
/// Memory behind them is neither read nor written, unless the method says so.
pub(crate) trait Vector {
    /// [`Vector::LANES`] f32.
    type Floats: Copy;
    /// [`Vector::LANES`] i32.
    type Ints: Copy;
    /// [`Vector::BYTES`] u8.
    type Bytes: Copy;
    /// A pixel's bytes: those of all vectors of a panel.
    type Pixel: Copy;

    /// 32-bit lanes.
    const LANES: usize;
    /// Bytes.
    const BYTES: usize = 4 * Self::LANES;

    /// One value in all lanes.
    unsafe fn splat(value: f32) -> Self::Floats;
    /// One value in all lanes.
    unsafe fn splat_int(value: i32) -> Self::Ints;
    /// One value in all bytes.
    unsafe fn splat_byte(value: u8) -> Self::Bytes;

    /// `a + b`.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a − b`.
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b`.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Returns the larger one; `b` where one is a NaN.
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Returns the smaller one; `b` where one is a NaN.
    unsafe fn min(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a + b`, modulo 2³².
    unsafe fn add_ints(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Returns the larger one, unsigned.
    unsafe fn max_bytes(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;

    /// To the nearest f32.
    unsafe fn to_floats(v: Self::Ints) -> Self::Floats;
    /// To the nearest integer, of two the even one; values are within ±2²².
    unsafe fn to_ints(v: Self::Floats) -> Self::Ints;

    /// Returns a vector of f32, aligned to its size.
    unsafe fn load(from: *const u8) -> Self::Floats;
    /// Returns the first `n` f32, then zeros.
    unsafe fn load_first(from: *const f32, n: usize) -> Self::Floats;
    /// Stores a vector of f32.
    unsafe fn store(to: *mut f32, v: Self::Floats);

    /// Returns the first `n` bytes as i32, then anything.
    unsafe fn widen_first(from: *const u8, n: usize) -> Self::Ints;
    /// Like [`Vector::widen_first`], but [`super::geometry::SLACK`] bytes more than `n` may be read.
    unsafe fn widen_with_slack(from: *const u8, n: usize) -> Self::Ints;
    /// Stores the first `n` lanes, all in 0…255, as bytes.
    unsafe fn narrow_first(to: *mut u8, n: usize, v: Self::Ints);

    /// Returns the first `n` bytes, then anything; [`super::geometry::SLACK`] bytes more than `n` may be read.
    unsafe fn load_bytes_with_slack(from: *const u8, n: usize) -> Self::Bytes;
    /// Stores the first `n` bytes.
    unsafe fn store_bytes_first(to: *mut u8, n: usize, v: Self::Bytes);

    /// Requantizes `N` vectors in the panel's lane order to bytes in channel order, as [`requantize`] would.
    unsafe fn requantize_pixel<const N: usize>(v: [Self::Floats; N], out: &Bounds) -> Self::Pixel;
    /// Returns a pixel's first `channels` bytes, at most `N` vectors of them, as f32 in the panel's lane order:
    /// the reverse of [`Vector::requantize_pixel`].
    unsafe fn load_pixel<const N: usize>(from: *const u8, channels: usize) -> [Self::Floats; N];
    /// Stores a pixel's first `channels` bytes, at most `N` vectors of them.
    unsafe fn store_pixel<const N: usize>(to: *mut u8, channels: usize, pixel: Self::Pixel);

    /// [`super::epilogue::finish_pixel`] in the mode [`super::epilogue::ANY`], as a function of its own: that code
    /// is large and rarely run, and need not stand in every tile.
    unsafe fn finish_any<const N: usize>(t: &Outputs, e: &Epilogue, m: usize, acc: &[Self::Ints; N]);
}

/// Most lanes of any vector.
pub(crate) const MAX_LANES: usize = 16;

/// Clamps, rounds, and adds the zero point of the unsigned byte. A NaN becomes the lowest value.
///
/// # Safety
/// See [`Vector`].
#[inline(always)]
pub(crate) unsafe fn requantize<V: Vector>(v: V::Floats, out: &Bounds) -> V::Ints {
    // SAFETY: guaranteed by the caller.
    unsafe {
        // In this order a NaN becomes `lo`.
        let v = V::max(v, V::splat(out.lo));
        let v = V::min(v, V::splat(out.hi));
        V::add_ints(V::to_ints(v), V::splat_int(out.zero))
    }
}
