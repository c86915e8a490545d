//! Affine map, residual addition, the two poolings and the widening copy: 8 or 32 channels at a time.
//!
//! ```text
//! affine    y = rne((f32(x) − zero)·gain[c] + offset[c]) + z
//! add       y = rne((f32(a) − za)·ma + (f32(b) − zb)·mb) + z
//! max       y = vpmaxub over the window
//! average   y = rne((Σ x − n·zero)·m) + z, the sum in int32
//! widen     y = i16(x) − zero
//! ```
//! Activations are stored as u8 = int8 + 128: the order is the same, and zero points gain 128. Vectors
//! are read whole, into the slack behind the tensor where it ends, and written as far as they exist.

use core::arch::x86_64::*;
use core::ops::Range;

use crate::quant::Requant;
use crate::shape::{PoolDesc, Shape};
use crate::tiled::epilogue::Bounds;
use crate::{AddScalars, AvgPoolScalars};

/// 8 bytes as f32.
///
/// # Safety
/// They are readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u8) -> __m256 {
    // SAFETY: the caller's contract.
    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(from.cast()) }))
}

/// The first `n` of 8 f32, then zeros.
///
/// # Safety
/// `n` values are readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_floats(from: *const f32, n: usize) -> __m256 {
    // SAFETY: the caller's contract.
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

/// Clamps, rounds and stores the first `n` of 8 values.
///
/// # Safety
/// min(n, 8) bytes are writable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut u8, n: usize, v: __m256, out: &Bounds) {
    // In this order a NaN becomes `lo`: maxps returns its second operand then.
    let v = _mm256_max_ps(v, _mm256_set1_ps(out.lo));
    let v = _mm256_min_ps(v, _mm256_set1_ps(out.hi));
    let q = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(out.zero));
    let words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256::<1>(q));
    let bytes = _mm_packus_epi16(words, words);
    // SAFETY: the caller's contract.
    unsafe {
        if n >= 8 {
            _mm_storel_epi64(to.cast(), bytes);
        } else {
            let lanes = _mm_cvtsi128_si64(bytes).to_le_bytes();
            core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, n);
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::affine`], and the CPU has AVX2.
#[allow(clippy::too_many_arguments)]
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn affine(
    shape: Shape,
    x_zero: i8,
    out: Requant,
    gain: &[f32],
    offset: &[f32],
    x: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let (c, out) = (shape.c, Bounds::new(out));
    let zero = _mm256_set1_ps(f32::from(x_zero) + 128.0);
    for pixel in rows.start * shape.w..rows.end * shape.w {
        for at in (0..c).step_by(8) {
            let i = pixel * c + at;
            // SAFETY: `c − at` channels of this pixel, and as many gains and offsets, exist.
            unsafe {
                let gain = load_floats(gain.as_ptr().add(at), c - at);
                let offset = load_floats(offset.as_ptr().add(at), c - at);
                let v = _mm256_mul_ps(_mm256_sub_ps(load(x.add(i)), zero), gain);
                store(y.add(i), c - at, _mm256_add_ps(v, offset), &out);
            }
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::add`], and the CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn add(
    shape: Shape,
    s: &AddScalars,
    a: *const u8,
    b: *const u8,
    y: *mut u8,
    rows: Range<usize>,
) {
    let row = shape.w * shape.c;
    let range = rows.start * row..rows.end * row;
    let out = Bounds::new(s.y);
    let (a_zero, b_zero) =
        (_mm256_set1_ps(f32::from(s.a_zero) + 128.0), _mm256_set1_ps(f32::from(s.b_zero) + 128.0));
    let (ma, mb) = (_mm256_set1_ps(s.a_multiplier), _mm256_set1_ps(s.b_multiplier));
    for at in range.clone().step_by(8) {
        let n = range.end - at;
        // SAFETY: values `at..range.end` exist in all three.
        unsafe {
            let (mut a_end, mut b_end) = ([0u8; 8], [0u8; 8]);
            let (mut a, mut b) = (a.add(at), b.add(at));
            if n < 8 {
                // What follows may be another thread's output.
                core::ptr::copy_nonoverlapping(a, a_end.as_mut_ptr(), n);
                core::ptr::copy_nonoverlapping(b, b_end.as_mut_ptr(), n);
                (a, b) = (a_end.as_ptr(), b_end.as_ptr());
            }
            let a = _mm256_mul_ps(_mm256_sub_ps(load(a), a_zero), ma);
            let b = _mm256_mul_ps(_mm256_sub_ps(load(b), b_zero), mb);
            store(y.add(at), n, _mm256_add_ps(a, b), &out);
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::max_pool`], and the CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn max_pool(d: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
    let c = d.x.c;
    let clip = |o: usize, axis: usize, size: usize| {
        let first = o * d.stride[axis];
        let last = (first + d.kernel[axis]).saturating_sub(d.pad[axis]).min(size);
        (first.saturating_sub(d.pad[axis]), last)
    };
    for oy in rows {
        let (y0, y1) = clip(oy, 0, d.x.h);
        for ox in 0..d.y.w {
            let (x0, x1) = clip(ox, 1, d.x.w);
            let whole = (y1 - y0) * (x1 - x0) == d.kernel[0] * d.kernel[1];
            let start = if whole { 0 } else { d.pad_value as u8 ^ 0x80 };
            for at in (0..c).step_by(32) {
                let mut best = _mm256_set1_epi8(start as i8);
                for iy in y0..y1 {
                    for ix in x0..x1 {
                        // SAFETY: the window is clipped to the input; reads beyond it end in the slack.
                        let v = unsafe { _mm256_loadu_si256(x.add((iy * d.x.w + ix) * c + at).cast()) };
                        best = _mm256_max_epu8(best, v);
                    }
                }
                // SAFETY: this pixel is inside the output.
                unsafe {
                    let to = y.add((oy * d.y.w + ox) * c + at);
                    if c - at >= 32 {
                        _mm256_storeu_si256(to.cast(), best);
                    } else {
                        let mut lanes = [0u8; 32];
                        _mm256_storeu_si256(lanes.as_mut_ptr().cast(), best);
                        core::ptr::copy_nonoverlapping(lanes.as_ptr(), to, c - at);
                    }
                }
            }
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::avg_pool`], and the CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn avg_pool(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
    let out = Bounds::new(s.y);
    let n = shape.pixels();
    let bias = _mm256_set1_epi32(-(n as i32) * (i32::from(s.x_zero) + 128));
    for at in (0..shape.c).step_by(8) {
        let mut sum = bias;
        for pixel in 0..n {
            // SAFETY: this pixel exists; reads beyond it end in the slack.
            let v = unsafe { _mm_loadl_epi64(x.add(pixel * shape.c + at).cast()) };
            sum = _mm256_add_epi32(sum, _mm256_cvtepu8_epi32(v));
        }
        let v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(s.multiplier));
        // SAFETY: the remaining channels of the output are writable.
        unsafe { store(y.add(at), shape.c - at, v, &out) };
    }
}

/// Writes `len` values as i16 less `zero`.
///
/// # Safety
/// `len` bytes can be read and 2·`len` written; the CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn widen(from: *const u8, to: *mut u8, len: usize, zero: i16) {
    let zeros = _mm256_set1_epi16(zero);
    let whole = len / 16 * 16;
    // SAFETY: the caller's contract.
    unsafe {
        for i in (0..whole).step_by(16) {
            let v = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.add(i).cast()));
            _mm256_storeu_si256(to.add(2 * i).cast(), _mm256_sub_epi16(v, zeros));
        }
        for i in whole..len {
            to.cast::<i16>().add(i).write_unaligned(i16::from(*from.add(i)) - zero);
        }
    }
}
