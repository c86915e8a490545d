//! A persistent thread pool for steps that last microseconds.
//!
//! Workers spin for a while after each job, since the next step usually follows at once. If none comes, they park,
//! so that an idle program uses no processor time. While they spin, one fork and join costs about a microsecond
//! (`cargo bench -p foldnet --bench pool`). With one thread the job is called directly.
//!
//! ```text
//! run:    job ← f; gate ← next epoch, open; wake who is parked; f(0); close the gate; wait until nobody is inside
//! worker: until the epoch changes: spin, then park;  if the gate is open, enter; f(i); leave
//! ```
//! A worker that the system does not run in time finds the gate closed, and nobody has waited for it. Otherwise,
//! on a busy machine, a step of microseconds would last as long as another program's time slice on a core.

use std::cell::UnsafeCell;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};

use foldnet_plan::Pool;

use crate::cores::{self, Allowed};

/// The number of checks for a new job before a worker parks; some tens of microseconds.
const SPINS: usize = 4_000;
/// The number of checks for the end of a job before the caller yields.
const JOIN_SPINS: usize = 20_000;
/// The largest number of threads. More are refused, because each needs its own scratch memory.
pub const MAX_THREADS: usize = 256;

/// The reason why a pool cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// More than [`MAX_THREADS`] threads were requested.
    #[error("{0} threads; at most {MAX_THREADS} are supported")]
    TooMany(usize),
    /// The operating system could not start a thread.
    #[error("a thread could not be started: {0}")]
    Spawn(#[from] std::io::Error),
    /// The operating system could not bind a thread to a core.
    #[error("a thread could not be bound to core {core}: {source}")]
    Pin {
        /// The core's number.
        core: usize,
        /// The system's error.
        source: std::io::Error,
    },
}

type Job = *const (dyn Fn(usize) + Sync);

/// The number of workers inside, in the gate's lowest bits; [`MAX_THREADS`] fit.
const INSIDE: usize = 0x7fff;
/// Whether a worker may enter.
const OPEN: usize = 0x8000;
/// Counts one more job. Overflow is harmless: a worker that has slept through a whole cycle of the counter misses
/// one more job.
const EPOCH: usize = 0x1_0000;

/// Returns the gate's count of jobs.
fn epoch(gate: usize) -> usize {
    gate / EPOCH
}

struct Shared {
    /// The number of jobs so far, whether the last is open, and the number of workers running it.
    gate: AtomicUsize,
    /// The current job; valid while the gate is open or a worker is inside.
    job: UnsafeCell<Option<Job>>,
    panicked: AtomicBool,
    stop: AtomicBool,
    workers: Box<[Worker]>,
    /// The cores to choose from, if workers are not bound to cores.
    allowed: Option<Allowed>,
}

/// The state of a worker that the caller needs.
#[derive(Default)]
struct Worker {
    /// Whether the worker is parked or about to park.
    parked: AtomicBool,
    /// The worker's thread number in the system.
    thread: AtomicI32,
    /// The core that the worker avoids, plus one.
    avoids: AtomicUsize,
}

// SAFETY: the caller of `run` writes `job` only while the gate is closed and nobody is inside (the lock makes it
// the only caller). Workers read it only inside, which they enter with Acquire ordering.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` refers to a `Sync` closure and is used only within `run`'s lifetime.
unsafe impl Send for Shared {}

/// A pool of threads.
pub struct Threads {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    running: Mutex<()>,
}

impl Threads {
    /// Creates a pool of this many threads, including the caller's; 0 means one per core. If the processor's cores
    /// differ in speed, the pool uses as many of the fastest cores as it has threads and binds its workers to
    /// them.
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

    /// Creates a pool with one thread bound to each of these cores; the caller's thread is bound to the first.
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
            gate: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            workers: (1..threads).map(|_| Worker::default()).collect(),
            allowed: if cores.is_empty() { Allowed::of_current_thread() } else { None },
        });
        let mut pool = Self { shared, workers: Vec::new(), handles: Vec::new(), running: Mutex::new(()) };
        // `new` returns when all threads run, so that no thread starts during an inference.
        let (started, starting) = channel();
        for worker in 1..threads {
            let (shared, started) = (Arc::clone(&pool.shared), started.clone());
            let core = cores.get(worker).copied();
            let body = move || {
                if let Some(core) = core {
                    let _bound = cores::bind_current_thread(core);
                    #[cfg(feature = "tracing")]
                    if let Err(error) = _bound {
                        tracing::warn!(core, %error, "a worker is not bound to its core");
                    }
                }
                shared.workers[worker - 1].thread.store(cores::current_thread(), Ordering::Relaxed);
                drop(started);
                work(&shared, worker);
            };
            let handle = std::thread::Builder::new().name(format!("foldnet-{worker}")).spawn(body)?;
            pool.handles.push(handle.thread().clone());
            pool.workers.push(handle);
        }
        drop(started);
        // The loop ends when the last sender is dropped; nothing is ever sent.
        starting.iter().for_each(|()| {});
        Ok(pool)
    }

    fn wake(&self) {
        for (worker, handle) in self.shared.workers.iter().zip(&self.handles) {
            // SeqCst pairs with the worker's store of `parked` and load of `gate`: either the worker sees the new
            // epoch, or this load sees that the worker parks.
            if worker.parked.load(Ordering::SeqCst) {
                self.keep_off_mine(worker);
                handle.unpark();
            }
        }
    }
}

impl Threads {
    /// The system may wake a thread on the core of the thread that wakes it. There it waits until that thread is
    /// moved, some milliseconds later.
    fn keep_off_mine(&self, worker: &Worker) {
        let (Some(allowed), Some(core)) = (&self.shared.allowed, cores::current()) else { return };
        if worker.avoids.swap(core + 1, Ordering::Relaxed) != core + 1 {
            allowed.keep_off(worker.thread.load(Ordering::Relaxed), core);
        }
    }
}

/// Closes the gate and waits for the workers inside, even if the caller's own share panics: they use its stack.
struct Join<'a>(&'a Shared);

impl Drop for Join<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        // Acquire pairs with the workers' Release: everything that they wrote is visible afterwards.
        let mut gate = self.0.gate.fetch_and(!OPEN, Ordering::Acquire);
        while gate & INSIDE != 0 {
            spins += 1;
            if spins < JOIN_SPINS {
                std::hint::spin_loop()
            } else {
                std::thread::yield_now()
            }
            gate = self.0.gate.load(Ordering::Acquire);
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
        // SAFETY: this changes only the lifetime; `Join` keeps this frame alive until no worker uses the closure.
        let erased: Job = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(std::ptr::from_ref(job))
        };
        // SAFETY: the gate is closed and nobody is inside, see `Shared`.
        unsafe { *self.shared.job.get() = Some(erased) };
        // Release (in SeqCst) publishes `job` with the epoch. The count may wrap around.
        self.shared.gate.fetch_add(EPOCH | OPEN, Ordering::SeqCst);
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
    while let Some(gate) = next(shared, worker, seen) {
        seen = epoch(gate);
        // Entering fails if another worker enters or leaves at the same time, or if the gate is closed.
        let enter = |gate| (epoch(gate) == seen && gate & OPEN != 0).then_some(gate + 1);
        if shared.gate.fetch_update(Ordering::Acquire, Ordering::Relaxed, enter).is_err() {
            continue;
        }
        // SAFETY: this worker is inside, see `Shared`; the caller waits for it before the closure is dropped.
        let job = unsafe { (*shared.job.get()).map(|job| &*job) };
        if let Some(job) = job
            && catch_unwind(AssertUnwindSafe(|| job(worker))).is_err()
        {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.gate.fetch_sub(1, Ordering::Release);
    }
}

/// Waits for a job other than `seen`; returns `None` when the pool ends.
fn next(shared: &Shared, worker: usize, seen: usize) -> Option<usize> {
    let mut spins = 0;
    let gate = loop {
        let gate = shared.gate.load(Ordering::Acquire);
        if epoch(gate) != seen {
            break gate;
        }
        spins += 1;
        if spins < SPINS {
            std::hint::spin_loop();
            continue;
        }
        let parked = &shared.workers[worker - 1].parked;
        parked.store(true, Ordering::SeqCst);
        while epoch(shared.gate.load(Ordering::SeqCst)) == seen {
            std::thread::park();
        }
        parked.store(false, Ordering::SeqCst);
    };
    (!shared.stop.load(Ordering::Acquire)).then_some(gate)
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.gate.fetch_add(EPOCH, Ordering::SeqCst);
        self.wake();
        for worker in self.workers.drain(..) {
            // A worker catches panics of its jobs, so it ends normally.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    const ROUNDS: usize = if cfg!(miri) { 10 } else { 1_000 };

    /// Returns whether `what` becomes true within two minutes, enough for any machine to run any thread.
    fn comes(what: impl Fn() -> bool) -> bool {
        let start = std::time::Instant::now();
        while !what() && start.elapsed().as_secs() < 120 {
            std::thread::yield_now();
        }
        what()
    }

    #[test]
    fn the_caller_always_and_others_once_at_most() {
        for threads in [1, 2, 3, 7] {
            let pool = Threads::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for _ in 0..ROUNDS {
                let counts: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
                pool.run(&|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                let counts: Vec<u64> = counts.into_iter().map(AtomicU64::into_inner).collect();
                assert!(counts[0] == 1 && counts.iter().all(|&c| c <= 1), "{counts:?}");
            }
        }
    }

    #[test]
    fn parked_workers_wake_up() {
        let pool = Threads::new(3).unwrap();
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let calls = AtomicU64::new(0);
            pool.run(&|_| {
                calls.fetch_add(1, Ordering::Relaxed);
                assert!(comes(|| calls.load(Ordering::Relaxed) == 3));
            });
        }
    }

    #[test]
    fn what_a_job_wrote_is_seen_by_the_next() {
        let pool = Threads::new(4).unwrap();
        let cells: Vec<AtomicU64> = (0..64).map(|_| AtomicU64::new(0)).collect();
        for round in 0..ROUNDS as u64 {
            let each = |f: &(dyn Fn(usize) + Sync)| {
                let next = AtomicUsize::new(0);
                pool.run(&|_| {
                    while let Some(i) =
                        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < cells.len())
                    {
                        f(i);
                    }
                });
            };
            each(&|i| cells[i].store(round, Ordering::Relaxed));
            each(&|i| assert_eq!(cells[63 - i].load(Ordering::Relaxed), round));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Threads::new(3).unwrap();
        for victim in 0..3 {
            let calls = AtomicU64::new(0);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|i| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    comes(|| calls.load(Ordering::Relaxed) == 3);
                    assert_ne!(i, victim);
                });
            }));
            assert!(result.is_err());
        }
        let calls = AtomicU64::new(0);
        pool.run(&|_| {
            calls.fetch_add(1, Ordering::Relaxed);
            assert!(comes(|| calls.load(Ordering::Relaxed) == 3));
        });
    }

    #[test]
    fn callers_take_turns() {
        let pool = Threads::new(2).unwrap();
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
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
