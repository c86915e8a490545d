//! Converts a block's sums in memory to bytes with AVX-512's epilogue, pixel by pixel.

use core::arch::x86_64::*;
use core::ops::Range;

use super::geometry::{Block, NR_VECTORS};
use crate::tiled::epilogue::{ANY, BOTH_SKIP, Epilogue, INT8, INT8_SKIP, MODES, Outputs, finish_pixel};
use crate::x86_64::avx512vnni::vector::Avx512Vector;

/// A block whose sums have not been written yet.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    /// The panel's outputs at the image's first pixel.
    pub out: Outputs,
    /// [pixel][vector][lane] i32.
    pub sums: *const u8,
    /// The pixels.
    pub block: Block,
    /// Vectors of the panel.
    pub vectors: usize,
}

/// Writes some pixels of a block: `f(what, epilogue, which, pixels from row to row, columns)`.
///
/// # Safety
/// The CPU has the features; the pointers cover the range that the sizes imply.
pub(super) type FinishFn = unsafe fn(&Pending, &Epilogue, Range<usize>, usize, usize);

/// See [`FinishFn`].
///
/// # Safety
/// See [`FinishFn`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn finish<const N: usize, const MODE: usize>(
    p: &Pending,
    e: &Epilogue,
    which: Range<usize>,
    width: usize,
    columns: usize,
) {
    let start = which.start.max(p.block.first - p.block.start);
    let at = p.block.start + start;
    let (mut row, mut column) = (at / width, at % width);
    for i in start..which.end {
        if column < columns {
            let mut sums = [_mm512_setzero_si512(); N];
            // SAFETY: the sums of pixel `i`, and its outputs.
            unsafe {
                for v in 0..N {
                    sums[v] = _mm512_load_si512(p.sums.add((i * NR_VECTORS + v) * 64).cast());
                }
                finish_pixel::<Avx512Vector, N, MODE>(&p.out, e, row * columns + column, sums);
            }
        }
        column += 1;
        if column == width {
            (row, column) = (row + 1, 0);
        }
    }
}

const fn by_vectors<const MODE: usize>() -> [FinishFn; NR_VECTORS] {
    [finish::<1, MODE>, finish::<2, MODE>, finish::<3, MODE>, finish::<4, MODE>]
}

/// The functions by mode, vectors − 1.
pub(super) static FINISH: [[FinishFn; NR_VECTORS]; MODES] =
    [by_vectors::<INT8>(), by_vectors::<INT8_SKIP>(), by_vectors::<BOTH_SKIP>(), by_vectors::<ANY>()];
