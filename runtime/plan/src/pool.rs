//! What threads are to a plan.

/// Threads that work on one step together. Implementations **must** call the job once for index 0 and at
/// most once for every further index below [`Pool::threads`], each on its own thread or one after the other,
/// and return only when all calls have returned; what one job wrote must then be visible to the caller and to
/// later jobs.
///
/// A thread that comes too late is left out, so a job has to do all there is to do even if index 0 is alone.
pub trait Pool: Sync {
    /// How many calls `run` makes at most.
    fn threads(&self) -> usize;

    /// Calls `job(0)`, and `job(1)…job(threads − 1)` where those threads come in time.
    fn run(&self, job: &(dyn Fn(usize) + Sync));
}

/// One thread: the caller's.
pub struct Single;

impl Pool for Single {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        job(0);
    }
}
