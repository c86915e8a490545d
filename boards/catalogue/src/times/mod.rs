//! How long an inference takes on a board's core, before there is a board.
//!
//! `times.toml` says for each core what one of each [`Term`] costs; [`amounts`] counts the terms of a step. The
//! costs were fitted to estimates of an emulator that models the core and its caches, so an expected time is an
//! estimate of an estimate: it is corrected for how far that model was from published times, and it comes with
//! an interval. One thread. `tests/peers/board_times.py` writes the table.

#[cfg(feature = "network")]
mod network;
mod table;
#[cfg(test)]
mod tests;
mod work;

#[cfg(feature = "network")]
pub use network::steps;
pub use table::{Bias, Table, TableError, built_in};
pub use work::{Amounts, Machine, Set, Step, Term, amounts, weight_bytes};

use serde::Serialize;

use crate::board::Board;

/// What is expected of a board's fastest core, on one thread.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expected {
    /// The core.
    pub core: String,
    /// Its clock, the highest that the catalogue has for it.
    pub mhz: u32,
    /// Milliseconds of one inference.
    pub ms: f64,
    /// The interval's ends.
    pub low_ms: f64,
    /// See `low_ms`.
    pub high_ms: f64,
    /// Whether the weights are larger than the core's caches and come from main memory each time.
    pub streams_weights: bool,
}

/// Why no time is expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEstimated {
    /// Only instructions are known.
    #[error("microcontrollers have instruction counts only, and flash wait states decide their cycles")]
    Microcontroller,
    /// The table does not have the core.
    #[error("there is no table of costs for {0}")]
    Core(String),
    /// The catalogue does not have the clock.
    #[error("the catalogue does not contain the clock of its {0}")]
    Clock(String),
    /// The table does not have an operator.
    #[error("the table has no costs for the operator {0}")]
    Operator(&'static str),
}

/// Whether a board reaches a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaches {
    /// Also at the interval's slow end.
    Yes,
    /// The rate lies in the interval.
    Perhaps,
    /// Not even at the interval's fast end.
    No,
}

impl Expected {
    /// Frames per second: expected, at the slow end, at the fast end.
    pub fn fps(&self) -> [f64; 3] {
        [self.ms, self.high_ms, self.low_ms].map(|ms| 1e3 / ms)
    }

    /// Whether one inference takes no longer than this.
    pub fn reaches(&self, ms: f64) -> Reaches {
        if self.high_ms <= ms {
            Reaches::Yes
        } else if self.low_ms <= ms {
            Reaches::Perhaps
        } else {
            Reaches::No
        }
    }
}

/// What one inference of these steps is expected to take on the board's fastest core.
pub fn expect(board: &Board, steps: &[Step]) -> Result<Expected, NotEstimated> {
    if board.mcu.is_some() {
        return Err(NotEstimated::Microcontroller);
    }
    let cores = &board.cores.get_ref()[0];
    let core = cores.core.get_ref();
    let table = built_in().core(core).ok_or_else(|| NotEstimated::Core(core.clone()))?;
    let mhz = cores.mhz.ok_or_else(|| NotEstimated::Clock(core.clone()))?;
    let (amounts, streams_weights) = total(&table.machine, steps)?;
    let ms = table.ms(&amounts, f64::from(mhz));
    let bias = built_in().bias(table.machine.in_order);
    Ok(Expected {
        core: core.clone(),
        mhz,
        ms: ms * bias.middle,
        low_ms: ms * bias.low / (1.0 + table.error),
        high_ms: ms * bias.high / (1.0 - table.error),
        streams_weights,
    })
}

/// The amounts of a whole inference, and whether its weights exceed the cache.
pub fn total(on: &Machine, steps: &[Step]) -> Result<(Amounts, bool), NotEstimated> {
    let streams = steps.iter().map(|step| weight_bytes(step, on.set)).sum::<usize>() > on.cache;
    let mut sum = Amounts::NONE;
    for step in steps {
        sum.add(&amounts(step, on, streams).map_err(NotEstimated::Operator)?);
    }
    Ok((sum, streams))
}
