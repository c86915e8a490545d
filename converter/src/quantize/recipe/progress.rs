//! What a caller hears of a quantization while it runs, and what was decided.

use crate::quantize::QuantizeError;

/// Told what is going on.
pub trait Progress: Sync {
    /// A stage of this many ticks begins.
    fn stage(&self, name: &str, ticks: usize);
    /// One tick of it is done.
    fn tick(&self);
    /// Something that a person may want to know.
    fn note(&self, _words: &str) {}
    /// Returns whether the caller has given up. Asked on the thread that quantizes, between trials.
    fn stopped(&self) -> bool {
        false
    }
}

/// One tick, and an error if the caller has given up.
pub(super) fn step(progress: &dyn Progress) -> Result<(), QuantizeError> {
    progress.tick();
    if progress.stopped() { Err(QuantizeError::Stopped) } else { Ok(()) }
}

/// No reports.
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: usize) {}
    fn tick(&self) {}
}

/// A pass that changes numbers, and what came of it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Decision {
    /// The pass.
    pub pass: String,
    /// Signal to noise of the answers before, in dB; none where that would compare unlike things.
    pub before: Option<f64>,
    /// Signal to noise of the answers after, in dB.
    pub after: f64,
    /// Whether its result was kept.
    pub kept: bool,
    /// In words.
    pub note: String,
}

impl Decision {
    /// Kept if it lowers the noise.
    pub fn new(pass: &str, before: f64, after: f64, note: String) -> Self {
        Self { pass: pass.into(), before: Some(before), after, kept: after > before, note }
    }
}
