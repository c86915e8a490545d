//! Distributes a step's tasks over the threads.
//!
//! ```text
//! thread t of n owns tasks t·tasks/n … (t+1)·tasks/n
//! each takes half of what is left of its own share, until nothing is; then half of what is left of another's
//! ```
//! 1. A share is the same part of the image in every step, so a thread finds in its own cache what it wrote in the
//!    previous step. The share is contiguous, so a kernel that prefetches the next weights prefetches its own.
//! 2. Halving needs few calls, each of which prepares its input, and leaves little to wait for at the end. Other
//!    threads complete the share of a slow or late core, and a core that never comes is not missed.

use core::array::from_fn;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::pool::Pool;

/// The largest number of shares; further threads only help.
const SHARES: usize = 16;
/// The largest number of calls per share, so that no call is too short to be worth its start.
const CALLS: usize = 8;

/// Runs all tasks. `run` receives the thread's number and the tasks to run.
pub(crate) fn split<P: Pool + ?Sized>(pool: &P, tasks: usize, run: &(impl Fn(usize, Range<usize>) + Sync)) {
    let threads = pool.threads();
    if threads == 1 {
        return run(0, 0..tasks);
    }
    let shares = threads.min(SHARES);
    let start = |share: usize| share * tasks / shares;
    let next: [AtomicUsize; SHARES] = from_fn(|share| AtomicUsize::new(start(share.min(shares))));
    pool.run(&|thread| {
        for i in 0..shares {
            let share = (thread + i) % shares;
            while let Some(taken) = take(&next[share], start(share + 1), start(share + 1) - start(share)) {
                run(thread, taken);
            }
        }
    });
}

/// Takes half of the tasks left before `end`, from a share of `all` tasks.
fn take(next: &AtomicUsize, end: usize, all: usize) -> Option<Range<usize>> {
    let size = |from: usize| (end - from).div_ceil(2).max(all.div_ceil(CALLS)).min(end - from);
    let step = |from: usize| (from < end).then(|| from + size(from));
    // Relaxed suffices: this only hands out numbers; `Pool::run` orders the memory.
    let from = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).ok()?;
    Some(from..from + size(from))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// A pool that starts this many threads anew for each job.
    struct Scoped(usize);

    impl Pool for Scoped {
        fn threads(&self) -> usize {
            self.0
        }

        fn run(&self, job: &(dyn Fn(usize) + Sync)) {
            std::thread::scope(|scope| (0..self.0).for_each(|i| drop(scope.spawn(move || job(i)))));
        }
    }

    #[test]
    fn every_task_is_run_once() {
        for threads in [1, 2, 3, 5, SHARES, SHARES + 3] {
            for tasks in [0, 1, 2, 7, 16, 100] {
                let runs: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                split(&Scoped(threads), tasks, &|thread, taken| {
                    assert!(thread < threads && (threads == 1 || !taken.is_empty()));
                    for task in taken {
                        runs[task].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(runs.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{threads} {tasks}");
            }
        }
    }

    #[test]
    fn a_share_falls_into_halves() {
        let next = AtomicUsize::new(4);
        let taken: Vec<_> = core::iter::from_fn(|| take(&next, 20, 16)).collect();
        assert_eq!(taken, [4..12, 12..16, 16..18, 18..20]);
    }
}
