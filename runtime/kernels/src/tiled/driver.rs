//! The loops around the register tile: they pack input rows, order panels and pixels, and call the tile.
//!
//! ```text
//! by panel:  pack rows; for panel { for tile of pixels { tile(panel, pixels) } }
//! by rows:   for block of rows { pack rows; for panel { for tile of pixels { tile(panel, pixels) } } }
//! ```
//! 1. Padding is added once: the rows of a block are copied into the scratch with the zero point around them. The
//!    tile therefore knows no borders, a kernel row is one run of bytes, and addresses within a tile are one
//!    offset from one pointer per pixel. A 1×1 convolution reads the tensor itself.
//! 2. Pixels are distributed evenly over tiles (49 pixels at 6 per tile are 4 × 6 + 5 × 5), so the last tile is
//!    never a single pixel that waits for its weights.

use core::ops::Range;

use super::epilogue::{Epilogue, MODES, Outputs};
use super::geometry::{Geometry, MAX_MR, Tiling};
use super::pack_a::pack_rows;
use super::pack_b::BlobLayout;
use crate::set::ConvArgs;
use crate::shape::ConvOutput;

/// The task of a register tile: up to [`MAX_MR`] pixels × one panel.
pub(crate) struct Tile {
    /// The input of each pixel at the first tap and the group's first channel; unused pointers are not read.
    pub x: [*const u8; MAX_MR],
    /// The panel's weights.
    pub weights: *const u8,
    /// See [`Geometry::segments`].
    pub segments: [usize; 2],
    /// See [`Geometry::segment_stride`].
    pub segment_stride: [usize; 2],
    /// See [`Geometry::steps`].
    pub steps: usize,
    /// The destination of the sums.
    pub out: Outputs,
}

/// A register tile.
///
/// # Safety
/// The CPU has the set's features; the pointers in [`Tile`] cover the range that its sizes imply.
pub(crate) type TileFn = unsafe fn(&Tile, &Epilogue);

/// The part of a convolution that an instruction set provides.
pub(crate) struct Kernels {
    pub tiling: &'static Tiling,
    /// The tiles by mode, vectors − 1, pixels − 1.
    pub tiles: &'static [[[TileFn; MAX_MR]; 4]; MODES],
    /// Subtracts a zero point while widening u8 to i16; for tilings that widen.
    pub widen: unsafe fn(from: *const u8, to: *mut u8, len: usize, zero: i16),
    /// The kernels for 3×3 convolutions for which Winograd pays.
    pub winograd: Option<&'static super::winograd::Kernels>,
}

/// Runs tasks of a convolution.
///
/// # Safety
/// The same as for [`crate::KernelSet::conv`], and the CPU has the features of `kernels`.
pub(crate) unsafe fn conv(args: &ConvArgs<'_>, tasks: Range<usize>, kernels: &Kernels) {
    if tasks.is_empty() {
        return;
    }
    let desc = args.desc;
    let g = Geometry::new(desc, kernels.tiling);
    let blob = BlobLayout::new(desc, kernels.tiling, &g);
    let driver = Driver { args, kernels, epilogue: Epilogue::new(args), blob };
    let all_panels = g.panels * desc.groups;
    if g.by_panel {
        let (first, last) = (tasks.start, tasks.end - 1);
        let (first_panel, last_panel) = (first / g.task_runs, last / g.task_runs);
        let rows = |panel: usize| {
            let from = if panel == first_panel { first % g.task_runs } else { 0 };
            let to = if panel == last_panel { last % g.task_runs + 1 } else { g.task_runs };
            g.run_start(desc, from)..g.run_start(desc, to)
        };
        let prepared = if first_panel == last_panel { rows(first_panel) } else { 0..desc.y.h };
        // SAFETY: guaranteed by the caller; the rows are the caller's tasks.
        unsafe {
            let x = pack_rows(args, kernels, &g, prepared.clone());
            for panel in first_panel..=last_panel {
                driver.panel(&g, panel, rows(panel), x, prepared.start);
            }
        }
    } else {
        let rows = g.run_start(desc, tasks.start)..g.run_start(desc, tasks.end);
        let blocks = rows.len().div_ceil(g.block_rows);
        for block in 0..blocks {
            let at = |i: usize| rows.start + i * rows.len() / blocks;
            let rows = at(block)..at(block + 1);
            // SAFETY: guaranteed by the caller; a block has at most `block_rows` rows, for which the scratch has
            // room.
            unsafe {
                let x = pack_rows(args, kernels, &g, rows.clone());
                for panel in 0..all_panels {
                    driver.panel(&g, panel, rows.clone(), x, rows.start);
                }
            }
        }
    }
}

struct Driver<'a> {
    args: &'a ConvArgs<'a>,
    kernels: &'a Kernels,
    epilogue: Epilogue,
    blob: BlobLayout,
}

impl Driver<'_> {
    /// Runs all tiles of one panel in the given output rows; `x` is the input of row `first_row`.
    ///
    /// # Safety
    /// The same as for [`conv`].
    unsafe fn panel(&self, g: &Geometry, panel: usize, rows: Range<usize>, x: *const u8, first_row: usize) {
        let (desc, args) = (self.args.desc, self.args);
        let tiling = self.kernels.tiling;
        let (group, in_group) = (panel / g.panels, panel % g.panels);
        let first_vector = in_group * tiling.nr_vectors;
        let n = tiling.nr_vectors.min(g.vectors - first_vector);
        let vector = group * g.vectors + first_vector;
        let first_channel = group * g.group_out + first_vector * tiling.lanes;
        let out_bytes = if desc.output == ConvOutput::Float32 { 4 } else { 1 };
        let row_bytes = g.columns * desc.x.c * g.element;
        let (row_step, pixel_step) = (desc.stride[0] * row_bytes, desc.stride[1] * desc.x.c * g.element);
        let count = rows.len() * desc.y.w;
        let tiles = count.div_ceil(tiling.mr[n]);
        let kernels = &self.kernels.tiles[self.epilogue.mode()][n - 1];
        // SAFETY: all addresses are inside the buffers whose sizes `Geometry` and `BlobLayout` returned for this
        // description; pointers that are not used (`y2` if there is none) are not dereferenced, and are computed
        // with wrapping arithmetic.
        unsafe {
            let mut tile = Tile {
                x: [x; MAX_MR],
                weights: args.blob.as_ptr().add(self.blob.weights + vector * self.blob.vector_bytes),
                segments: g.segments,
                segment_stride: g.segment_stride,
                steps: g.steps,
                out: Outputs {
                    constants: args.blob.as_ptr().add(vector * tiling.lanes * 4),
                    constants_stride: self.blob.constants,
                    skip: args.skip,
                    y: args.y,
                    y2: args.y2,
                    stride: desc.y.c,
                    channels: (g.group_out - first_vector * tiling.lanes).min(n * tiling.lanes),
                },
            };
            let mut row = x.add((rows.start - first_row) * row_step + group * desc.c_in() * g.element);
            let mut column = 0;
            let mut done = 0;
            for t in 0..tiles {
                let m = (t + 1) * count / tiles - done;
                for pixel in &mut tile.x[..m] {
                    *pixel = row.wrapping_add(column * pixel_step);
                    column += 1;
                    if column == desc.y.w {
                        column = 0;
                        row = row.wrapping_add(row_step);
                    }
                }
                let at = (rows.start * desc.y.w + done) * desc.y.c + first_channel;
                tile.out.skip = args.skip.wrapping_add(at);
                tile.out.y = args.y.wrapping_add(at * out_bytes);
                tile.out.y2 = args.y2.wrapping_add(at);
                kernels[m - 1](&tile, &self.epilogue);
                done += m;
            }
        }
    }
}
