//! The vector operations that the element-wise operators and the epilogue need from an instruction set.
//!
//! These algorithms are generic over [`Vector`] and `#[inline(always)]` like its methods. An instruction set calls
//! them from functions with its `#[target_feature]`s ([`super::set::operators`]), into which all of the code is
//! inlined. They call the methods in plain loops: a closure would be a function without those features.

use super::epilogue::{Bounds, Epilogue, Outputs};

/// The vectors of an instruction set: their width, and how parts of them are read and written.
///
/// # Safety of the methods
/// The CPU has the set's features. "The first `n`" of a vector means all of it if `n` exceeds its size. Memory
/// after them is neither read nor written, unless the method says otherwise.
pub(crate) trait Vector {
    /// [`Vector::LANES`] f32.
    type Floats: Copy;
    /// [`Vector::LANES`] i32.
    type Ints: Copy;
    /// [`Vector::BYTES`] u8.
    type Bytes: Copy;
    /// The bytes of a pixel: those of all vectors of a panel.
    type Pixel: Copy;

    /// The number of 32-bit lanes.
    const LANES: usize;
    /// The number of bytes.
    const BYTES: usize = 4 * Self::LANES;

    /// Returns a vector with one value in all lanes.
    unsafe fn splat(value: f32) -> Self::Floats;
    /// Returns a vector with one value in all lanes.
    unsafe fn splat_int(value: i32) -> Self::Ints;
    /// Returns a vector with one value in all bytes.
    unsafe fn splat_byte(value: u8) -> Self::Bytes;

    /// Computes `a + b`.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Computes `a − b`.
    unsafe fn sub(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Computes `a · b`.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Returns the larger value; `b` if one is a NaN.
    unsafe fn max(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Returns the smaller value; `b` if one is a NaN.
    unsafe fn min(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// Computes `a + b`, modulo 2³².
    unsafe fn add_ints(a: Self::Ints, b: Self::Ints) -> Self::Ints;
    /// Returns the larger value, unsigned.
    unsafe fn max_bytes(a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;

    /// Converts to the nearest f32.
    unsafe fn to_floats(v: Self::Ints) -> Self::Floats;
    /// Converts to the nearest integer, ties to even; values are within ±2²².
    unsafe fn to_ints(v: Self::Floats) -> Self::Ints;

    /// Loads a vector of f32, aligned to its size.
    unsafe fn load(from: *const u8) -> Self::Floats;
    /// Loads the first `n` f32; the rest is zero.
    unsafe fn load_first(from: *const f32, n: usize) -> Self::Floats;
    /// Stores a vector of f32.
    unsafe fn store(to: *mut f32, v: Self::Floats);

    /// Loads the first `n` bytes as i32; the rest is undefined.
    unsafe fn widen_first(from: *const u8, n: usize) -> Self::Ints;
    /// Like [`Vector::widen_first`], but [`super::geometry::SLACK`] bytes more than `n` may be read.
    unsafe fn widen_with_slack(from: *const u8, n: usize) -> Self::Ints;
    /// Stores the first `n` lanes, all in 0…255, as bytes.
    unsafe fn narrow_first(to: *mut u8, n: usize, v: Self::Ints);

    /// Loads the first `n` bytes; the rest is undefined, and [`super::geometry::SLACK`] bytes more than `n` may be
    /// read.
    unsafe fn load_bytes_with_slack(from: *const u8, n: usize) -> Self::Bytes;
    /// Stores the first `n` bytes.
    unsafe fn store_bytes_first(to: *mut u8, n: usize, v: Self::Bytes);

    /// Requantizes `N` vectors in the panel's lane order to bytes in channel order, like [`requantize`].
    unsafe fn requantize_pixel<const N: usize>(v: [Self::Floats; N], out: &Bounds) -> Self::Pixel;
    /// Loads a pixel's first `channels` bytes, at most `N` vectors of them, as f32 in the panel's lane order: the
    /// reverse of [`Vector::requantize_pixel`].
    unsafe fn load_pixel<const N: usize>(from: *const u8, channels: usize) -> [Self::Floats; N];
    /// Stores a pixel's first `channels` bytes, at most `N` vectors of them.
    unsafe fn store_pixel<const N: usize>(to: *mut u8, channels: usize, pixel: Self::Pixel);

    /// Runs [`super::epilogue::finish_pixel`] in the mode [`super::epilogue::ANY`], as a separate function: that
    /// code is large and rarely run, and need not be part of every tile.
    unsafe fn finish_any<const N: usize>(t: &Outputs, e: &Epilogue, m: usize, acc: &[Self::Ints; N]);
}

/// The largest number of lanes of any vector.
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
