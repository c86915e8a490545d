//! The classify loop: image → plan → result.

use embedded_io::Write;
use foldnet_kernels::KernelSet;
use foldnet_plan::{Plan, PlanError};

use crate::arena::Arena;
use crate::frame::{FrameError, FrameSource, Progress};
use crate::report::Report;

/// A checked plan with its memory.
pub struct Classifier {
    plan: Plan<'static>,
    memory: &'static mut [u8],
}

impl Classifier {
    /// Checks the plan, starting with its checksum. Returns [`PlanError::Memory`] if `memory` is too small.
    pub fn new(
        plan: &'static [u8],
        set: &'static dyn KernelSet,
        memory: &'static mut [u8],
    ) -> Result<Self, PlanError> {
        let plan = Plan::load(plan, set)?;
        if plan.memory_bytes(1) > memory.len() || plan.pixels().is_none() {
            return Err(PlanError::Memory);
        }
        Ok(Self { plan, memory })
    }

    /// Returns the memory for the image.
    pub fn pixels(&mut self) -> &mut [u8] {
        match self.plan.pixels() {
            Some(range) => self.memory.get_mut(range).unwrap_or(&mut []),
            None => &mut [],
        }
    }

    /// Classifies the image in [`Classifier::pixels`], which is overwritten. Returns the logits.
    pub fn run(&mut self) -> &[f32] {
        self.plan.run_in_place(self.memory).unwrap_or(&[])
    }
}

/// Returns the index of the largest logit, the first of equals. A single logit decides between two classes by its
/// sign.
pub fn best(logits: &[f32]) -> usize {
    if let &[one] = logits {
        return usize::from(one > 0.0);
    }
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &v) in logits.iter().enumerate() {
        if v > best.1 {
            best = (i, v);
        }
    }
    best.0
}

/// The functions that a board provides to the loop.
pub trait Board {
    /// Returns a free-running counter of cycles or of the board's own unit.
    fn now(&mut self) -> u32;
    /// Returns the ticks from an earlier [`Board::now`] to this moment.
    fn since(&mut self, start: u32) -> u32;
    /// Feeds the watchdog. It is called at least once per poll and per image.
    fn alive(&mut self);
    /// Adds the board's information about its start to the first line.
    fn greet<W: Write>(&mut self, _line: &mut Report<'_, W>) {}
    /// Adds the board's remarks to the results line.
    fn remark<W: Write>(&mut self, _line: &mut Report<'_, W>) {}
    /// Records the next activity, in a note that survives a reset.
    fn doing(&mut self, _what: Doing) {}
    /// Reports that an image was classified in this number of ticks, after its line was sent.
    fn seen(&mut self, _logits: &[f32], _ticks: u32) {}
    /// Reports that an image did not arrive, after its line was sent.
    fn missed(&mut self, _error: &str) {}
}

/// The activity of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Starting, checking the plan.
    Start,
    /// Receiving an image.
    Picture,
    /// Running the network.
    Network,
    /// Sending the result.
    Result,
}

/// The counters of [`classify`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of images classified.
    pub pictures: u32,
    /// The number of images that did not arrive, with any [`FrameError`].
    pub lost: u32,
}

/// Runs one turn of the loop: polls the source once and, if an image is complete, classifies it and writes its
/// line:
///
/// `{"class":3,"ticks":301222,"lost":0,"logits":"…"}`: logits are the hexadecimal digits of their f32, eight per
/// class; `lost` counts images that did not arrive, each of which gets a line `{"error":"damaged","lost":1}`.
pub fn classify<S: FrameSource, W: Write, B: Board>(
    classifier: &mut Classifier,
    source: &mut S,
    results: &mut W,
    board: &mut B,
    counts: &mut Counts,
) {
    board.alive();
    board.doing(Doing::Picture);
    match source.poll(classifier.pixels()) {
        Ok(Progress::Waiting) => {}
        Ok(Progress::Complete) => {
            board.doing(Doing::Network);
            let start = board.now();
            let logits = classifier.run();
            let ticks = board.since(start);
            board.doing(Doing::Result);
            counts.pictures = counts.pictures.wrapping_add(1);
            let mut line = Report::new(results);
            line.text("{\"class\":").number(best(logits) as u32);
            line.text(",\"ticks\":").number(ticks).text(",\"lost\":").number(counts.lost);
            board.remark(&mut line);
            line.text(",\"logits\":\"");
            for logit in logits {
                line.hex(logit.to_bits());
            }
            line.text("\"").close();
            board.seen(logits, ticks);
        }
        Err(error) => {
            #[cfg(feature = "defmt")]
            defmt::warn!("no picture: {}", error);
            counts.lost = counts.lost.wrapping_add(1);
            let mut line = Report::new(results);
            line.text("{\"error\":\"").text(name(error)).text("\",\"lost\":");
            line.number(counts.lost).close();
            board.missed(name(error));
        }
    }
}

/// Runs a board's whole program: writes the first line, which starts with `greeting` and is closed here, then
/// calls [`classify`] forever. A plan that is refused is reported, and reported again after every reset by the
/// board's watchdog, which is no longer fed by [`Board::alive`].
#[inline(always)]
pub fn serve<const N: usize, S: FrameSource, W: Write, B: Board>(
    greeting: &str,
    (plan, set): (&'static [u8], &'static dyn KernelSet),
    arena: &'static Arena<N>,
    source: &mut S,
    results: &mut W,
    board: &mut B,
) -> ! {
    board.doing(Doing::Start);
    if let Some(memory) = arena.take() {
        // The current content of flash may differ from the plan with which the program was linked, so the compiler
        // must not rely on that plan.
        match Classifier::new(core::hint::black_box(plan), set, memory) {
            Ok(mut classifier) => {
                let mut line = Report::new(results);
                line.text(greeting);
                board.greet(&mut line);
                line.close();
                let mut counts = Counts::default();
                loop {
                    classify(&mut classifier, source, results, board, &mut counts);
                }
            }
            Err(error) => {
                Report::new(results).text("{\"error\":\"").text(refused(error)).text("\"").close();
            }
        }
    }
    loop {
        wait();
    }
}

/// Waits for the next interrupt.
fn wait() {
    #[cfg(all(target_arch = "arm", target_os = "none"))]
    // SAFETY: the instruction accesses no memory.
    unsafe {
        core::arch::asm!("wfi", options(nomem, nostack));
    }
}

/// Returns the error's name in the results line.
fn name(error: FrameError) -> &'static str {
    match error {
        FrameError::Bus => "bus",
        FrameError::Timeout => "timeout",
        FrameError::Absent => "absent",
        FrameError::Damaged => "damaged",
    }
}

/// Returns the message for a refused plan, for the results line.
pub fn refused(error: PlanError) -> &'static str {
    match error {
        PlanError::Version(_) => "plan version",
        PlanError::Length | PlanError::Checksum => "damaged",
        PlanError::OtherSet => "plan for other processor",
        PlanError::Memory => "plan too large",
        _ => "plan not valid",
    }
}
