//! The progress of a quantization, and its decisions.

use crate::quantize::QuantizeError;

/// Receives the progress of a quantization.
pub trait Progress: Sync {
    /// Reports the start of a stage with this many ticks.
    fn stage(&self, name: &str, ticks: usize);
    /// Reports that one tick is done.
    fn tick(&self);
    /// Reports something that a person may want to know.
    fn note(&self, _words: &str) {}
    /// Returns whether the caller wants to stop. It is called on the thread that quantizes, between trials.
    fn stopped(&self) -> bool {
        false
    }
}

/// Reports one tick; returns an error if the caller wants to stop.
pub(super) fn step(progress: &dyn Progress) -> Result<(), QuantizeError> {
    progress.tick();
    if progress.stopped() { Err(QuantizeError::Stopped) } else { Ok(()) }
}

/// Ignores all reports.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: usize) {}
    fn tick(&self) {}
}

/// A pass that changes numbers, and its result.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Decision {
    /// The pass.
    pub pass: String,
    /// The signal-to-noise ratio of the answers before, in dB; `None` if a comparison would make no sense.
    pub before: Option<f64>,
    /// The signal-to-noise ratio of the answers after, in dB.
    pub after: f64,
    /// Whether its result was kept.
    pub kept: bool,
    /// The decision in words.
    pub note: String,
}

impl Decision {
    /// Creates a decision that is kept if it lowers the noise.
    pub fn new(pass: &str, before: f64, after: f64, note: String) -> Self {
        Self { pass: pass.into(), before: Some(before), after, kept: after > before, note }
    }
}
