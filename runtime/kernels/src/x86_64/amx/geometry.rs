//! How a convolution is divided into segments, blocks, panels and tasks.
//!
//! AMX's `tileloadd` reads 16 rows at one stride, so the pixels of a tile must be evenly spaced in memory. They
//! are in a tensor that a 1×1 convolution reads (*direct*). Otherwise the input rows are copied such that output
//! pixel `p = row·width + column` reads from `p·step` on. `width` is a little more than the image's, and the
//! pixels in the gaps between rows are computed and dropped (14 columns in rows of 16).
//!
//! *Plane*: with a vertical stride `s`, input rows are distributed over `s` planes by their number modulo `s`, so
//! that within a plane consecutive output rows read consecutive input rows. *Segment*: a run of input bytes that
//! meets one run of weights: a kernel row; divided into *steps* of 64. Pixels of the network's input have so few
//! channels that a kernel row would leave most of a step empty. In this case the rows under the kernel are
//! interleaved column by column (a plane row for each output row), and the whole window is one segment. *Block*:
//! two tiles of 16 pixels. *Panel*: up to 64 output channels. *Task*: a run of blocks of one panel (`by_panel`) or
//! of all panels; the choice is as in [`crate::tiled::geometry`].

use crate::shape::{ConvDesc, MAX_KERNEL, Source};
use crate::tiled::geometry::SLACK;

/// Pixels of a tile.
pub(super) const TILE: usize = 16;
/// MR: pixels of a block.
pub(super) const MR: usize = 2 * TILE;
/// Channels of a tile, one vector.
pub(super) const LANES: usize = 16;
/// NR in vectors: the largest number of vectors in a panel.
pub(super) const NR_VECTORS: usize = 4;
/// KR: the bytes of input that one instruction takes from each pixel.
pub(super) const KR: usize = 64;
/// Bytes of a tile of weights.
pub(super) const WEIGHT_TILE: usize = KR * LANES;
/// The size of a block's sums in bytes: [pixel][vector][lane] i32.
pub(super) const SUMS: usize = MR * NR_VECTORS * LANES * 4;
/// The size of copied input that goes through all panels at once; it shares the second-level cache with the
/// weights.
const COPY_BYTES: usize = 128 << 10;
/// The number of tasks to aim for, so that eight threads end at the same time.
const TASKS: usize = 24;

/// See the module.
pub(super) struct Geometry {
    /// Whether tiles read the tensor itself.
    pub direct: bool,
    /// Whether the rows under the kernel are interleaved.
    pub interleaved: bool,
    /// Whether the kernel has one column, so that only the columns that are read are copied.
    pub gathered: bool,
    /// Planes of copied input.
    pub planes: usize,
    /// The rows of a plane that the largest piece of work needs.
    pub plane_rows: usize,
    /// The rows of a plane after those of the output rows themselves.
    pub reach: usize,
    /// Segments.
    pub segments: usize,
    /// The distances from a pixel's address to each of its segments.
    pub offsets: [usize; MAX_KERNEL],
    /// The steps of a segment, the last one padded with zero weights.
    pub steps: usize,
    /// The distance from pixel to pixel in bytes.
    pub step: usize,
    /// The distance from row to row in pixels.
    pub width: usize,
    /// The number of pixels from the first to the last, gaps included.
    pub count: usize,
    /// Blocks of pixels.
    pub blocks: usize,
    /// Vectors of output channels.
    pub vectors: usize,
    /// Panels.
    pub panels: usize,
    /// Whether tasks are (panel, run of blocks) rather than (run of blocks).
    pub by_panel: bool,
    /// The number of runs into which the blocks are divided.
    pub task_runs: usize,
    /// The number of output rows for which input is copied at once.
    pub block_rows: usize,
}

/// A block of pixels.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// The first pixel that is computed. The last block begins early rather than end late.
    pub start: usize,
    /// The number of pixels computed.
    pub len: usize,
    /// The first pixel that no other block has.
    pub first: usize,
}

impl Geometry {
    /// Returns whether tiles suit the convolution; if not, `avx512vnni` computes it. They do not suit groups,
    /// whose depth is short, nor a 3×3 window of RGB, which fills less than half of a step, nor a handful of
    /// pixels, for which most of the work on weights is wasted.
    pub fn suits(desc: &ConvDesc) -> bool {
        let shallow = desc.source == Source::Pixels && desc.depth() < KR / 2;
        desc.groups == 1 && desc.dilation[1] == 1 && desc.y.pixels() >= 8 && !shallow
    }

    /// Divides a validated convolution that [`Geometry::suits`].
    pub fn new(desc: &ConvDesc) -> Self {
        let [kh, kw] = desc.kernel;
        let [sy, sx] = desc.stride;
        let (c, rows, columns) = (desc.x.c, desc.y.h, desc.y.w);
        let interleaved = desc.source == Source::Pixels;
        let direct = desc.is_pointwise() && !interleaved;
        let gathered = kw == 1 && !interleaved;
        let reach_down = (kh - 1) * desc.dilation[0];
        let column = if interleaved { kh * c } else { c };
        let (width, step) =
            if gathered { (columns, c) } else { (((columns - 1) * sx + kw).div_ceil(sx), sx * column) };
        let planes = if interleaved { 1 } else { sy.min(reach_down + 1) };
        let reach = if interleaved { 0 } else { reach_down / sy };
        let segments = if interleaved { 1 } else { kh };
        let run = kw * column;
        let count = (rows - 1) * width + columns;
        let blocks = count.div_ceil(MR);
        let vectors = desc.y.c.div_ceil(LANES);
        let panels = vectors.div_ceil(NR_VECTORS);
        let by_panel = desc.y.c * desc.depth() >= desc.x.len();
        let task_runs = if by_panel { TASKS.div_ceil(panels) } else { TASKS }.clamp(1, blocks);
        // The largest number of rows in a block.
        let least = ((MR - 1) / width + 2).min(rows);
        let fits = (COPY_BYTES / (planes * width * step)).saturating_sub(reach);
        let block_rows = if by_panel { rows } else { fits.clamp(least, rows) };
        let plane_rows = block_rows + reach;
        let mut offsets = [0; MAX_KERNEL];
        if !direct {
            for (i, offset) in offsets.iter_mut().enumerate().take(segments) {
                let down = i * desc.dilation[0];
                *offset = (down % sy * plane_rows + down / sy) * width * step;
            }
        }
        Self {
            direct,
            interleaved,
            gathered,
            planes,
            plane_rows,
            reach,
            segments,
            offsets,
            steps: run.div_ceil(KR),
            step,
            width,
            count,
            blocks,
            vectors,
            panels,
            by_panel,
            task_runs,
            block_rows,
        }
    }

    /// Returns the size in bytes of a row of a plane.
    pub fn row_bytes(&self) -> usize {
        self.width * self.step
    }

    /// Returns block number `i`.
    pub fn block(&self, i: usize) -> Block {
        let first = i * MR;
        let rest = self.count - first;
        let len = if rest <= TILE { TILE } else { MR };
        if rest >= MR {
            Block { start: first, len, first }
        } else {
            Block { start: self.count.saturating_sub(len), len: len.min(self.count), first }
        }
    }

    /// Returns the output rows that a run of blocks touches.
    pub fn rows(&self, blocks: core::ops::Range<usize>) -> core::ops::Range<usize> {
        let last = self.block(blocks.end - 1);
        let start = self.block(blocks.start).start;
        start / self.width..(last.start + last.len - 1) / self.width + 1
    }

    /// Returns the first block of a run of blocks.
    pub fn run_start(&self, run: usize) -> usize {
        run * self.blocks / self.task_runs
    }

    /// Returns the number of tasks.
    pub fn tasks(&self) -> usize {
        if self.by_panel { self.panels * self.task_runs } else { self.task_runs }
    }

    /// Returns the size in bytes of two blocks' sums and the copied input with slack.
    pub fn scratch_bytes(&self) -> usize {
        let copy = if self.direct { 0 } else { self.planes * self.plane_rows * self.row_bytes() + SLACK };
        (2 * SUMS + copy).next_multiple_of(64)
    }

    /// Returns the size in bytes of the weights of one vector of output channels.
    pub fn vector_bytes(&self) -> usize {
        self.segments * self.steps * WEIGHT_TILE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::resnet_layers;

    #[test]
    fn blocks_cover_every_pixel_once_and_none_outside() {
        let layers = ["resnet50", "resnet18", "cifar"].into_iter().flat_map(resnet_layers);
        for (name, _, desc) in layers.filter(|l| Geometry::suits(&l.2)) {
            let g = Geometry::new(&desc);
            let mut next = 0;
            for b in (0..g.blocks).map(|i| g.block(i)) {
                assert_eq!(b.first, next, "{name}");
                assert!(b.start <= b.first && b.start + b.len <= g.count, "{name}");
                next = b.start + b.len;
            }
            assert_eq!(next, g.count, "{name}");
        }
    }
}
