//! The 3×3 convolutions that `neon` computes by Winograd, and their tiles. Both follow from the description alone and
//! are in every build, so that a host knows what a board will do. `aarch64/neon/winograd` runs them.

use crate::shape::{ConvDesc, ConvOutput, Source};
use crate::winograd::{DEPTH, POSITIONS, REACH, TILE};

/// Bytes of depth that the direct kernel's tile takes per step.
pub const DEPTH_STEP: usize = 32;
/// Output channels that a convolution's sums are made for at once.
pub const CHANNELS: usize = 16;
/// Bytes per vector, to whole ones of which a pixel's channels are rounded up.
pub const VECTOR: usize = 16;
/// The largest number of tiles per band, so that a band's transformed input stays within a few hundred kB.
const BAND_TILES: usize = 32;
/// The points that tiles of both sizes have.
const COMMON: usize = REACH - 1;

/// The tiles along one side: first those of four, then those of three.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub fours: usize,
    pub threes: usize,
}

impl Axis {
    fn new(outputs: usize) -> Self {
        let tiles = outputs.div_ceil(TILE);
        let threes = (tiles * TILE - outputs).min(tiles);
        Self { fours: tiles - threes, threes }
    }

    pub fn tiles(&self) -> usize {
        self.fours + self.threes
    }
}

/// The tiles of a layer's output and their bands.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
    /// The rows of tiles per band.
    pub(crate) high: usize,
}

impl Tiling {
    /// Returns the tiles of an output of `h` rows and `w` columns.
    pub fn new(h: usize, w: usize) -> Self {
        let (rows, columns) = (Axis::new(h), Axis::new(w));
        let most = (BAND_TILES / columns.tiles()).max(1);
        let high = rows.tiles().div_ceil(rows.tiles().div_ceil(most));
        Self { rows, columns, high }
    }

    /// Returns their number.
    pub fn tiles(&self) -> usize {
        self.rows.tiles() * self.columns.tiles()
    }

    /// Returns the number of bands of rows of tiles; the weights are read once for each.
    pub fn bands(&self) -> usize {
        self.rows.tiles().div_ceil(self.high)
    }

    /// Returns the largest number of tiles in any band.
    pub fn tiles_per_band(&self) -> usize {
        self.high * self.columns.tiles()
    }

    /// Returns the entries of V of one channel for the whole output; these are MACs per input and output channel.
    pub fn products(&self) -> usize {
        let line = |a: &Axis| a.fours * REACH + a.threes * COMMON;
        line(&self.rows) * line(&self.columns)
    }

    /// Returns the largest number of entries of V of one channel in any band.
    pub fn products_per_band(&self) -> usize {
        self.high * REACH * (self.columns.fours * REACH + self.columns.threes * COMMON)
    }
}

/// Returns the bytes per tap in a row of the direct kernel. Groups and pixels are packed without gaps; with so few
/// channels, most of a vector would be gap.
pub fn tap_bytes(desc: &ConvDesc) -> usize {
    let dense = desc.source == Source::Pixels || desc.groups > 1;
    if dense { desc.c_in() } else { desc.x.c.next_multiple_of(VECTOR) }
}

/// Returns the bytes of a row of the direct kernel, the values under one output pixel's window.
pub fn row_bytes(desc: &ConvDesc) -> usize {
    (desc.kernel[0] * desc.kernel[1] * tap_bytes(desc)).next_multiple_of(DEPTH_STEP)
}

/// Returns the tiles of a layer if Winograd can compute it at a lower cost. The cost is the number of instructions
/// plus a quarter of one for each byte of weights streamed from memory once per band.
pub fn winograd(d: &ConvDesc) -> Option<Tiling> {
    let possible = d.kernel == [3, 3]
        && d.stride == [1, 1]
        && d.dilation == [1, 1]
        && d.groups == 1
        && d.source == Source::Tensor
        && d.x.c.is_multiple_of(DEPTH)
        && d.y.c.is_multiple_of(CHANNELS)
        && d.output != ConvOutput::Float32;
    if !possible {
        return None;
    }
    let tiling = Tiling::new(d.y.h, d.y.w);
    let (c_in, c_out, pixels, row) = (d.x.c as u64, d.y.c as u64, d.y.pixels() as u64, row_bytes(d) as u64);
    let product = tiling.products() as u64 * c_in * c_out * 10 / 37;
    let transforms = tiling.tiles() as u64 * (40 * c_in + 45 * c_out);
    let weights = POSITIONS as u64 * 2 * c_in * c_out * tiling.bands() as u64;
    let direct = pixels * c_out * row * 10 / 57 + pixels * c_out + row * c_out / 4;
    (product + transforms + weights / 4 < direct).then_some(tiling)
}
