//! Affine map, residual addition and the two poolings: 16 or 64 channels at a time.
//!
//! ```text
//! affine    y = rne((f32(x) − zero)·gain[c] + offset[c]) + z
//! add       y = rne((f32(a) − za)·ma + (f32(b) − zb)·mb) + z
//! max       y = vpmaxub over the window
//! average   y = rne((Σ x − n·zero)·m) + z, the sum in int32
//! ```
//! Activations are stored as u8 = int8 + 128: the order is the same, and zero points gain 128.

use core::arch::x86_64::*;
use core::ops::Range;

use crate::quant::Requant;
use crate::shape::{PoolDesc, Shape};
use crate::tiled::epilogue::Bounds;
use crate::{AddScalars, AvgPoolScalars};

/// The lowest `n` bits.
fn mask16(n: usize) -> u16 {
    if n >= 16 { u16::MAX } else { (1 << n) - 1 }
}

/// The lowest `n` bits.
fn mask64(n: usize) -> u64 {
    if n >= 64 { u64::MAX } else { (1 << n) - 1 }
}

/// 16 bytes as f32.
///
/// # Safety
/// The bytes that `mask` selects are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn load(from: *const u8, mask: u16) -> __m512 {
    // SAFETY: the caller's contract.
    _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_maskz_loadu_epi8(mask, from.cast()) }))
}

/// Clamps, rounds and stores 16 values.
///
/// # Safety
/// The bytes that `mask` selects are writable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn store(to: *mut u8, mask: u16, v: __m512, out: &Bounds) {
    // In this order a NaN becomes `lo`: maxps returns its second operand then.
    let v = _mm512_max_ps(v, _mm512_set1_ps(out.lo));
    let v = _mm512_min_ps(v, _mm512_set1_ps(out.hi));
    let q = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(out.zero));
    // SAFETY: the caller's contract.
    unsafe { _mm_mask_storeu_epi8(to.cast(), mask, _mm512_cvtepi32_epi8(q)) };
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::affine`], and the CPU has the features.
#[allow(clippy::too_many_arguments)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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
    let zero = _mm512_set1_ps(f32::from(x_zero) + 128.0);
    for pixel in rows.start * shape.w..rows.end * shape.w {
        for at in (0..c).step_by(16) {
            let mask = mask16(c - at);
            let i = pixel * c + at;
            // SAFETY: `c − at` channels of this pixel, and as many gains and offsets, exist.
            unsafe {
                let gain = _mm512_maskz_loadu_ps(mask, gain.as_ptr().add(at));
                let offset = _mm512_maskz_loadu_ps(mask, offset.as_ptr().add(at));
                let v = _mm512_mul_ps(_mm512_sub_ps(load(x.add(i), mask), zero), gain);
                store(y.add(i), mask, _mm512_add_ps(v, offset), &out);
            }
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::add`], and the CPU has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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
        (_mm512_set1_ps(f32::from(s.a_zero) + 128.0), _mm512_set1_ps(f32::from(s.b_zero) + 128.0));
    let (ma, mb) = (_mm512_set1_ps(s.a_multiplier), _mm512_set1_ps(s.b_multiplier));
    for at in range.clone().step_by(16) {
        let mask = mask16(range.end - at);
        // SAFETY: values `at..range.end` exist in all three.
        unsafe {
            let a = _mm512_mul_ps(_mm512_sub_ps(load(a.add(at), mask), a_zero), ma);
            let b = _mm512_mul_ps(_mm512_sub_ps(load(b.add(at), mask), b_zero), mb);
            store(y.add(at), mask, _mm512_add_ps(a, b), &out);
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::max_pool`], and the CPU has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
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
            for at in (0..c).step_by(64) {
                let mask = mask64(c - at);
                let mut best = _mm512_set1_epi8(start as i8);
                for iy in y0..y1 {
                    for ix in x0..x1 {
                        // SAFETY: the window is clipped to the input; masked channels exist.
                        let v = unsafe {
                            _mm512_maskz_loadu_epi8(mask, x.add((iy * d.x.w + ix) * c + at).cast())
                        };
                        best = _mm512_max_epu8(best, v);
                    }
                }
                // SAFETY: this pixel is inside the output.
                unsafe { _mm512_mask_storeu_epi8(y.add((oy * d.y.w + ox) * c + at).cast(), mask, best) };
            }
        }
    }
}

/// See the module.
///
/// # Safety
/// As [`crate::KernelSet::avg_pool`], and the CPU has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(in super::super) unsafe fn avg_pool(shape: Shape, s: &AvgPoolScalars, x: *const u8, y: *mut u8) {
    let out = Bounds::new(s.y);
    let n = shape.pixels();
    let bias = _mm512_set1_epi32(-(n as i32) * (i32::from(s.x_zero) + 128));
    for at in (0..shape.c).step_by(16) {
        let mask = mask16(shape.c - at);
        let mut sum = bias;
        for pixel in 0..n {
            // SAFETY: masked channels of this pixel exist.
            let v = unsafe { _mm_maskz_loadu_epi8(mask, x.add(pixel * shape.c + at).cast()) };
            sum = _mm512_add_epi32(sum, _mm512_cvtepu8_epi32(v));
        }
        let v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(s.multiplier));
        // SAFETY: as above, of the output.
        unsafe { store(y.add(at), mask, v, &out) };
    }
}
