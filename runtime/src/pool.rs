//! A persistent pool for steps that last microseconds.
//!
//! Workers spin for a while after each job, since the next step follows at once, and park when none
//! comes, so that an idle program uses no processor. One fork and join costs on the order of a
//! microsecond while they spin (`cargo bench -p foldnet-runtime --bench pool`). With one thread the job
//! is called directly.
//!
//! ```text
//! run:    job ← f; pending ← workers; epoch += 1; wake who is parked; f(0); wait until pending = 0
//! worker: until epoch changes: spin, then park;   f(i); pending −= 1
//! ```

use std::cell::UnsafeCell;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use foldnet_plan::Pool;

use crate::cores;

/// Checks for a new job before a worker parks; some tens of microseconds.
const SPINS: usize = 4_000;
/// Checks for the end of a job before the caller lets others run.
const JOIN_SPINS: usize = 20_000;
/// More threads than this are refused: each brings its own scratch memory.
pub const MAX_THREADS: usize = 256;

/// Why a pool cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// More than [`MAX_THREADS`].
    #[error("{0} threads are more than the {MAX_THREADS} that make sense")]
    TooMany(usize),
    /// The operating system refused.
    #[error("a thread could not be started: {0}")]
    Spawn(#[from] std::io::Error),
    /// The operating system refused to bind a thread to a core.
    #[error("a thread could not be bound to core {core}: {source}")]
    Pin {
        /// The core's number.
        core: usize,
        /// What it said.
        source: std::io::Error,
    },
}

type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Counts jobs; a change tells the workers that there is one.
    epoch: AtomicUsize,
    /// The current job; valid from the epoch's change until `pending` is 0.
    job: UnsafeCell<Option<Job>>,
    /// Workers that have not finished the current job.
    pending: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    /// Per worker: whether it is (about to be) parked.
    parked: Box<[AtomicBool]>,
}

// SAFETY: `job` is written by the caller of `run` only while no worker is pending (the lock makes it
// the only caller), and read by workers only after they saw the new epoch with Acquire ordering.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` refers to a `Sync` closure and is used only within `run`'s lifetime.
unsafe impl Send for Shared {}

/// The pool.
pub struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    running: Mutex<()>,
}

impl Threads {
    /// A pool of this many threads, the caller's included; 0 means one per core. On a processor whose
    /// cores differ in speed, as many of the fastest cores are used and the workers are bound to them.
    pub fn new(threads: usize) -> Result<Self, PoolError> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            n => n,
        };
        match cores::fastest(threads) {
            Some(cores) => Self::pinned(&cores),
            None => Self::start(threads, &[]),
        }
    }

    /// A pool with one thread bound to each of these cores; the caller's thread is bound to the first.
    pub fn pinned(cores: &[usize]) -> Result<Self, PoolError> {
        let pool = Self::start(cores.len().max(1), cores)?;
        if let Some(&core) = cores.first() {
            cores::bind_current_thread(core).map_err(|source| PoolError::Pin { core, source })?;
        }
        Ok(pool)
    }

    fn start(threads: usize, cores: &[usize]) -> Result<Self, PoolError> {
        if threads > MAX_THREADS {
            return Err(PoolError::TooMany(threads));
        }
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            pending: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            parked: (1..threads).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut pool = Self { shared, workers: Vec::new(), handles: Vec::new(), running: Mutex::new(()) };
        for worker in 1..threads {
            let shared = Arc::clone(&pool.shared);
            let core = cores.get(worker).copied();
            let body = move || {
                if let Some(core) = core
                    && let Err(error) = cores::bind_current_thread(core)
                {
                    tracing::warn!(core, %error, "a worker is not bound to its core");
                }
                work(&shared, worker);
            };
            let handle = std::thread::Builder::new().name(format!("foldnet-{worker}")).spawn(body)?;
            pool.handles.push(handle.thread().clone());
            pool.workers.push(handle);
        }
        Ok(pool)
    }

    fn wake(&self) {
        for (parked, handle) in self.shared.parked.iter().zip(&self.handles) {
            // SeqCst pairs with the worker's store of `parked` and load of `epoch`: either the worker
            // sees the new epoch, or this load sees that it parks.
            if parked.load(Ordering::SeqCst) {
                handle.unpark();
            }
        }
    }
}

/// Waits for the workers even when the caller's own share panics: they use its stack.
struct Join<'a>(&'a Shared);

impl Drop for Join<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        // Acquire pairs with the workers' Release: what they wrote is visible afterwards.
        while self.0.pending.load(Ordering::Acquire) != 0 {
            spins += 1;
            if spins < JOIN_SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    fn run(&self, job: &(dyn Fn(usize) + Sync)) {
        if self.workers.is_empty() {
            return job(0);
        }
        let _one_at_a_time = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: only the lifetime is changed; `Join` keeps this frame alive until no worker uses it.
        let erased: Job = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(std::ptr::from_ref(job))
        };
        // SAFETY: no worker is pending, see `Shared`.
        unsafe { *self.shared.job.get() = Some(erased) };
        self.shared.pending.store(self.workers.len(), Ordering::Relaxed);
        // Release (in SeqCst) publishes `job` and `pending` with the epoch.
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        self.wake();
        {
            let _join = Join(&self.shared);
            job(0);
        }
        if self.shared.panicked.swap(false, Ordering::Relaxed) {
            panic!("a worker thread panicked");
        }
    }
}

fn work(shared: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        loop {
            let epoch = shared.epoch.load(Ordering::Acquire);
            if epoch != seen {
                seen = epoch;
                break;
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            let parked = &shared.parked[worker - 1];
            parked.store(true, Ordering::SeqCst);
            while shared.epoch.load(Ordering::SeqCst) == seen {
                std::thread::park();
            }
            parked.store(false, Ordering::SeqCst);
        }
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        // SAFETY: the epoch was loaded with Acquire after the job was published, and the caller waits
        // for `pending` before the closure goes away.
        let job = unsafe { (*shared.job.get()).map(|job| &*job) };
        if let Some(job) = job
            && catch_unwind(AssertUnwindSafe(|| job(worker))).is_err()
        {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.pending.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        self.wake();
        for worker in self.workers.drain(..) {
            // A worker catches its jobs' panics, so it ends normally.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_index_is_called_once_per_run() {
        for threads in [1, 2, 3, 7] {
            let pool = Threads::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            let counts: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
            for _ in 0..2_000 {
                pool.run(&|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 2_000), "{counts:?}");
        }
    }

    #[test]
    fn parked_workers_wake_up() {
        let pool = Threads::new(3).unwrap();
        let calls = AtomicU64::new(0);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            pool.run(&|_| {
                calls.fetch_add(1, Ordering::Relaxed);
            });
        }
        assert_eq!(calls.load(Ordering::Relaxed), 15);
    }

    #[test]
    fn what_a_job_wrote_is_seen_by_the_next() {
        let pool = Threads::new(4).unwrap();
        let cells: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
        for round in 0..1_000 {
            pool.run(&|i| cells[i].store(round, Ordering::Relaxed));
            pool.run(&|i| assert_eq!(cells[(i + 1) % 4].load(Ordering::Relaxed), round));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Threads::new(3).unwrap();
        for victim in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| pool.run(&|i| assert_ne!(i, victim))));
            assert!(result.is_err());
        }
        let calls = AtomicU64::new(0);
        pool.run(&|_| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn callers_take_turns() {
        let pool = Threads::new(2).unwrap();
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        pool.run(&|_| {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                            inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn unreasonable_numbers_of_threads() {
        assert!(matches!(Threads::new(MAX_THREADS + 1), Err(PoolError::TooMany(_))));
        assert!(Threads::new(0).unwrap().threads() >= 1);
    }
}
