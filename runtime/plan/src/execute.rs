//! Runs a plan.

use core::ops::Range;
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

use foldnet_kernels::{ALIGN, ConvArgs, KernelSet, Source};

use crate::format::{HEADER, Header, RECORD, Record};
use crate::load::{PlanError, check};
use crate::pool::Pool;

/// A validated plan and the kernel set it runs on.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    bytes: &'a [u8],
    header: Header,
    set: &'static dyn KernelSet,
}

impl<'a> Plan<'a> {
    /// Validates `bytes`, which stand at a multiple of [`ALIGN`]. Reads all of them once.
    pub fn load(bytes: &'a [u8], set: &'static dyn KernelSet) -> Result<Self, PlanError> {
        Ok(Self { bytes, header: check(bytes, set)?, set })
    }

    /// A plan that was validated before.
    ///
    /// # Safety
    /// [`Plan::load`] must have accepted these bytes, unchanged since, for this kernel set.
    pub unsafe fn loaded(bytes: &'a [u8], set: &'static dyn KernelSet) -> Self {
        Self { bytes, header: Header::read(bytes), set }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The kernel set.
    pub fn set(&self) -> &'static dyn KernelSet {
        self.set
    }

    /// Step number `i`, below `header().steps`.
    pub fn record(&self, i: usize) -> Record {
        let at = HEADER + i * RECORD;
        Record::read(&self.bytes[at..at + RECORD]).expect("a loaded plan has only known steps")
    }

    /// Bytes of working memory that [`Plan::run`] wants for this many threads.
    pub fn memory_bytes(&self, threads: usize) -> usize {
        self.arena_bytes() + threads * self.scratch_bytes()
    }

    fn arena_bytes(&self) -> usize {
        (self.header.arena as usize).next_multiple_of(ALIGN)
    }

    fn scratch_bytes(&self) -> usize {
        (self.header.scratch as usize).next_multiple_of(ALIGN)
    }

    /// Classifies one picture. `pixels` holds `input.len()` bytes, `memory` at least
    /// [`Plan::memory_bytes`], aligned to [`ALIGN`]. After each step `observe` is told its number and
    /// sees the memory: for timing, and to look at activations. Returns the logits, inside `memory`.
    ///
    /// # Panics
    /// When `pixels` or `memory` have the wrong size or alignment.
    pub fn run<'m>(
        &self,
        pool: &dyn Pool,
        memory: &'m mut [u8],
        pixels: &[u8],
        mut observe: impl FnMut(usize, &[u8]),
    ) -> &'m [f32] {
        assert_eq!(pixels.len(), self.header.input.len(), "wrong number of pixel bytes");
        assert!(memory.len() >= self.memory_bytes(pool.threads()), "too little working memory");
        assert!(memory.as_ptr().addr().is_multiple_of(ALIGN), "working memory is not aligned");
        for step in 0..self.header.steps as usize {
            let base = Memory(memory.as_mut_ptr());
            // SAFETY: `load` checked the record against arena and scratch sizes, and the asserts above
            // that the memory has them.
            unsafe { self.step(&self.record(step), base, pool, pixels) };
            observe(step, memory);
        }
        let logits = &memory[self.header.logits as usize..];
        // SAFETY: `load` checked that the logits lie inside the arena at a multiple of `ALIGN`; every
        // bit pattern is an f32.
        unsafe { slice::from_raw_parts(logits.as_ptr().cast::<f32>(), self.header.classes as usize) }
    }

    /// # Safety
    /// The record is of this plan, and `memory` has `memory_bytes(pool.threads())` bytes.
    unsafe fn step(&self, record: &Record, memory: Memory, pool: &dyn Pool, pixels: &[u8]) {
        let set = self.set;
        // SAFETY (all closures below): offsets lie inside the arena (`load`), `split` hands out
        // disjoint ranges, and each thread uses its own scratch.
        match *record {
            Record::Conv { desc, scalars, x, skip, y, y2, blob, parallel } => {
                let blob = blob.get(self.bytes).expect("checked by load");
                let run = |thread: usize, tasks: Range<usize>| {
                    // SAFETY: see above.
                    unsafe {
                        let args = ConvArgs {
                            desc: &desc,
                            scalars: &scalars,
                            blob,
                            x: match desc.source {
                                Source::Pixels => pixels.as_ptr(),
                                Source::Tensor => memory.at(x as usize),
                            },
                            skip: memory.at(skip as usize),
                            y: memory.at(y as usize),
                            y2: memory.at(y2 as usize),
                            x_rows: desc.x.h,
                            y_rows: desc.y.h,
                            scratch: memory.at(self.arena_bytes() + thread * self.scratch_bytes()),
                        };
                        set.conv(&args, tasks);
                    }
                };
                let tasks = set.conv_tasks(&desc);
                if parallel { split(pool, tasks, &run) } else { run(0, 0..tasks) }
            }
            Record::MaxPool { desc, x, y } => split(pool, desc.y.h, &|_, rows| {
                // SAFETY: see above.
                unsafe { set.max_pool(&desc, memory.at(x as usize), memory.at(y as usize), rows) }
            }),
            Record::AvgPool { shape, scalars, x, y } => {
                // SAFETY: see above.
                unsafe { set.avg_pool(shape, &scalars, memory.at(x as usize), memory.at(y as usize)) }
            }
            Record::Affine { shape, x_zero, out, blob, x, y } => {
                let constants = blob.get(self.bytes).expect("checked by load");
                let floats = constants.as_ptr().cast::<f32>();
                // SAFETY: 8·c bytes at a multiple of `ALIGN`, checked by load.
                let (gain, offset) = unsafe {
                    (
                        slice::from_raw_parts(floats, shape.c),
                        slice::from_raw_parts(floats.add(shape.c), shape.c),
                    )
                };
                split(pool, shape.h, &|_, rows| {
                    // SAFETY: see above.
                    unsafe {
                        let (x, y) = (memory.at(x as usize), memory.at(y as usize));
                        set.affine(shape, x_zero, out, gain, offset, x, y, rows);
                    }
                });
            }
            Record::Add { shape, scalars, a, b, y } => split(pool, shape.h, &|_, rows| {
                // SAFETY: see above.
                unsafe {
                    let (a, b) = (memory.at(a as usize), memory.at(b as usize));
                    set.add(shape, &scalars, a, b, memory.at(y as usize), rows);
                }
            }),
        }
    }
}

/// The working memory, shared by the threads of one step.
#[derive(Clone, Copy)]
struct Memory(*mut u8);

// SAFETY: threads of one step write disjoint parts of it, see `Plan::step`.
unsafe impl Sync for Memory {}

impl Memory {
    /// # Safety
    /// `offset` lies inside the memory.
    unsafe fn at(self, offset: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// Lets the pool's threads take `tasks` in chunks until none is left, so that a slow core does less.
/// `run` is told which thread it is on and which tasks to do.
fn split(pool: &dyn Pool, tasks: usize, run: &(dyn Fn(usize, Range<usize>) + Sync)) {
    let threads = pool.threads();
    if threads == 1 {
        return run(0, 0..tasks);
    }
    let next = AtomicUsize::new(0);
    // A quarter of an even share: late threads are late by little, and chunks stay worth their start.
    let chunk = tasks.div_ceil(threads * 4).max(1);
    pool.run(&|thread| {
        loop {
            // Relaxed: the counter only hands out numbers; `Pool::run` orders the memory.
            let from = next.fetch_add(chunk, Ordering::Relaxed);
            if from >= tasks {
                return;
            }
            run(thread, from..(from + chunk).min(tasks));
        }
    });
}
