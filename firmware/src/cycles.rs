//! The processor's cycle counter, of 32 bits: at 216 MHz it goes round in twenty seconds. QEMU has none.

use cortex_m::peripheral::{DCB, DWT};

/// The counter, running.
pub struct Cycles(());

impl Cycles {
    /// Starts it.
    pub fn start(mut trace: DCB, mut counter: DWT) -> Self {
        trace.enable_trace();
        DWT::unlock();
        counter.set_cycle_count(0);
        counter.enable_cycle_counter();
        Self(())
    }

    /// Cycles so far.
    pub fn now(&self) -> u32 {
        DWT::cycle_count()
    }

    /// Cycles from an earlier [`Cycles::now`] to this moment.
    pub fn since(&self, start: u32) -> u32 {
        self.now().wrapping_sub(start)
    }
}
