//! What can answer beside the plan. A new backend is one file here and a line in `cmd/classify.rs`.

#[cfg(feature = "tract")]
pub mod tract;

use crate::session::Session;

/// Why a backend has no answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// tract refuses the network or fails at it.
    #[error("tract: {0}")]
    Tract(String),
}

/// Turns pixels into one score per class.
pub trait Backend {
    /// Classifies one picture: u8 pixels, HWC. The scores have the network's last function applied.
    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError>;
}

impl Backend for Session {
    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        Ok(Session::classify(self, pixels))
    }
}
