//! Two convolutions in turns, so that the tensor between them is never stored whole.
//!
//! The first convolution of a residual block writes a tensor that only the second reads. If both run row by row in
//! turns, a few rows of that tensor suffice: its buffer is a ring with row `r` at `r mod rows`. The kernels copy
//! what they read. So the second's output may also replace the first's input if that input is the residual: its
//! rows are dead once the first has passed them.
//!
//! ```text
//! for each task of the second:
//!     run the first until every row that this task sees is there
//!     run the task
//! ```
//! `schedule` generates exactly this order. Compiler, validation and executor all use it, so they cannot differ.

use core::ops::Range;

use foldnet_kernels::{ConvDesc, KernelSet};

/// One turn: tasks of the first convolution, then one task of the second.
pub(crate) struct Turn {
    pub(crate) first: Range<usize>,
    pub(crate) second: usize,
    /// The number of rows of the tensor between them that must exist until the second's task has run.
    rows: usize,
    /// Whether everything that the first reads after this turn is beyond the rows that the second has written.
    passed: bool,
}

/// Returns the turns, or `None` if the set cannot run these convolutions in stripes.
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

/// Returns the number of rows that the buffer between the two must hold, and whether the second may overwrite the
/// first's input row by row. Returns `None` if they cannot run in turns.
pub fn ring(first: &ConvDesc, second: &ConvDesc, set: &dyn KernelSet) -> Option<(usize, bool)> {
    if first.skip {
        return None;
    }
    let turns = schedule(first, second, set)?;
    Some(turns.fold((1, true), |(rows, passed), turn| (rows.max(turn.rows), passed && turn.passed)))
}
