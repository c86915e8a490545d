//! The measurements of `runtime bench`.

use std::time::{Duration, Instant};

use foldnet_kernels::KernelSet;

/// The durations of the inferences of a run, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Half of the runs took longer.
    pub median_ms: f64,
    /// A tenth of the runs took longer.
    pub p90_ms: f64,
    /// A hundredth of the runs took longer.
    pub p99_ms: f64,
    /// The fastest run.
    pub min_ms: f64,
}

impl Statistics {
    /// Computes the statistics of at least one duration. Percentiles are nearest ranks: the `⌈p·n⌉`-th smallest of
    /// `n`.
    ///
    /// # Panics
    /// Panics if there are no durations.
    pub fn of(durations: &[Duration]) -> Self {
        let mut ms: Vec<f64> = durations.iter().map(|d| d.as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        let rank = |percent: usize| ms[(ms.len() * percent).div_ceil(100).max(1) - 1];
        Self { median_ms: rank(50), p90_ms: rank(90), p99_ms: rank(99), min_ms: ms[0] }
    }
}

/// How many times to run.
#[derive(Clone, Copy, Debug)]
pub enum Iterations {
    /// Exactly this many times.
    Exactly(usize),
    /// For this long, at least 5 and at most 1,000 times.
    For(Duration),
}

/// Runs and times a function at least once.
pub fn measure<E>(
    iterations: Iterations,
    mut run: impl FnMut() -> Result<(), E>,
) -> Result<Vec<Duration>, E> {
    let mut durations = Vec::new();
    let begin = Instant::now();
    loop {
        let start = Instant::now();
        run()?;
        durations.push(start.elapsed());
        let done = durations.len();
        let enough = match iterations {
            Iterations::Exactly(n) => done >= n,
            Iterations::For(time) => done >= 1_000 || (done >= 5 && begin.elapsed() >= time),
        };
        if enough {
            return Ok(durations);
        }
    }
}

/// The number of additions in one measurement of the core's frequency.
const ADDITIONS: u64 = 2_000_000;

/// Measures the cycles per second of the current core. Returns `None` if the build has no method for this
/// processor.
///
/// On every core that we know, a chain of dependent register additions takes one cycle per addition. The fastest
/// of several short runs is the least disturbed. (The nominal frequency is not useful: cores run faster for a
/// while, and slower when hot.)
pub fn core_frequency() -> Option<f64> {
    let run = || {
        let start = Instant::now();
        dependent_additions(ADDITIONS / 16).map(|_| start.elapsed().as_secs_f64())
    };
    let fastest = (0..8).map(|_| run()).collect::<Option<Vec<f64>>>()?.into_iter().fold(f64::MAX, f64::min);
    (fastest > 0.0).then(|| ADDITIONS as f64 / fastest)
}

/// Returns the largest number of multiply-accumulates per second that one core could reach with a kernel set now.
///
/// If the set has a loop of its instructions on registers, that loop is timed. Otherwise one instruction per cycle
/// is assumed, and the frequency is measured. Both change over time (a hot core slows down, as does a virtual one
/// on a busy host), so measure the limit right next to the code that is compared with it.
pub fn limit_now(set: &dyn KernelSet) -> Option<f64> {
    set.peak_macs_per_second().or_else(|| Some(set.peak_macs_per_cycle()? * core_frequency()?))
}

/// Returns the median; of an even count, the lower of the two middle values. Returns `None` if there are no
/// values.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// Returns the share of the limit at which `macs` multiply-accumulates ran: the median over rounds of
/// `(seconds, limit)`. Each round has the limit that was measured right next to it, so a single disturbed round or
/// limit does not matter. Returns `None` if there are no rounds.
pub fn share_of_limit(macs: u64, rounds: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    median(rounds.map(|(seconds, limit)| macs as f64 / seconds / limit).collect())
}

/// Adds 3 `16 · rounds` times, each addition depending on the one before. Returns the sum, starting at 0, or
/// `None` on other processors.
#[cfg(target_arch = "x86_64")]
fn dependent_additions(rounds: u64) -> Option<u64> {
    let mut x = 0;
    for _ in 0..rounds {
        // SAFETY: adds in registers only.
        unsafe {
            std::arch::asm!(
                ".rept 16", "add {x}, {y}", ".endr",
                x = inout(reg) x, y = in(reg) 3_u64,
                options(nomem, nostack),
            );
        }
    }
    Some(x)
}

/// Adds 3 `16 · rounds` times, each addition depending on the one before. Returns the sum, starting at 0, or
/// `None` on other processors.
#[cfg(target_arch = "aarch64")]
fn dependent_additions(rounds: u64) -> Option<u64> {
    let mut x = 0;
    for _ in 0..rounds {
        // SAFETY: adds in registers only.
        unsafe {
            std::arch::asm!(
                ".rept 16", "add {x}, {x}, {y}", ".endr",
                x = inout(reg) x, y = in(reg) 3_u64,
                options(nomem, nostack),
            );
        }
    }
    Some(x)
}

/// Returns `None`: the build has no such loop for this processor.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn dependent_additions(_rounds: u64) -> Option<u64> {
    None
}

/// Returns pixels that look like noise and are always the same.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let durations: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let s = Statistics::of(&durations);
        assert_eq!([s.median_ms, s.p90_ms, s.p99_ms, s.min_ms], [100.0, 180.0, 198.0, 1.0]);
        let s = Statistics::of(&[Duration::from_millis(7)]);
        assert_eq!([s.median_ms, s.p90_ms, s.p99_ms, s.min_ms], [7.0; 4]);
    }

    #[test]
    fn as_many_runs_as_asked_for() {
        let count = |iterations| {
            let mut n = 0;
            let run = || {
                n += 1;
                Ok::<(), ()>(())
            };
            let timed = measure(iterations, run).unwrap().len();
            assert_eq!(timed, n);
            n
        };
        assert_eq!(count(Iterations::Exactly(3)), 3);
        assert_eq!(count(Iterations::For(Duration::ZERO)), 5);
        assert_eq!(count(Iterations::For(Duration::from_secs(60))), 1_000);
    }

    #[test]
    fn one_odd_value_does_not_move_the_median() {
        assert_eq!(median(vec![3.0, 1e9, 1.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_limit_measured_at_a_bad_moment_does_not_count() {
        // Half the limit in every round. Other programs ran during the second limit and during the fourth round.
        let rounds = [(1.0, 2e9), (1.0, 0.3e9), (1.0, 2e9), (9.0, 2e9), (1.0, 2e9)];
        assert_eq!(share_of_limit(1_000_000_000, rounds.into_iter()), Some(0.5));
        assert_eq!(share_of_limit(1_000_000_000, std::iter::empty()), None);
    }

    #[test]
    fn every_set_with_a_figure_has_a_limit() {
        for set in foldnet_kernels::dispatch::REGISTRY.iter().filter_map(|entry| (entry.get)()) {
            let known = set.peak_macs_per_cycle().is_some() && core_frequency().is_some();
            let limit = limit_now(set);
            assert_eq!(limit.is_some(), known || set.peak_macs_per_second().is_some(), "{}", set.name());
            assert!(limit.is_none_or(|limit| limit > 1e6), "{}: {limit:?}", set.name());
        }
    }

    #[test]
    fn additions_form_one_chain() {
        assert!(dependent_additions(1_000).is_none_or(|sum| sum == 48_000));
        assert_eq!(core_frequency().is_some(), dependent_additions(1).is_some());
    }
}
