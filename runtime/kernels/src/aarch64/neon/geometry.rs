//! How a convolution is divided: its kernel, and its bands, blocks and tasks.
//!
//! Everything here follows from the description alone, so a blob from an untrusted file cannot influence any
//! address. If both kernels can compute a layer, [`Geometry`] chooses by counted instructions plus a charge for
//! streaming the weights from memory.

use core::ops::Range;

use super::layout::channel_stride;
use super::pack_b::HEADER;
use super::tile::{self, CHANNELS, DEPTH_STEP, MR, NR};
use super::winograd::{self, LANES, POSITIONS, TILE};
use crate::neon_tiling::{self, Tiling};
use crate::shape::{ConvDesc, Source};

/// The bytes of packed rows in a block of pixels: half of the smallest common L2 cache.
const ROWS_BYTES: usize = 128 << 10;
/// The largest number of pixels per block, so that their sums, 64 bytes per pixel, take a small part of L1.
const BLOCK_PIXELS: usize = 64;
/// The smallest number of tasks of a layer, if it has enough pixels or channels.
const TASKS: usize = 16;

/// Everything about a layer that follows from its shape.
pub struct Geometry<'a> {
    pub desc: &'a ConvDesc,
    /// Bytes per tap in a row.
    pub tap: usize,
    /// Bytes of a row, rounded up to [`DEPTH_STEP`].
    pub row: usize,
    /// Output channels per group.
    pub group_out: usize,
    /// The tiles of the convolution, if it uses Winograd.
    pub winograd: Option<Tiling>,
    /// Output pixels per band of the direct kernel.
    pub band_pixels: usize,
    bands: usize,
    /// The number of pieces into which the runs of [`CHANNELS`] output channels are divided.
    pub splits: usize,
}

impl<'a> Geometry<'a> {
    pub fn new(desc: &'a ConvDesc) -> Self {
        let group_out = desc.y.c / desc.groups;
        let pixels = desc.y.pixels();
        let tap = neon_tiling::tap_bytes(desc);
        let row = neon_tiling::row_bytes(desc);
        let runs = desc.groups * group_out.div_ceil(CHANNELS);
        let winograd = neon_tiling::winograd(desc);
        // Many pixels give enough bands; few pixels stay together, and the channels are split.
        let many = pixels >= 4 * TASKS * MR;
        let band_pixels = if many { pixels.div_ceil(TASKS).next_multiple_of(MR) } else { pixels };
        let bands = match &winograd {
            Some(tiling) => tiling.bands(),
            None => pixels.div_ceil(band_pixels),
        };
        let wanted = TASKS.div_ceil(bands).min(runs);
        let splits = if bands >= TASKS { 1 } else { divisor_from(runs, wanted) };
        Self { desc, tap, row, group_out, winograd, band_pixels, bands, splits }
    }

    /// Returns the words of decisions per panel.
    pub fn words(&self) -> usize {
        tile::words(self.row / DEPTH_STEP)
    }

    /// Returns the number of panels of [`NR`] output channels.
    pub fn panels(&self) -> usize {
        self.desc.groups * self.group_out.div_ceil(NR)
    }

    /// Returns the number of runs of [`CHANNELS`] output channels.
    fn runs(&self) -> usize {
        self.desc.groups * self.group_out.div_ceil(CHANNELS)
    }

    /// Returns the number of values per vector of constants.
    pub fn constants(&self) -> usize {
        (self.desc.y.c + CHANNELS).next_multiple_of(CHANNELS)
    }

    /// Returns the number of vectors of constants: bias and multiplier, and with a second output gain and offset.
    pub fn constant_vectors(&self) -> usize {
        if self.desc.output.has_affine() { 4 } else { 2 }
    }

    /// Returns the offset of the words of decisions in a direct blob, and of the weights in a Winograd one.
    pub fn words_at(&self) -> usize {
        HEADER + 4 * self.constants() * self.constant_vectors()
    }

    /// Returns the offset of the panels in a direct blob.
    pub fn panels_at(&self) -> usize {
        (self.words_at() + 8 * self.panels() * self.words()).next_multiple_of(64)
    }

    /// Returns the size in bytes of the blob.
    pub fn blob_bytes(&self) -> usize {
        match self.winograd {
            Some(_) => self.words_at() + 2 * POSITIONS * self.desc.x.c * self.desc.y.c,
            None => self.panels_at() + self.panels() * NR * self.row,
        }
    }

    /// Returns the number of pixels per block of the direct kernel.
    pub fn block_pixels(&self) -> usize {
        let most = (ROWS_BYTES / self.row).clamp(MR, BLOCK_PIXELS);
        self.band_pixels.div_ceil(self.band_pixels.div_ceil(most)).next_multiple_of(MR).min(BLOCK_PIXELS)
    }

    /// Returns the columns of a line of pixels with its padding, and its size in bytes with room for whole
    /// vectors.
    pub fn line(&self) -> (usize, usize) {
        let d = self.desc;
        let reach = (d.kernel[1] - 1) * d.dilation[1] + 1;
        let columns = ((d.y.w - 1) * d.stride[1] + reach).max(d.pad[1] + d.x.w);
        (columns, (columns * d.x.c + 32).next_multiple_of(16))
    }

    /// Returns whether windows are first copied one by one, because their taps are not whole vectors.
    pub fn is_dense(&self) -> bool {
        self.tap != channel_stride(self.desc.x.c) || self.desc.source == Source::Pixels
    }

    /// Returns the scratch of the direct kernel: sums, packed rows, four windows or a tap of padding, lines of
    /// pixels.
    pub fn direct_scratch(&self) -> [usize; 4] {
        let pixels = self.block_pixels();
        let lines = if self.desc.source == Source::Pixels { self.desc.kernel[0] * self.line().1 } else { 0 };
        let aside = if self.is_dense() { MR * (self.row + 64) } else { self.tap };
        [pixels * CHANNELS * 4, pixels * self.row, aside.next_multiple_of(64), lines]
    }

    /// Returns the scratch of Winograd: sums or, before there are any, a tile's pixels; V; M.
    pub fn winograd_scratch(&self, tiling: &Tiling) -> [usize; 3] {
        let patch = winograd::patch_bytes(channel_stride(self.desc.x.c));
        let sums = TILE * TILE * CHANNELS * 4;
        let v = tiling.products_per_band() * self.desc.x.c * 2;
        let m =
            winograd::most_parts(self.desc.x.c / LANES) * tiling.tiles_per_band() * POSITIONS * CHANNELS * 4;
        [patch.max(sums), v, m]
    }

    pub fn scratch_bytes(&self) -> usize {
        match &self.winograd {
            Some(tiling) => self.winograd_scratch(tiling).iter().sum(),
            None => self.direct_scratch().iter().sum(),
        }
    }

    pub fn tasks(&self) -> usize {
        self.bands * self.splits
    }

    /// Returns the runs of output channels of one split.
    pub fn split(&self, split: usize) -> Range<usize> {
        let runs = self.runs();
        runs * split / self.splits..runs * (split + 1) / self.splits
    }
}

/// Returns the smallest divisor of `n` that is at least `wanted` (≤ n).
fn divisor_from(n: usize, wanted: usize) -> usize {
    (wanted..=n).find(|s| n.is_multiple_of(*s)).unwrap_or(n).min(2 * wanted.max(1)).max(1)
}
