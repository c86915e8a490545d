//! What threads are to a plan.

/// Threads that work on one step together. Implementations **must** call the job exactly once for
/// every index below [`Pool::threads`], each on its own thread or one after the other, and return only
/// when all calls have returned; what one job wrote must then be visible to the caller and to later
/// jobs.
pub trait Pool: Sync {
    /// How many jobs `run` makes.
    fn threads(&self) -> usize;

    /// Calls `job(0)…job(threads − 1)`.
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
