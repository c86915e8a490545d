//! Two convolutions in turns, so that the tensor between them is never whole.
//!
//! A residual block's first convolution writes a tensor that only the second reads. Run row by row in
//! turns, a few rows of it suffice: its buffer is a ring, row `r` at place `r mod rows`. And since the
//! kernels copy what they read, the second's output may take the place of the first's input where that
//! is the residual, rows of which are dead once the first has passed them.
//!
//! ```text
//! for each task of the second:
//!     run the first until every row that this task sees is there
//!     run the task
//! ```
//! `schedule` walks through exactly this; compiler, validation and executor all use it, so they cannot
//! differ.

use core::ops::Range;

use foldnet_kernels::{ConvDesc, KernelSet};

/// One turn: tasks of the first convolution, then one task of the second.
pub(crate) struct Turn {
    pub(crate) first: Range<usize>,
    pub(crate) second: usize,
    /// Rows of the tensor between that exist at least until the second's task has run.
    rows: usize,
    /// Whether all that the first reads after this turn lies behind what the second has written.
    passed: bool,
}

/// The turns; `None` when the set cannot run these in stripes.
pub(crate) fn schedule<'a>(
    first: &'a ConvDesc,
    second: &'a ConvDesc,
    set: &dyn KernelSet,
) -> Option<impl Iterator<Item = Turn> + 'a> {
    let (rows_first, rows_second) = (set.conv_rows_per_task(first)?, set.conv_rows_per_task(second)?);
    if rows_first == 0 || rows_second == 0 || first.y != second.x {
        return None;
    }
    let tasks = set.conv_tasks(first);
    let mut done = 0;
    Some((0..set.conv_tasks(second)).map(move |task| {
        let (from, until) = (task * rows_second, ((task + 1) * rows_second).min(second.y.h));
        let lowest = (from * second.stride[0]).saturating_sub(second.pad[0]);
        let reach = (second.kernel[0] - 1) * second.dilation[0] + 1;
        let highest = (until.saturating_sub(1) * second.stride[0] + reach).saturating_sub(second.pad[0]);
        let begin = done;
        while done < tasks && done * rows_first < highest {
            done += 1;
        }
        let made = (done * rows_first).min(first.y.h);
        let next = (done * rows_first * first.stride[0]).saturating_sub(first.pad[0]);
        Turn {
            first: begin..done,
            second: task,
            rows: made.saturating_sub(lowest),
            passed: done == tasks || until <= next,
        }
    }))
}

/// Rows that the buffer between the two must hold, and whether the second may write over the first's
/// input, row for row. `None` when they cannot run in turns.
pub fn ring(first: &ConvDesc, second: &ConvDesc, set: &dyn KernelSet) -> Option<(usize, bool)> {
    if first.skip {
        return None;
    }
    let turns = schedule(first, second, set)?;
    Some(turns.fold((1, true), |(rows, passed), turn| (rows.max(turn.rows), passed && turn.passed)))
}
