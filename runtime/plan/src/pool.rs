//! The interface of a plan to threads.

/// Threads that work on one step together. Implementations **must** call the job once for index 0 and at most once
/// for every further index below [`Pool::threads`], each on its own thread or one after the other. They **must**
/// return only when all calls have returned. Everything that a job wrote must then be visible to the caller and to
/// later jobs.
///
/// A thread that comes too late is left out, so a job must do all the work even if only index 0 runs.
pub trait Pool: Sync {
    /// Returns the largest number of calls that `run` makes.
    fn threads(&self) -> usize;

    /// Calls `job(0)`, and `job(1)…job(threads − 1)` on those threads that come in time.
    fn run(&self, job: &(dyn Fn(usize) + Sync));
}

/// A pool of one thread: the caller's.
pub struct Single;

impl Pool for Single {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}
