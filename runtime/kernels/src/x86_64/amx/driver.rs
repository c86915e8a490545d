//! The loops around the tile: blocks of pixels and panels.
//!
//! ```text
//! by panel:  pack; for panel { for block { multiply; finish the block before } }
//! by block:  for piece of rows { pack; for block { for panel { multiply; finish the one before } } }
//! ```
//! A block's sums go through memory (the only destination of tiles) and are converted to bytes between the
//! multiplications of the *next* block: by then they have left the store queue. The intention was that tiles and
//! vectors, which are different units, work at the same time; see the parent module for measurements.

use core::ops::Range;

use super::epilogue::{FINISH, FinishFn, Pending};
use super::geometry::{Geometry, LANES, MR, NR_VECTORS, SUMS, TILE};
use super::pack_a::pack_rows;
use super::pack_b::BlobLayout;
use super::tile::{Product, Tiles, product};
use crate::set::ConvArgs;
use crate::tiled::epilogue::{Epilogue, Outputs};

/// Runs tasks of a convolution that [`Geometry::suits`].
///
/// # Safety
/// The same as for [`crate::KernelSet::conv`], the CPU has AMX-INT8 and AVX-512 VNNI, and the process may use them.
pub(super) unsafe fn conv(args: &ConvArgs<'_>, tasks: Range<usize>) {
    if tasks.is_empty() {
        return;
    }
    let desc = args.desc;
    let g = Geometry::new(desc);
    let rest = if g.count > TILE && g.count < MR { g.count - TILE } else { TILE };
    // SAFETY: guaranteed by the caller.
    let _tiles = unsafe { Tiles::configure(g.count.min(TILE), rest) };
    let epilogue = Epilogue::new(args);
    let mut driver = Driver {
        args,
        blob: BlobLayout::new(desc, &g),
        finish: &FINISH[epilogue.mode()],
        epilogue,
        pending: None,
        turn: 0,
        // The 32 lines of a panel per step of the next one, distributed over its blocks.
        ahead: if g.by_panel { 32_usize.div_ceil(g.blocks) } else { 0 },
        g: &g,
    };
    if g.by_panel {
        let (first, last) = (tasks.start, tasks.end - 1);
        let (first_panel, last_panel) = (first / g.task_runs, last / g.task_runs);
        let blocks = |panel: usize| {
            let from = if panel == first_panel { first % g.task_runs } else { 0 };
            let to = if panel == last_panel { last % g.task_runs + 1 } else { g.task_runs };
            g.run_start(from)..g.run_start(to)
        };
        let all = if first_panel == last_panel { blocks(first_panel) } else { 0..g.blocks };
        // SAFETY: guaranteed by the caller; the blocks are the caller's tasks.
        unsafe {
            let origin = driver.pack(g.rows(all));
            for panel in first_panel..=last_panel {
                for block in blocks(panel) {
                    driver.block(panel, block, origin);
                }
            }
        }
    } else {
        let end = g.run_start(tasks.end);
        let mut from = g.run_start(tasks.start);
        while from < end {
            let mut to = from + 1;
            while to < end && (g.direct || g.rows(from..to + 1).len() <= g.block_rows) {
                to += 1;
            }
            // SAFETY: guaranteed by the caller; a piece has at most `block_rows` rows.
            unsafe {
                let origin = driver.pack(g.rows(from..to));
                for block in from..to {
                    for panel in 0..g.panels {
                        driver.block(panel, block, origin);
                    }
                }
            }
            from = to;
        }
    }
    // SAFETY: guaranteed by the caller.
    unsafe { driver.finish(0, 1) };
}

struct Driver<'a> {
    args: &'a ConvArgs<'a>,
    g: &'a Geometry,
    blob: BlobLayout,
    epilogue: Epilogue,
    finish: &'static [FinishFn; NR_VECTORS],
    /// The block that is multiplied but not yet written.
    pending: Option<Pending>,
    /// Which of the two places for sums is used next.
    turn: usize,
    ahead: usize,
}

impl Driver<'_> {
    /// Prepares the input of these output rows; returns the address that pixel 0 would have.
    ///
    /// # Safety
    /// The same as for [`conv`].
    unsafe fn pack(&self, rows: Range<usize>) -> *const u8 {
        if self.g.direct {
            return self.args.x;
        }
        // SAFETY: the room that `scratch_bytes` includes follows the sums.
        unsafe {
            let copy = self.args.scratch.add(2 * SUMS);
            pack_rows(self.args, self.g, rows.clone(), copy);
            copy.wrapping_sub(rows.start * self.g.row_bytes())
        }
    }

    /// Multiplies a block by a panel, and finishes the one before.
    ///
    /// # Safety
    /// The same as for [`conv`]; the block's input is ready, with pixel 0 at `origin`.
    unsafe fn block(&mut self, panel: usize, block: usize, origin: *const u8) {
        let (g, args, desc) = (self.g, self.args, self.args.desc);
        let number = block;
        let block = g.block(block);
        let vector = panel * NR_VECTORS;
        let vectors = (g.vectors - vector).min(NR_VECTORS);
        let halves = vectors.div_ceil(2);
        let channel = vector * LANES;
        // SAFETY: offsets are inside the blob and the scratch, whose sizes are those of `BlobLayout` and
        // `Geometry`; outputs that are not used are not dereferenced.
        unsafe {
            let constants = args.blob.as_ptr().add(vector * LANES * 4);
            let weights = args.blob.as_ptr().add(self.blob.weights + vector * g.vector_bytes());
            let next = weights.wrapping_add(vectors * g.vector_bytes());
            let sums = args.scratch.add(self.turn * SUMS);
            self.turn ^= 1;
            for half in 0..halves {
                let pair = (vectors - 2 * half).min(2);
                // The part of the next panel that this block fetches.
                let part = (number * halves + half) * vectors * g.vector_bytes() / (g.blocks * halves);
                product(block.len.div_ceil(TILE), pair, self.ahead)(&Product {
                    x: origin.wrapping_add(block.start * g.step),
                    step: g.step,
                    offsets: &g.offsets[..g.segments],
                    steps: g.steps,
                    weights: weights.add(2 * half * g.vector_bytes()),
                    bias: constants.add(2 * half * LANES * 4),
                    sums: sums.add(2 * half * LANES * 4),
                    ahead: next.wrapping_add(part),
                });
                self.finish(half, halves);
            }
            self.pending = Some(Pending {
                out: Outputs {
                    constants,
                    constants_stride: self.blob.constants,
                    skip: args.skip.wrapping_add(channel),
                    y: args.y.wrapping_add(channel),
                    y2: args.y2.wrapping_add(channel),
                    stride: desc.y.c,
                    channels: (desc.y.c - channel).min(vectors * LANES),
                },
                sums,
                block,
                vectors,
            });
        }
    }

    /// Writes one of `parts` equal parts of the pending block.
    ///
    /// # Safety
    /// The same as for [`conv`].
    unsafe fn finish(&self, part: usize, parts: usize) {
        if let Some(p) = &self.pending {
            let len = p.block.len;
            let which = part * len / parts..(part + 1) * len / parts;
            // SAFETY: the sums exist, and the block's pixels belong to the caller.
            unsafe {
                self.finish[p.vectors - 1](p, &self.epilogue, which, self.g.width, self.args.desc.y.w);
            }
        }
    }
}
