//! Sizes of window, scratch and blob of a convolution.
//!
//! *Rows* is the usual case: one group, no dilation; a pixel reads one run of elements per kernel row,
//! `kernel width × channels` long, directly in the window. Everything else is *gathered*: each pixel's patch is
//! first copied together into one run.
//!
//! ```text
//! scratch: window | patches (gathered only) | one panel's weights (where unpacked) | sums
//! blob:    per vector: groups × padded channels × 4 bytes (bias, multiplier, gain, offset), then
//!          per panel: segments × padded segment × NR weights
//! ```
//! Sizes saturate, so that a forged description cannot wrap them on a 32-bit machine.

use core::mem::size_of;

use super::tile::Isa;
use crate::shape::ConvDesc;

/// The smallest number of window columns for a task's output rows. A panel's weights are unpacked once per task,
/// which pays only with enough columns.
const PIXELS_PER_TASK: usize = 16;

pub(crate) struct Geometry {
    /// Whether patches are first copied together.
    pub(crate) gather: bool,
    /// Output rows per task; the last task may have fewer.
    pub(crate) rows: usize,
    /// Output pixels per row, padded to the tile.
    pub(crate) pixels: usize,
    /// Rows, columns, and channels per pixel of the window.
    pub(crate) height: usize,
    pub(crate) columns: usize,
    pub(crate) channels: usize,
    /// Elements of a window row, slack included.
    pub(crate) row: usize,
    /// The runs of elements that one pixel reads, and their padded length.
    pub(crate) segments: usize,
    pub(crate) segment: usize,
    /// Output channels per group, and padded to panels.
    pub(crate) group: usize,
    pub(crate) padded_group: usize,
    /// Vectors of f32 or i32 before the weights.
    pub(crate) vectors: usize,
    /// Byte offsets in scratch; `sums` also marks where the scratch would end without the sums.
    pub(crate) patches: usize,
    pub(crate) weights: usize,
    pub(crate) sums: usize,
    /// Bytes of scratch.
    pub(crate) scratch: usize,
}

fn round_up(n: usize, to: usize) -> usize {
    n.saturating_add(to - 1) / to * to
}

impl Geometry {
    pub(crate) fn new<I: Isa>(d: &ConvDesc) -> Self {
        let gather = d.groups != 1 || d.dilation != [1, 1];
        let groups = d.groups.max(1);
        let rows =
            if d.y.w >= PIXELS_PER_TASK { 1 } else { PIXELS_PER_TASK.div_ceil(d.y.w.max(1)).min(d.y.h) };
        let pixels = round_up(d.y.w, I::MR);
        let span = |n: usize, axis: usize| {
            n.saturating_sub(1) * d.stride[axis] + (d.kernel[axis].saturating_sub(1)) * d.dilation[axis] + 1
        };
        let (height, columns) = (span(rows, 0), span(pixels, 1));
        let channels = round_up(d.x.c, I::CHANNELS);
        // A padded segment may extend beyond the last pixel.
        let row = columns.saturating_mul(channels).saturating_add(I::DEPTH);
        let row = round_up(row, I::DEPTH);
        let taps = d.kernel[0] * d.kernel[1];
        let (segments, segment) =
            if gather { (1, taps * (d.x.c / groups)) } else { (d.kernel[0], d.kernel[1] * channels) };
        let segment = round_up(segment, I::DEPTH);
        let group = d.y.c / groups;
        let padded_group = round_up(group, I::NR);
        let bytes = |n: usize| round_up(n.saturating_mul(size_of::<I::Element>()), 16);
        let patches = bytes(height.saturating_mul(row));
        let weights = patches.saturating_add(if gather { bytes(I::MR.saturating_mul(segment)) } else { 0 });
        let unpacked = segments.saturating_mul(segment).saturating_mul(I::NR * I::UNPACKED);
        let sums = weights.saturating_add(round_up(unpacked, 16));
        let scratch = sums.saturating_add(pixels.saturating_mul(4 * I::NR));
        Self {
            gather,
            rows,
            pixels,
            height,
            columns,
            channels,
            row,
            segments,
            segment,
            group,
            padded_group,
            vectors: if d.output.has_affine() { 4 } else { 2 },
            patches,
            weights,
            sums,
            scratch,
        }
    }

    /// Returns the number of values of one vector of the blob.
    pub(crate) fn vector(&self, d: &ConvDesc) -> usize {
        self.padded_group.saturating_mul(d.groups)
    }

    /// Returns where the weights start in the blob.
    pub(crate) fn head(&self, d: &ConvDesc) -> usize {
        round_up(self.vector(d).saturating_mul(4 * self.vectors), 16)
    }

    /// Returns the number of weights of one panel.
    pub(crate) fn panel_bytes<I: Isa>(&self) -> usize {
        self.segments.saturating_mul(self.segment).saturating_mul(I::NR)
    }

    pub(crate) fn blob_bytes<I: Isa>(&self, d: &ConvDesc) -> usize {
        let weights = self.vector(d).saturating_mul(self.segments).saturating_mul(self.segment);
        self.head(d).saturating_add(weights)
    }
}
