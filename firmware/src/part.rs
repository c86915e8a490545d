//! The parts that programs on real microcontrollers share: the cycle counter, and the note that survives a reset.

use cortex_m::peripheral::DWT;
use embedded_io::Write;

use crate::classify::{Board, Doing};
use crate::diary::{Diary, Page, Past};
use crate::report::Report;

/// A microcontroller. Its counter has 32 bits: at 216 MHz it wraps around in twenty seconds.
pub struct Part<F> {
    feed: F,
    diary: Diary,
    past: Option<Past>,
}

impl<F: FnMut()> Part<F> {
    /// Starts the counter. `feed` feeds the watchdog, which is already running.
    pub fn new(feed: F, page: &'static Page) -> Self {
        // SAFETY: programs have one part, and nothing else in them uses the counter.
        let mut core = unsafe { cortex_m::Peripherals::steal() };
        core.DCB.enable_trace();
        DWT::unlock();
        core.DWT.set_cycle_count(0);
        core.DWT.enable_cycle_counter();
        let (diary, past) = Diary::open(page);
        Self { feed, diary, past }
    }
}

impl<F: FnMut()> Board for Part<F> {
    fn now(&mut self) -> u32 {
        DWT::cycle_count()
    }

    fn since(&mut self, start: u32) -> u32 {
        DWT::cycle_count().wrapping_sub(start)
    }

    fn alive(&mut self) {
        (self.feed)();
    }

    fn greet<W: Write>(&mut self, line: &mut Report<'_, W>) {
        if let Some(past) = self.past {
            past.tell(line);
        }
    }

    fn doing(&mut self, what: Doing) {
        self.diary.note(what);
    }
}
