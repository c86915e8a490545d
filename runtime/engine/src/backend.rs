//! The interface of everything that can replace a [`Session`]: an NPU, another engine.
//!
//! A backend receives pixels (u8, HWC, of the network's size) and returns one score per class. Where its model
//! comes from is up to the backend.

use std::error::Error;

use crate::session::Session;

/// The reason why a backend returned no answer.
#[derive(Debug, thiserror::Error)]
#[error("{backend}: {problem}")]
pub struct BackendError {
    backend: &'static str,
    problem: Box<dyn Error + Send + Sync>,
}

impl BackendError {
    /// Creates an error from the backend's name and the cause.
    pub fn new(backend: &'static str, problem: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { backend, problem: problem.into() }
    }

    /// Returns the backend's own error if it has this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.problem.downcast_ref()
    }
}

/// Turns pixels into one score per class.
pub trait Backend: Send {
    /// Describes the backend in a few words.
    fn about(&self) -> String;

    /// Classifies one image: u8 pixels, HWC. The network's last function has been applied to the scores.
    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError>;

    /// Returns the backend's own input memory, if it has any. Pixels written there need not be copied.
    fn memory(&mut self) -> Option<&mut dyn Memory> {
        None
    }
}

/// Memory from which a backend reads its pixels.
pub trait Memory {
    /// Returns room for one image, u8, HWC. Its content stays until it is overwritten.
    fn pixels(&mut self) -> &mut [u8];

    /// Like [`Backend::classify`], for the image in this memory.
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
