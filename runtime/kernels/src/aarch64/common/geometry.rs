//! How a convolution is divided: the depth into blocks of eight, the channels into panels of eight, the pixels
//! into bands, and all of it into tasks. Everything here follows from the description alone, so a blob from an
//! untrusted file cannot influence any address.

use super::layout::{BLOCK, blocks, pitch};
use super::tile::{Tile, WIDEST};
use crate::shape::{ConvDesc, Source};

/// The largest size of one band's input, so that it stays in the second-level cache.
const BAND_BYTES: usize = 128 << 10;
/// The number of tasks to aim for: many, and evenly divisible by 2, 3, 4, 6 and 8 threads.
const TASKS: usize = 48;
/// The size of the header before the panels.
pub(crate) const HEADER: usize = 64;
/// Bytes of one row of panel constants: four vectors, in the order of a pixel pair's accumulators.
pub(crate) const CONSTANTS: usize = 64;
/// Bytes of weights for one panel and one block of depth.
pub(crate) const STEP: usize = BLOCK * BLOCK;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// The input is read in place: 1×1, no stride, no padding.
    pub direct: bool,
    /// Kernel taps that the tile loops over: all of them, or, for pixels, the kernel's rows.
    pub taps: usize,
    /// Blocks of depth per tap.
    pub depth: usize,
    /// Panels of eight output channels.
    pub panels: usize,
    /// Bytes of one panel in the blob.
    pub panel_bytes: usize,
    /// The part of it that precedes the weights.
    pub constant_bytes: usize,
    /// Output pixels per band; even, except in the last band.
    pub band: usize,
    /// Number of bands.
    pub bands: usize,
    /// The number of parts into which the panels are split, within each band.
    pub splits: usize,
    /// How bands are packed; meaningless when `direct`.
    pub packed: PackedBand,
}

/// A copy of a band's input in which every tap of the kernel reads one row of pixels without gaps.
///
/// `[block][kernel column][phase][slot][output column][8]`. Row `r` of the band's input (counted from its first
/// padded row) has phase `r mod stride` and slot `r / stride`, so that the rows that one kernel row reads follow
/// one another. There is one copy per kernel column, already shifted and strided. For pixels there are no kernel
/// columns, and the blocks are pieces of the kernel row's `kw·c` bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedBand {
    /// Output rows per band.
    pub rows: usize,
    /// Blocks of a kernel column.
    pub blocks: usize,
    /// Copies, one per kernel column.
    pub columns: usize,
    /// Row phases kept.
    pub phases: usize,
    /// Rows per phase.
    pub slots: usize,
    /// Bytes of one packed row.
    pub row_bytes: usize,
}

impl PackedBand {
    /// Bytes from one block to the next.
    pub(crate) const fn block_bytes(&self) -> usize {
        self.columns * self.phases * self.slots * self.row_bytes
    }

    /// Returns where the rows of kernel row `ky` and column `kx` begin, in a block.
    pub(crate) const fn tap_offset(&self, desc: &ConvDesc, ky: usize, kx: usize) -> usize {
        let row = ky * desc.dilation[0];
        let (phase, slot) = (row % desc.stride[0], row / desc.stride[0]);
        ((kx * self.phases + phase) * self.slots + slot) * self.row_bytes
    }

    fn new(desc: &ConvDesc, rows: usize) -> Self {
        let reach = (desc.kernel[0] - 1) * desc.dilation[0];
        let pixels = desc.source == Source::Pixels;
        Self {
            rows,
            blocks: if pixels { (desc.kernel[1] * desc.x.c).div_ceil(BLOCK) } else { blocks(desc.x.c) },
            columns: if pixels { 1 } else { desc.kernel[1] },
            phases: desc.stride[0].min(reach + 1),
            slots: rows + reach / desc.stride[0],
            row_bytes: desc.y.w * BLOCK,
        }
    }
}

/// Returns the instructions that a band of `pixels` takes per panel and block of depth.
const fn band_cost<T: Tile>(pixels: usize) -> usize {
    let [twelve, eight, four, two] = T::COST;
    pixels / WIDEST * twelve
        + match (pixels % WIDEST).next_multiple_of(2) {
            0 => 0,
            2 => two,
            4 => four,
            6 => four + two,
            8 => eight,
            10 => eight + two,
            _ => twelve,
        }
}

impl Geometry {
    /// Divides a validated convolution.
    pub(crate) fn new<T: Tile>(desc: &ConvDesc) -> Self {
        let pixels = desc.source == Source::Pixels;
        let direct = !pixels
            && desc.kernel == [1, 1]
            && desc.stride == [1, 1]
            && desc.pad == [0, 0]
            && desc.x.w == desc.y.w;
        let panels = blocks(desc.y.c);
        let (taps, depth) = if pixels {
            (desc.kernel[0], (desc.kernel[1] * desc.x.c).div_ceil(BLOCK))
        } else {
            let most = (0..panels)
                .map(|p| {
                    let (a, b) = needed_blocks(desc, p);
                    b - a
                })
                .max();
            (desc.kernel[0] * desc.kernel[1], most.unwrap_or(0))
        };
        let constant_bytes = if desc.output.has_affine() { 4 * CONSTANTS } else { 2 * CONSTANTS };
        let all = desc.y.pixels();
        let (packed, band) = if direct {
            let most = (BAND_BYTES / desc.x.c).max(4 * WIDEST);
            let band = all.div_ceil(all.div_ceil(most)).next_multiple_of(WIDEST);
            (PackedBand::new(desc, 1), band.min(all))
        } else {
            let rows = band_rows::<T>(desc, panels * taps * depth);
            (PackedBand::new(desc, rows), (rows * desc.y.w).min(all))
        };
        let bands = all.div_ceil(band);
        Self {
            direct,
            taps,
            depth,
            panels,
            panel_bytes: constant_bytes + taps * depth * STEP,
            constant_bytes,
            band,
            bands,
            splits: TASKS.div_ceil(bands).min(panels),
            packed,
        }
    }

    /// Returns the size in bytes of the blob.
    pub(crate) const fn blob_bytes(&self) -> usize {
        HEADER + self.panels * self.panel_bytes
    }

    /// Returns the size in bytes of the table of tap offsets at the start of the scratch.
    pub(crate) const fn table_bytes(&self) -> usize {
        (self.taps * 8).next_multiple_of(64)
    }

    /// Returns the size in bytes of the padded row of pixels after the packed band.
    pub(crate) const fn pixel_row_bytes(&self, desc: &ConvDesc) -> usize {
        match desc.source {
            Source::Tensor => 0,
            Source::Pixels => {
                let columns = (desc.y.w - 1) * desc.stride[1] + (desc.kernel[1] - 1) * desc.dilation[1] + 1;
                (columns * desc.x.c).next_multiple_of(64) + 64
            }
        }
    }

    /// Returns the size in bytes of the scratch: table, packed band, slack for the last pixel pair, a row of
    /// pixels.
    pub(crate) const fn scratch_bytes(&self, desc: &ConvDesc) -> usize {
        if self.direct {
            return 0;
        }
        self.table_bytes() + self.packed_bytes() + self.pixel_row_bytes(desc)
    }

    /// Returns the size in bytes of the packed band and its slack.
    pub(crate) const fn packed_bytes(&self) -> usize {
        (self.packed.blocks * self.packed.block_bytes()).next_multiple_of(64) + 64
    }

    /// Returns the distance in bytes from one block of depth to the next.
    pub(crate) const fn block_stride(&self, desc: &ConvDesc) -> usize {
        if self.direct { pitch(desc.x) } else { self.packed.block_bytes() }
    }

    /// Returns the number of pixels that all panels of a band process before the next ones.
    pub(crate) fn group<T: Tile>(&self) -> usize {
        let Some(bytes) = T::GROUP else { return self.band };
        (bytes / (self.taps * self.depth * BLOCK) / WIDEST).max(1) * WIDEST
    }

    /// Returns the first input block that panel `p` reads; it reads `depth` of them.
    pub(crate) fn first_block(&self, desc: &ConvDesc, panel: usize) -> usize {
        if desc.groups == 1 {
            return 0;
        }
        needed_blocks(desc, panel).0.min(blocks(desc.x.c) - self.depth)
    }
}

/// Returns the input blocks that the groups of panel `p` are in.
fn needed_blocks(desc: &ConvDesc, panel: usize) -> (usize, usize) {
    let (group_in, group_out) = (desc.c_in(), desc.y.c / desc.groups);
    let first = panel * BLOCK / group_out;
    let last = (panel * BLOCK + BLOCK - 1).min(desc.y.c - 1) / group_out;
    (first * group_in / BLOCK, ((last + 1) * group_in).div_ceil(BLOCK))
}

/// Returns the number of output rows per band with the lowest cost: full tiles, and few rows packed twice. Every
/// band except the last has an even number of pixels, as tiles write pixels in pairs.
fn band_rows<T: Tile>(desc: &ConvDesc, steps: usize) -> usize {
    let cost = |rows: usize| {
        let packed = PackedBand::new(desc, rows);
        let packed = packed.blocks * packed.columns * packed.phases * packed.slots * (16 + desc.y.w / 2);
        let (whole, rest) = (desc.y.h / rows, desc.y.h % rows);
        let tiles = whole * band_cost::<T>(rows * desc.y.w) + band_cost::<T>(rest * desc.y.w);
        tiles.saturating_mul(steps).saturating_add(packed.saturating_mul(whole + usize::from(rest > 0)))
    };
    let fits = |rows: &usize| {
        let packed = PackedBand::new(desc, *rows);
        *rows <= 2 || packed.blocks * packed.block_bytes() <= BAND_BYTES
    };
    let even = |rows: &usize| (*rows * desc.y.w).is_multiple_of(2) || *rows == desc.y.h;
    (1..=desc.y.h.min(64)).take_while(fits).filter(even).min_by_key(|&r| cost(r)).unwrap_or(desc.y.h)
}
