//! Walks a convolution's tiles: prepares input rows, orders panels and pixels, calls the register tile.
//!
//! ```text
//! by panel:  prepare rows; for panel { for tile of pixels { tile(panel, pixels) } }
//! by rows:   for block of rows { prepare rows; for panel { for tile of pixels { tile(panel, pixels) } } }
//! ```
//! 1. Padding is made once, by copying the rows of a block into the scratch with the zero point around
//!    them; so the tile knows no borders, a kernel row is one run of bytes, and addresses within a tile
//!    are one offset from one pointer per pixel. A 1×1 convolution reads the tensor itself.
//! 2. Pixels are spread evenly over tiles (49 pixels at 6 a tile are 4 × 6 + 5 × 5): the rest is never a
//!    tile of one pixel that waits for its weights.

use core::ops::Range;

use super::geometry::{Geometry, MAX_PIXELS, SLACK, Tiling};
use super::pack::BlobLayout;
use crate::quant::Requant;
use crate::set::{ConvArgs, ConvScalars};
use crate::shape::{ConvOutput, Source};

/// What a register tile computes: up to [`MAX_PIXELS`] pixels × one panel.
pub(super) struct Tile {
    /// Input of each pixel at the first tap and the group's first channel; unused ones are not read.
    pub x: [*const u8; MAX_PIXELS],
    /// The panel's weights.
    pub weights: *const u8,
    /// See [`Geometry::segments`].
    pub segments: [usize; 2],
    /// See [`Geometry::segment_stride`].
    pub segment_stride: [usize; 2],
    /// See [`Geometry::steps`].
    pub steps: usize,
    /// Where the sums go.
    pub out: Outputs,
}

/// What an epilogue reads and writes: some pixels × one panel.
#[derive(Clone, Copy)]
pub(super) struct Outputs {
    /// Biases of the panel; multiplier, gain and offset each follow at `constants_stride` bytes.
    pub constants: *const u8,
    /// See `constants`.
    pub constants_stride: usize,
    /// First channel of the first pixel in the residual; dangling without one.
    pub skip: *const u8,
    /// First channel of the first pixel in `y` (f32 values for logits).
    pub y: *mut u8,
    /// The same of `y2`.
    pub y2: *mut u8,
    /// Bytes from pixel to pixel in the three above.
    pub stride: usize,
    /// Channels of the panel that exist.
    pub channels: usize,
}

/// One output's rounding, as the vector code wants it.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// `lo − zero`.
    pub lo: f32,
    /// `hi − zero`.
    pub hi: f32,
    /// Zero point of the unsigned byte: `zero + 128`.
    pub zero: i32,
    /// Lowest unsigned byte: `lo + 128`.
    pub lo_byte: u8,
}

impl Bounds {
    /// For a requantization.
    pub fn new(r: Requant) -> Self {
        let (lo, hi) = r.bounds();
        Self { lo, hi, zero: i32::from(r.zero) + 128, lo_byte: r.lo as u8 ^ 0x80 }
    }
}

/// What happens behind the sum; the same for all tiles of a convolution.
pub(super) struct Epilogue {
    pub output: ConvOutput,
    pub has_skip: bool,
    /// Zero point of the residual's unsigned bytes.
    pub skip_zero: f32,
    pub skip_multiplier: f32,
    pub y: Bounds,
    pub y2: Bounds,
}

impl Epilogue {
    pub fn new(args: &ConvArgs<'_>) -> Self {
        let s = args.scalars;
        Self {
            output: args.desc.output,
            has_skip: args.desc.skip,
            skip_zero: f32::from(s.skip_zero) + 128.0,
            skip_multiplier: s.skip_multiplier,
            y: Bounds::new(s.y),
            y2: Bounds::new(s.y2),
        }
    }

    /// The kernels that this epilogue needs, as an index into [`Kernels::tiles`].
    pub fn mode(&self) -> usize {
        match (self.output, self.has_skip) {
            (ConvOutput::Int8, false) => INT8,
            (ConvOutput::Int8, true) => INT8_SKIP,
            (ConvOutput::Int8AndAffine, true) => BOTH_SKIP,
            _ => ANY,
        }
    }
}

/// Epilogue: one int8 output.
pub(super) const INT8: usize = 0;
/// Epilogue: one int8 output, residual.
pub(super) const INT8_SKIP: usize = 1;
/// Epilogue: int8 and affine output, residual.
pub(super) const BOTH_SKIP: usize = 2;
/// Epilogue: whatever [`Epilogue`] says.
pub(super) const ANY: usize = 3;
/// Number of the above.
pub(super) const MODES: usize = 4;

/// A register tile.
///
/// # Safety
/// The CPU has the set's features; the pointers in [`Tile`] cover what the sizes in it imply.
pub(super) type TileFn = unsafe fn(&Tile, &Epilogue);

/// An instruction set's part in a convolution.
pub(super) struct Kernels {
    pub tiling: &'static Tiling,
    /// By mode, vectors − 1, pixels − 1.
    pub tiles: &'static [[[TileFn; MAX_PIXELS]; 4]; MODES],
    /// Subtracts a zero point while widening u8 to i16; for tilings that widen.
    pub widen: unsafe fn(from: *const u8, to: *mut u8, len: usize, zero: i16),
    /// For 3×3 convolutions that Winograd's way suits.
    pub winograd: Option<&'static super::winograd::Kernels>,
}

/// Runs tasks of a convolution.
///
/// # Safety
/// As [`crate::KernelSet::conv`], and the CPU has the features of `kernels`.
pub(super) unsafe fn conv(args: &ConvArgs<'_>, tasks: Range<usize>, kernels: &Kernels) {
    if tasks.is_empty() {
        return;
    }
    let desc = args.desc;
    let g = Geometry::new(desc, kernels.tiling);
    let blob = BlobLayout::new(desc, kernels.tiling, &g);
    let walk = Walk { args, kernels, epilogue: Epilogue::new(args), blob };
    let all_panels = g.panels * desc.groups;
    if g.by_panel {
        let (first, last) = (tasks.start, tasks.end - 1);
        let (first_panel, last_panel) = (first / g.chunks, last / g.chunks);
        let rows = |panel: usize| {
            let from = if panel == first_panel { first % g.chunks } else { 0 };
            let to = if panel == last_panel { last % g.chunks + 1 } else { g.chunks };
            g.chunk_start(desc, from)..g.chunk_start(desc, to)
        };
        let prepared = if first_panel == last_panel { rows(first_panel) } else { 0..desc.y.h };
        // SAFETY: the caller's contract; the rows are the caller's tasks.
        unsafe {
            let x = walk.prepare(&g, prepared.clone());
            for panel in first_panel..=last_panel {
                walk.panel(&g, panel, rows(panel), x, prepared.start);
            }
        }
    } else {
        let rows = g.chunk_start(desc, tasks.start)..g.chunk_start(desc, tasks.end);
        let blocks = rows.len().div_ceil(g.block_rows);
        for block in 0..blocks {
            let at = |i: usize| rows.start + i * rows.len() / blocks;
            let rows = at(block)..at(block + 1);
            // SAFETY: the caller's contract; a block has at most `block_rows` rows, which is what the
            // scratch is made for.
            unsafe {
                let x = walk.prepare(&g, rows.clone());
                for panel in 0..all_panels {
                    walk.panel(&g, panel, rows.clone(), x, rows.start);
                }
            }
        }
    }
}

struct Walk<'a> {
    args: &'a ConvArgs<'a>,
    kernels: &'a Kernels,
    epilogue: Epilogue,
    blob: BlobLayout,
}

impl Walk<'_> {
    /// Makes the input of the given output rows ready and returns where the first one's begins.
    ///
    /// # Safety
    /// As [`conv`]; `rows` has at most `block_rows` rows inside the output.
    unsafe fn prepare(&self, g: &Geometry, rows: Range<usize>) -> *const u8 {
        let desc = self.args.desc;
        let (c, x) = (desc.x.c, self.args.x);
        if g.direct {
            // SAFETY: without padding, a row's first tap is inside the tensor.
            return unsafe { x.add(rows.start * desc.stride[0] * desc.x.w * c) };
        }
        let scratch = self.args.scratch;
        let first = rows.start * desc.stride[0];
        let count = (rows.len() - 1) * desc.stride[0] + (desc.kernel[0] - 1) * desc.dilation[0] + 1;
        let inside = desc.x.w.min(g.columns - desc.pad[1]);
        let row_bytes = g.columns * c * g.element;
        for i in 0..count {
            // SAFETY: `count` rows of `row_bytes` and the slack are what `scratch_bytes` asked for, and
            // rows and columns that are read lie inside the input.
            unsafe {
                let to = scratch.add(i * row_bytes);
                match (first + i).checked_sub(desc.pad[0]).filter(|&iy| iy < desc.x.h) {
                    None => self.fill(to, g.columns),
                    Some(iy) => {
                        self.fill(to, desc.pad[1]);
                        let to = to.add(desc.pad[1] * c * g.element);
                        self.copy(x.add(iy * desc.x.w * c), to, inside * c);
                        self.fill(to.add(inside * c * g.element), g.columns - desc.pad[1] - inside);
                    }
                }
            }
        }
        // SAFETY: the slack is part of the scratch. It meets zero weights only, but is read.
        unsafe { scratch.add(count * row_bytes).write_bytes(0, SLACK) };
        scratch
    }

    /// Writes `columns` columns of padding.
    ///
    /// # Safety
    /// `to` has room for them.
    unsafe fn fill(&self, to: *mut u8, columns: usize) {
        let c = self.args.desc.x.c;
        let zero: &ConvScalars = self.args.scalars;
        // SAFETY: the caller's contract.
        unsafe {
            if self.kernels.tiling.widen {
                to.write_bytes(0, 2 * columns * c);
            } else if self.args.desc.source == Source::Tensor {
                to.write_bytes(zero.x_zero[0] as u8 ^ 0x80, columns * c);
            } else {
                for i in 0..columns * c {
                    *to.add(i) = zero.x_zero[i % c] as u8 ^ 0x80;
                }
            }
        }
    }

    /// Copies `len` values of input, from a pixel's first channel on.
    ///
    /// # Safety
    /// `from` holds them, `to` has room for them.
    unsafe fn copy(&self, from: *const u8, to: *mut u8, len: usize) {
        let (desc, zero) = (self.args.desc, &self.args.scalars.x_zero);
        // SAFETY: the caller's contract.
        unsafe {
            if !self.kernels.tiling.widen {
                core::ptr::copy_nonoverlapping(from, to, len);
            } else if desc.source == Source::Tensor {
                (self.kernels.widen)(from, to, len, i16::from(zero[0]) + 128);
            } else {
                for i in 0..len {
                    let value = i16::from(*from.add(i)) - i16::from(zero[i % desc.x.c]) - 128;
                    to.cast::<i16>().add(i).write_unaligned(value);
                }
            }
        }
    }

    /// All tiles of one panel in the given output rows; `x` is the input of row `first_row`.
    ///
    /// # Safety
    /// As [`conv`].
    unsafe fn panel(&self, g: &Geometry, panel: usize, rows: Range<usize>, x: *const u8, first_row: usize) {
        let (desc, args) = (self.args.desc, self.args);
        let tiling = self.kernels.tiling;
        let (group, in_group) = (panel / g.panels, panel % g.panels);
        let first_slot = in_group * tiling.vectors;
        let n = tiling.vectors.min(g.slots - first_slot);
        let slot = group * g.slots + first_slot;
        let first_channel = group * g.group_out + first_slot * tiling.lanes;
        let out_bytes = if desc.output == ConvOutput::Float32 { 4 } else { 1 };
        let row_bytes = g.columns * desc.x.c * g.element;
        let (row_step, pixel_step) = (desc.stride[0] * row_bytes, desc.stride[1] * desc.x.c * g.element);
        let count = rows.len() * desc.y.w;
        let tiles = count.div_ceil(tiling.pixels[n]);
        let kernels = &self.kernels.tiles[self.epilogue.mode()][n - 1];
        // SAFETY: all addresses are inside the buffers whose sizes `Geometry` and `BlobLayout` gave for
        // this description; pointers that are not used (`y2` without one) are not dereferenced, and
        // computed with wrapping arithmetic.
        unsafe {
            let mut tile = Tile {
                x: [x; MAX_PIXELS],
                weights: args.blob.as_ptr().add(self.blob.weights + slot * self.blob.slot),
                segments: g.segments,
                segment_stride: g.segment_stride,
                steps: g.steps,
                out: Outputs {
                    constants: args.blob.as_ptr().add(slot * tiling.lanes * 4),
                    constants_stride: self.blob.constants,
                    skip: args.skip,
                    y: args.y,
                    y2: args.y2,
                    stride: desc.y.c,
                    channels: (g.group_out - first_slot * tiling.lanes).min(n * tiling.lanes),
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
