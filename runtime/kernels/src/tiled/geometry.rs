//! How a convolution is divided into segments, panels, tiles and tasks.
//!
//! *Segment*: a run of input values that are contiguous in memory and meet one run of weights. It is a whole
//! kernel row (kernel width × channels) if the columns are adjacent, otherwise one tap. *Panel*: up to
//! `nr_vectors` × `lanes` output channels of one group. *Tile*: up to `mr[n]` output pixels × one panel of n
//! vectors, kept in registers over the whole depth. *Task*: the work that one thread takes, a run of output rows
//! of one panel (`by_panel`) or of all panels.
//!
//! The order depends on which is larger. If the weights are larger than the image (late layers), work goes panel
//! by panel, so that each weight is read once and the image stays in the cache. Otherwise a block of rows goes
//! through all panels, so that each input is read once and the weights stay in the cache.

use crate::shape::{ConvDesc, Source};

/// The register tile of an instruction set.
pub(crate) struct Tiling {
    /// 32-bit accumulators per vector.
    pub lanes: usize,
    /// NR in vectors: the largest number of vectors of output channels in a tile.
    pub nr_vectors: usize,
    /// MR: the largest number of pixels in a tile of n vectors, by n.
    pub mr: [usize; 5],
    /// KR: consecutive MACs that one accumulator lane takes per step.
    pub kr: usize,
    /// Whether the tile requires its input as i16 with the zero point subtracted, so that it is always copied.
    pub widen: bool,
}

/// The largest number of pixels in any tile.
pub(crate) const MAX_MR: usize = 8;
/// Bytes after an activation that kernels may read: the last group of four, and a vector of pooling.
pub(crate) const SLACK: usize = 64;
/// Input bytes of a block of rows that goes through all panels; leaves half of a 512 kB cache for weights.
const BLOCK_BYTES: usize = 160 << 10;
/// The number of tasks to aim for, so that eight threads end at the same time.
const TASKS: usize = 24;

/// See the module.
pub(crate) struct Geometry {
    /// Whether the tile reads the input tensor itself, because there is nothing to pad or to widen.
    pub direct: bool,
    /// Columns of a row that the tile reads from; `x.w` or the padded width.
    pub columns: usize,
    /// The size of one value there in bytes.
    pub element: usize,
    /// The number of segments: rows × columns.
    pub segments: [usize; 2],
    /// The distance from segment to segment in bytes.
    pub segment_stride: [usize; 2],
    /// Values in a segment.
    pub segment_len: usize,
    /// Steps (of `kr` values) in a segment, the last one padded with zero weights.
    pub steps: usize,
    /// Output channels of a group.
    pub group_out: usize,
    /// Vectors of output channels per group.
    pub vectors: usize,
    /// Panels per group.
    pub panels: usize,
    /// Whether tasks are (panel, run of rows) rather than (run of rows).
    pub by_panel: bool,
    /// The number of runs into which the output rows are divided.
    pub task_runs: usize,
    /// The number of output rows for which input is prepared at once.
    pub block_rows: usize,
}

impl Geometry {
    /// Divides a validated convolution.
    pub fn new(desc: &ConvDesc, tiling: &Tiling) -> Self {
        let reach = |a: usize| (desc.kernel[a] - 1) * desc.dilation[a];
        let columns = (desc.y.w - 1) * desc.stride[1] + reach(1) + 1;
        let inside = desc.pad == [0, 0]
            && columns <= desc.x.w
            && (desc.y.h - 1) * desc.stride[0] + reach(0) < desc.x.h;
        let direct = inside && !tiling.widen && desc.source == Source::Tensor;
        let columns = if direct { desc.x.w } else { columns };
        let element = if tiling.widen { 2 } else { 1 };
        let pixel = desc.x.c * element;
        let joined = desc.groups == 1 && desc.dilation[1] == 1;
        let (across, segment_len) =
            if joined { (1, desc.kernel[1] * desc.x.c) } else { (desc.kernel[1], desc.c_in()) };
        let group_out = desc.y.c / desc.groups;
        let vectors = group_out.div_ceil(tiling.lanes);
        let panels = vectors.div_ceil(tiling.nr_vectors);
        let steps = segment_len.div_ceil(tiling.kr);
        let all_panels = panels * desc.groups;
        let weights = desc.y.c * desc.depth();
        let row = columns * pixel;
        let by_panel = weights >= row * (desc.y.h * desc.stride[0] + reach(0));
        let task_runs =
            if by_panel { TASKS.div_ceil(all_panels) } else { desc.y.h.min(TASKS) }.clamp(1, desc.y.h);
        let block_rows = if by_panel {
            desc.y.h
        } else {
            ((BLOCK_BYTES / row).saturating_sub(reach(0)) / desc.stride[0]).clamp(1, desc.y.h)
        };
        Self {
            direct,
            columns,
            element,
            segments: [desc.kernel[0], across],
            segment_stride: [desc.dilation[0] * row, desc.dilation[1] * pixel],
            segment_len,
            steps,
            group_out,
            vectors,
            panels,
            by_panel,
            task_runs,
            block_rows,
        }
    }

    /// Returns the number of steps over the whole depth.
    pub fn depth_steps(&self) -> usize {
        self.segments[0] * self.segments[1] * self.steps
    }

    /// Returns the size in bytes, with slack, of the rows that the tiles of `block_rows` output rows read.
    pub fn scratch_bytes(&self, desc: &ConvDesc) -> usize {
        if self.direct {
            return 0;
        }
        let rows = (self.block_rows - 1) * desc.stride[0] + (desc.kernel[0] - 1) * desc.dilation[0] + 1;
        (rows * self.columns * desc.x.c * self.element + SLACK).next_multiple_of(64)
    }

    /// Returns the number of tasks.
    pub fn tasks(&self, desc: &ConvDesc) -> usize {
        if self.by_panel { self.task_runs * self.panels * desc.groups } else { self.task_runs }
    }

    /// Returns the first output row of a run; runs differ by at most one row.
    pub fn run_start(&self, desc: &ConvDesc, run: usize) -> usize {
        run * desc.y.h / self.task_runs
    }
}
