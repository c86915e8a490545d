//! Runs a plan.

use core::ops::{Deref, Range};
use core::slice;

use foldnet_kernels::record::{Machine, Pixels};
use foldnet_kernels::{ALIGN, KernelSet};

#[cfg(feature = "alloc")]
use crate::aligned::Aligned;
use foldnet_kernels::op::Operation;

use crate::format::{ConvRecord, Header, NOWHERE, Record};
use crate::load::{PlanError, check, record};
use crate::pool::{Pool, Single};
use crate::share::split;
use crate::stripes::schedule;

/// A validated plan and the kernel set it runs on.
pub struct Plan<'a> {
    bytes: Bytes<'a>,
    header: Header,
    set: &'static dyn KernelSet,
}

/// A plan's bytes. They never change: their owner has either given them to the plan or lent them.
enum Bytes<'a> {
    Lent(&'a [u8]),
    #[cfg(feature = "alloc")]
    Owned(Aligned),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            #[cfg(feature = "alloc")]
            Self::Owned(bytes) => bytes,
        }
    }
}

impl<'a> Plan<'a> {
    /// Validates `bytes`, which must start at a multiple of [`ALIGN`]. Reads all of them once.
    pub fn load(bytes: &'a [u8], set: &'static dyn KernelSet) -> Result<Self, PlanError> {
        Ok(Self { header: check(bytes, set)?, bytes: Bytes::Lent(bytes), set })
    }

    /// Like [`Plan::load`], for bytes that the plan owns.
    #[cfg(feature = "alloc")]
    pub fn own(bytes: Aligned, set: &'static dyn KernelSet) -> Result<Self, PlanError> {
        Ok(Self { header: check(&bytes, set)?, bytes: Bytes::Owned(bytes), set })
    }

    /// Returns the plan's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the kernel set.
    pub fn set(&self) -> &'static dyn KernelSet {
        self.set
    }

    /// Returns the record of step `i`, which must be below `header().steps`.
    pub fn record(&self, i: usize) -> Record {
        record(&self.bytes, i).expect("a loaded plan has only known steps")
    }

    /// Returns the place for the image in the working memory, for [`Plan::run_in_place`].
    pub fn pixels(&self) -> Option<Range<usize>> {
        let at = self.header.pixels;
        (at != NOWHERE).then_some(at as usize..at as usize + self.header.input.len())
    }

    /// Returns the size in bytes of the working memory that [`Plan::run`] needs for this many threads.
    pub fn memory_bytes(&self, threads: usize) -> usize {
        self.header.memory_bytes(threads)
    }

    /// Classifies one image. `pixels` has `input.len()` bytes; `memory` has at least [`Plan::memory_bytes`] and is
    /// aligned to [`ALIGN`]. After each step, `observe` receives the step's number and the memory, to take times
    /// or to look at activations. Returns the logits, inside `memory`.
    ///
    /// # Panics
    /// Panics if `pixels` or `memory` has the wrong size or alignment.
    pub fn run<'m>(
        &self,
        pool: &dyn Pool,
        memory: &'m mut [u8],
        pixels: &[u8],
        observe: impl FnMut(usize, &[u8]),
    ) -> &'m [f32] {
        assert_eq!(pixels.len(), self.header.input.len(), "wrong number of pixel bytes");
        assert!(memory.len() >= self.memory_bytes(pool.threads()), "too little working memory");
        assert!(memory.as_ptr().addr().is_multiple_of(ALIGN), "working memory is not aligned");
        // SAFETY: the assertions above.
        unsafe { self.steps(pool, memory, Pixels::Apart(pixels.as_ptr()), observe) }
    }

    /// Classifies the image at [`Plan::pixels`] in the working memory, on the caller's thread. The image is
    /// overwritten. Returns the logits, inside `memory`. Returns `None` if the memory is too small or not aligned,
    /// or if the plan has no place for an image. Never panics.
    pub fn run_in_place<'m>(&self, memory: &'m mut [u8]) -> Option<&'m [f32]> {
        let at = self.pixels()?.start;
        let aligned = memory.as_ptr().addr().is_multiple_of(ALIGN);
        if !aligned || memory.len() < self.memory_bytes(1) {
            return None;
        }
        // SAFETY: checked above.
        Some(unsafe { self.steps(&Single, memory, Pixels::Inside(at), |_, _| {}) })
    }

    /// # Safety
    /// `memory` is aligned and has `memory_bytes(pool.threads())` bytes; the image has `input.len()`.
    unsafe fn steps<'m, P: Pool + ?Sized>(
        &self,
        pool: &P,
        memory: &'m mut [u8],
        pixels: Pixels,
        mut observe: impl FnMut(usize, &[u8]),
    ) -> &'m [f32] {
        let plan: &[u8] = &self.bytes;
        let mut before: Option<ConvRecord> = None;
        for step in 0..self.header.steps as usize {
            // `load` accepted only steps of known kinds.
            let Some(record) = record(plan, step) else { break };
            let scratch = (self.header.arena_bytes(), self.header.scratch_bytes());
            // SAFETY: `load` accepted the plan for this set; the caller guarantees the rest.
            let on = unsafe { Machine::new(plan, self.set, memory.as_mut_ptr(), scratch, pixels) };
            // SAFETY: `load` checked each record, and those in turns as pairs; no other thread runs tasks of this
            // plan.
            unsafe {
                match (&record, before.take()) {
                    (Record::Conv(conv), _) if conv.stripes.with_next => before = Some(*conv),
                    (Record::Conv(conv), Some(first)) => self.turns(&first, conv, &on),
                    _ => all(&record, &on, pool),
                }
            }
            observe(step, memory);
        }
        // SAFETY: `load` checked that the logits are inside the arena at a multiple of `ALIGN`; every bit pattern
        // is an f32.
        unsafe {
            let logits = memory.as_ptr().add(self.header.logits as usize).cast::<f32>();
            slice::from_raw_parts(logits, self.header.classes as usize)
        }
    }

    /// Runs two convolutions in turns, see [`crate::stripes`].
    ///
    /// # Safety
    /// `load` accepted these two as such a pair.
    unsafe fn turns(&self, first: &ConvRecord, second: &ConvRecord, on: &Machine<'_>) {
        // `load` checked that there is a schedule.
        let Some(turns) = schedule(&first.desc, &second.desc, self.set) else { return };
        for turn in turns {
            // SAFETY: guaranteed by the caller.
            unsafe {
                first.run(on, 0, turn.first);
                second.run(on, 0, turn.second..turn.second + 1);
            }
        }
    }
}

/// Runs all tasks of a step, distributed over the threads.
///
/// # Safety
/// The record belongs to the plan that `on` runs, and no thread runs another step of it.
unsafe fn all<P: Pool + ?Sized>(record: &Record, on: &Machine<'_>, pool: &P) {
    let tasks = record.tasks(on.set());
    // SAFETY: `split` hands out disjoint ranges, and each thread has its own number.
    let run = |thread, tasks: Range<usize>| unsafe { record.run(on, thread, tasks) };
    if tasks == 1 || record.alone() { run(0, 0..tasks) } else { split(pool, tasks, &run) }
}
