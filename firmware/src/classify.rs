//! The loop: image → plan → result.

use embedded_io::Write;
use foldnet_kernels::KernelSet;
use foldnet_plan::{Plan, PlanError};

use crate::arena::Arena;
use crate::frame::{FrameError, FrameSource, Progress};
use crate::report::Report;

/// A plan that was checked, with its memory.
pub struct Classifier {
    plan: Plan<'static>,
    memory: &'static mut [u8],
}

impl Classifier {
    /// Checks the plan, its checksum first. [`PlanError::Memory`] when `memory` is less than it wants.
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

    /// Returns where the image goes.
    pub fn pixels(&mut self) -> &mut [u8] {
        match self.plan.pixels() {
            Some(range) => self.memory.get_mut(range).unwrap_or(&mut []),
            None => &mut [],
        }
    }

    /// Classifies what stands in [`Classifier::pixels`], which is lost. The logits.
    pub fn run(&mut self) -> &[f32] {
        self.plan.run_in_place(self.memory).unwrap_or(&[])
    }
}

/// Returns the index of the greatest logit; the first of equals. One logit decides between two classes by its sign.
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

/// What the board lends the loop.
pub trait Board {
    /// Returns a free-running counter: cycles, or whatever the board counts.
    fn now(&mut self) -> u32;
    /// Ticks from an earlier [`Board::now`] to this moment.
    fn since(&mut self, start: u32) -> u32;
    /// Tells the watchdog that all is well. Called at least once per poll and per image.
    fn alive(&mut self);
    /// Adds to the first line what the board has to say of its start.
    fn greet<W: Write>(&mut self, _line: &mut Report<'_, W>) {}
    /// Adds to the results line what the board has to say.
    fn remark<W: Write>(&mut self, _line: &mut Report<'_, W>) {}
    /// What comes next, for a note that outlives a reset.
    fn doing(&mut self, _what: Doing) {}
    /// An image was classified, in so many ticks; its line is out.
    fn seen(&mut self, _logits: &[f32], _ticks: u32) {}
    /// An image did not come; its line is out.
    fn missed(&mut self, _error: &str) {}
}

/// What the loop is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Starting, checking the plan.
    Start,
    /// Taking an image.
    Picture,
    /// Running the network.
    Network,
    /// Telling the result.
    Result,
}

/// What [`classify`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Images classified.
    pub pictures: u32,
    /// Images that did not come, by any [`FrameError`].
    pub lost: u32,
}

/// One turn of the loop: polls the source once and, when an image is complete, classifies it and writes
/// its line:
///
/// `{"class":3,"ticks":301222,"lost":0,"logits":"…"}`: logits as the hexadecimal digits of their f32,
/// eight per class; `lost` counts images that did not come, and each is told in a line
/// `{"error":"damaged","lost":1}`.
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

/// Returns a board's whole program: the first line, which starts with `greeting` and is closed here, then
/// [`classify`] forever. A plan that is refused is told, and told again after every reset that the board's
/// watchdog makes for want of [`Board::alive`].
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
        // What flash holds now may not be what the program was linked around, so the compiler must not go by that.
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

/// Until the next interrupt.
fn wait() {
    #[cfg(all(target_arch = "arm", target_os = "none"))]
    // SAFETY: touches nothing.
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

/// Returns what to say of a plan that was refused, for the results line.
pub fn refused(error: PlanError) -> &'static str {
    match error {
        PlanError::Version(_) => "plan version",
        PlanError::Length | PlanError::Checksum => "damaged",
        PlanError::OtherSet => "plan for other processor",
        PlanError::Memory => "plan too large",
        _ => "plan not valid",
    }
}
