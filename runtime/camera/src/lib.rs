//! The live camera: frames in, labels out, without end.
//!
//! ```text
//! capture thread            this thread                                    whoever serves
//! Source ─ next ─▶ Slot ─▶ Fitter ─ fit ─▶ Backend ─▶ Smoother ─▶ Report ─▶ (terminal, JSON, page)
//!          newest wins
//! ```
//! Where a backend has memory of its own for pixels, as an NPU has, the frame is fitted into that, and who
//! wants to see them reads them there.
//!
//! The age of a frame is counted from the source's timestamp to the label.

pub mod address;
pub mod capture;
#[cfg(feature = "serve")]
pub mod heat;
pub mod keep;
#[cfg(any(feature = "publish", feature = "serve"))]
mod preview;
#[cfg(feature = "publish")]
pub mod publish;
pub mod rest;
pub mod rule;
pub mod rulebook;
mod run;
#[cfg(feature = "serve")]
pub mod serve;
pub mod service;
pub mod signals;
pub mod slot;
pub mod smooth;
pub mod source;
pub mod stats;
#[cfg(feature = "serve")]
pub mod teach;
pub mod temperature;
#[cfg(feature = "tls")]
pub mod tls;

pub use run::{Control, Listener, Model, Pace, Report, run};
