//! What can answer in place of a [`Session`]: an NPU, another engine.
//!
//! A backend gets pixels (u8, HWC, of the network's size) and returns one score per class. How it came by
//! its model is its own affair.

use std::error::Error;

use crate::session::Session;

/// Why a backend has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{backend}: {problem}")]
pub struct BackendError {
    backend: &'static str,
    problem: Box<dyn Error + Send + Sync>,
}

impl BackendError {
    /// The backend's name, and what happened to it.
    pub fn new(backend: &'static str, problem: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { backend, problem: problem.into() }
    }

    /// The backend's own error, if it is of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.problem.downcast_ref()
    }
}

/// Turns pixels into one score per class.
pub trait Backend: Send {
    /// What computes, in a few words.
    fn about(&self) -> String;

    /// Classifies one image: u8 pixels, HWC. The scores have the network's last function applied.
    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError>;

    /// Memory of the backend's own that pixels can be made in, where it has such: they need not be copied then.
    fn memory(&mut self) -> Option<&mut dyn Memory> {
        None
    }
}

/// Where a backend reads its pixels.
pub trait Memory {
    /// Room for one image, u8, HWC. What is written stays until it is written again.
    fn pixels(&mut self) -> &mut [u8];

    /// [`Backend::classify`] of what stands there.
    fn classify(&mut self) -> Result<&[f32], BackendError>;
}

impl Backend for Session {
    fn about(&self) -> String {
        let threads = self.threads();
        format!("{}, {threads} thread{}", self.set().name(), if threads == 1 { "" } else { "s" })
    }

    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        Ok(Session::classify(self, pixels))
    }
}
