//! Runs a plan.

use core::ops::Range;
use core::slice;

use foldnet_kernels::{ALIGN, ConvArgs, ConvDesc, ConvScalars, KernelSet, Source};

use crate::format::{Blob, Header, NOWHERE, Record, Stripes};
use crate::load::{PlanError, check, record};
use crate::pool::{Pool, Single};
use crate::share::split;
use crate::stripes::schedule;

/// Bytes of a tensor that a thread puts through a table or a sum at a time: a table's own cost is 256.
#[cfg(feature = "gates")]
const TABLE_BYTES: usize = 8192;

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
        record(self.bytes, i).expect("a loaded plan has only known steps")
    }

    /// Where in the working memory the picture may stand, for [`Plan::run_in_place`].
    pub fn pixels(&self) -> Option<Range<usize>> {
        let at = self.header.pixels;
        (at != NOWHERE).then_some(at as usize..at as usize + self.header.input.len())
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
        observe: impl FnMut(usize, &[u8]),
    ) -> &'m [f32] {
        assert_eq!(pixels.len(), self.header.input.len(), "wrong number of pixel bytes");
        assert!(memory.len() >= self.memory_bytes(pool.threads()), "too little working memory");
        assert!(memory.as_ptr().addr().is_multiple_of(ALIGN), "working memory is not aligned");
        // SAFETY: asserted.
        unsafe { self.steps(pool, memory, Picture::Apart(pixels.as_ptr()), observe) }
    }

    /// Classifies the picture that stands in the working memory at [`Plan::pixels`], on the caller's
    /// thread; it is overwritten. Returns the logits, inside `memory`, or `None` when the memory is
    /// too small or not aligned or the plan has no place for a picture. Never panics.
    pub fn run_in_place<'m>(&self, memory: &'m mut [u8]) -> Option<&'m [f32]> {
        let at = self.pixels()?.start;
        let aligned = memory.as_ptr().addr().is_multiple_of(ALIGN);
        if !aligned || memory.len() < self.memory_bytes(1) {
            return None;
        }
        // SAFETY: checked just now.
        Some(unsafe { self.steps(&Single, memory, Picture::Inside(at), |_, _| {}) })
    }

    /// # Safety
    /// `memory` is aligned and has `memory_bytes(pool.threads())` bytes, the picture `input.len()`.
    unsafe fn steps<'m, P: Pool + ?Sized>(
        &self,
        pool: &P,
        memory: &'m mut [u8],
        picture: Picture,
        mut observe: impl FnMut(usize, &[u8]),
    ) -> &'m [f32] {
        let mut before = None;
        for step in 0..self.header.steps as usize {
            // `load` knows them all.
            let Some(record) = record(self.bytes, step) else { break };
            let base = Memory(memory.as_mut_ptr());
            let conv = Conv::new(self, &record, base, picture);
            // SAFETY: `load` checked the record against arena and scratch sizes, and the caller that
            // the memory has them; steps in turns were checked as pairs.
            unsafe {
                match (conv, before.take()) {
                    (Some(conv), _) if conv.stripes.with_next => before = Some(conv),
                    (Some(conv), Some(first)) => self.turns(&first, &conv),
                    (Some(conv), None) => conv.run(pool),
                    (None, _) => self.step(&record, base, pool),
                }
            }
            observe(step, memory);
        }
        // SAFETY: `load` checked that the logits lie inside the arena at a multiple of `ALIGN`; every
        // bit pattern is an f32.
        unsafe {
            let logits = memory.as_ptr().add(self.header.logits as usize).cast::<f32>();
            slice::from_raw_parts(logits, self.header.classes as usize)
        }
    }

    /// Two convolutions in turns, see [`crate::stripes`].
    ///
    /// # Safety
    /// `load` accepted them as such a pair.
    unsafe fn turns(&self, first: &Conv<'_>, second: &Conv<'_>) {
        // `load` saw that there is a schedule.
        let Some(turns) = schedule(&first.desc, &second.desc, self.set) else { return };
        for turn in turns {
            // SAFETY: the caller's promise.
            unsafe {
                first.tasks(0, turn.first);
                second.tasks(0, turn.second..turn.second + 1);
            }
        }
    }

    /// A step that is no convolution.
    ///
    /// # Safety
    /// The record is of this plan, and `memory` has `memory_bytes(pool.threads())` bytes.
    unsafe fn step<P: Pool + ?Sized>(&self, record: &Record, memory: Memory, pool: &P) {
        let set = self.set;
        // SAFETY (all closures below): offsets lie inside the arena (`load`), `split` hands out
        // disjoint ranges, and each thread uses its own scratch.
        match *record {
            Record::Conv { .. } => {}
            Record::MaxPool { desc, x, y } => split(pool, desc.y.h, &|_, rows| {
                // SAFETY: see above.
                unsafe { set.max_pool(&desc, memory.at(x as usize), memory.at(y as usize), rows) }
            }),
            Record::AvgPool { shape, scalars, x, y } => {
                // SAFETY: see above.
                unsafe { set.avg_pool(shape, &scalars, memory.at(x as usize), memory.at(y as usize)) }
            }
            Record::Affine { shape, x_zero, out, blob, x, y } => {
                let Some(constants) = blob.get(self.bytes) else { return };
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
            #[cfg(not(feature = "gates"))]
            Record::Table { .. } | Record::Scale { .. } | Record::Sum { .. } | Record::Dequantize { .. } => {}
            #[cfg(feature = "gates")]
            Record::Table { shape, blob, x, y } => {
                let constants = blob.get(self.bytes).and_then(|b| <&[u8; 256]>::try_from(b).ok());
                // Checked by load.
                let Some(table) = constants.map(|b| b.map(|b| b as i8)) else { return };
                let bytes = set.tensor_bytes(shape);
                split(pool, bytes.div_ceil(TABLE_BYTES), &|_, pieces| {
                    let piece = pieces.start * TABLE_BYTES..(pieces.end * TABLE_BYTES).min(bytes);
                    // SAFETY: see above.
                    unsafe { set.table(&table, memory.at(x as usize), memory.at(y as usize), piece) }
                });
            }
            #[cfg(feature = "gates")]
            Record::Scale { shape, scalars, x, gate, y } => split(pool, shape.h, &|thread, rows| {
                // SAFETY: see above.
                unsafe {
                    let (x, gate) = (memory.at(x as usize), memory.at(gate as usize));
                    let scratch = memory.at(self.arena_bytes() + thread * self.scratch_bytes());
                    set.scale(shape, &scalars, x, gate, memory.at(y as usize), scratch, rows);
                }
            }),
            #[cfg(feature = "gates")]
            Record::Sum { shape, out, count, ref terms, x, y } => {
                // Checked by load.
                let Some(terms) = terms.get(..count as usize) else { return };
                let bytes = set.tensor_bytes(shape);
                split(pool, bytes.div_ceil(TABLE_BYTES), &|_, pieces| {
                    let piece = pieces.start * TABLE_BYTES..(pieces.end * TABLE_BYTES).min(bytes);
                    // SAFETY: see above; what stands behind the last term is not read.
                    unsafe {
                        let x = x.map(|x| memory.0.wrapping_add(x as usize).cast_const());
                        set.sum(terms, out, &x, memory.at(y as usize), piece);
                    }
                });
            }
            #[cfg(feature = "gates")]
            Record::Dequantize { shape, zero, scale, x, y } => {
                // SAFETY: see above; offsets are multiples of `ALIGN`.
                unsafe {
                    set.dequantize(shape, zero, scale, memory.at(x as usize), memory.at(y as usize).cast());
                }
            }
        }
    }
}

/// Where the picture is.
#[derive(Clone, Copy)]
enum Picture {
    /// Outside the working memory.
    Apart(*const u8),
    /// In the arena, at this offset.
    Inside(usize),
}

// SAFETY: a picture apart is only read.
unsafe impl Sync for Picture {}

/// A convolution of a plan, ready to run.
struct Conv<'a> {
    desc: ConvDesc,
    scalars: ConvScalars,
    offsets: [u32; 4],
    blob: &'a [u8],
    parallel: bool,
    stripes: Stripes,
    memory: Memory,
    /// Where the first thread's scratch is, and how far the next one's.
    scratch: (usize, usize),
    picture: Picture,
    set: &'static dyn KernelSet,
}

impl<'a> Conv<'a> {
    /// `None` when the record is another step.
    fn new(plan: &Plan<'a>, record: &Record, memory: Memory, picture: Picture) -> Option<Self> {
        let Record::Conv { desc, scalars, x, skip, y, y2, blob, parallel, stripes } = *record else {
            return None;
        };
        let scratch = match stripes.scratch {
            NOWHERE => (plan.arena_bytes(), plan.scratch_bytes()),
            at => (at as usize, 0),
        };
        let blob: Blob = blob;
        // A plan that was loaded has its constants.
        let blob = blob.get(plan.bytes)?;
        let parallel = parallel && stripes.scratch == NOWHERE;
        let (offsets, set) = ([x, skip, y, y2], plan.set);
        Some(Self { desc, scalars, offsets, blob, parallel, stripes, memory, scratch, picture, set })
    }

    /// # Safety
    /// See [`Plan::steps`].
    unsafe fn run<P: Pool + ?Sized>(&self, pool: &P) {
        let tasks = self.set.conv_tasks(&self.desc);
        // SAFETY: `split` hands out disjoint ranges, and each thread uses its own scratch.
        let run = |thread, tasks| unsafe { self.tasks(thread, tasks) };
        if self.parallel { split(pool, tasks, &run) } else { run(0, 0..tasks) }
    }

    /// # Safety
    /// See [`Plan::steps`]; no other thread has these tasks, or runs under this number.
    unsafe fn tasks(&self, thread: usize, tasks: Range<usize>) {
        let [x, skip, y, y2] = self.offsets.map(|at| at as usize);
        // SAFETY: offsets lie inside the arena (`load`).
        unsafe {
            let memory = self.memory;
            let args = ConvArgs {
                desc: &self.desc,
                scalars: &self.scalars,
                blob: self.blob,
                x: match (self.desc.source, self.picture) {
                    (Source::Pixels, Picture::Apart(pixels)) => pixels,
                    (Source::Pixels, Picture::Inside(at)) => memory.at(at),
                    (Source::Tensor, _) => memory.at(x),
                },
                skip: memory.at(skip),
                y: memory.at(y),
                y2: memory.at(y2),
                x_rows: self.stripes.x_rows as usize,
                y_rows: self.stripes.y_rows as usize,
                scratch: memory.at(self.scratch.0 + thread * self.scratch.1),
            };
            self.set.conv(&args, tasks);
        }
    }
}

/// The working memory, shared by the threads of one step.
#[derive(Clone, Copy)]
struct Memory(*mut u8);

// SAFETY: threads of one step write disjoint parts of it, see `Conv::run` and `Plan::step`.
unsafe impl Sync for Memory {}

impl Memory {
    /// # Safety
    /// `offset` lies inside the memory.
    unsafe fn at(self, offset: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}
