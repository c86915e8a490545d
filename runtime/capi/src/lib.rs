//! Foldnet's C interface. `foldnet.h` describes it to its callers; cbindgen makes that file from this crate.
//!
//! - `classifier.rs` opens, describes and closes.
//! - `run.rs` classifies.
//! - `image.rs` reads the caller's pixels where they lie.
//! - `status.rs` turns errors and panics into codes and messages.
//!
//! Callers hold a pointer to a [`Classifier`](classifier::Classifier). What may change stands behind a mutex that is
//! never waited for, so that two calls at the same time are an error and not a race.
// Callers read the header, whose beginning has this for all functions.
#![allow(clippy::missing_safety_doc)]

pub mod classifier;
pub mod image;
pub mod run;
pub mod status;
#[cfg(test)]
mod tests;
