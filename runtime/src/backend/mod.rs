//! What can answer beside the plan. A new backend is one file here and a line in `cmd/backend.rs`.
//!
//! A backend gets pixels (u8, HWC, of the network's size) and gives one score per class; how it came by its
//! model is its own affair. So other NPUs fit without a change in the callers, each with a model of its own in
//! the archive ([`foldnet_archive::NpuModel`]):
//! - *Arm Ethos-U:* built is the way there. `converter export --ethos-u` writes an int8 TFLite file with the
//!   network's own scales, holds LiteRT's answers against the archive's, has Vela compile the file, and reports
//!   Vela's estimate of cycles and memory. Not built is what runs the result. Under Linux (U65, U85) a backend
//!   would open `/dev/ethosu0`, keep command stream and weights in one DMA buffer, and copy pixels − 128 into the
//!   arena at the offset that Vela wrote down; on a microcontroller the firmware would hand both to Arm's driver
//!   in place of the plan. The logits come as int8 there, with a scale of their own.
//! - *VeriSilicon through TIM-VX (i.MX 8M Plus, A311D):* the graph is built at load from the archive's own steps
//!   with asymmetric u8 or i8 tensors; its compiled form can be cached as binary graph. `dlopen` as here.
//! - *Hailo:* HailoRT loads a `.hef` from the vendor's compiler; input stream u8 NHWC, output stream u8 with
//!   scale and zero point per tensor, decoded as [`rknn`] decodes its int8.

pub mod auto;
#[cfg(feature = "rknn")]
pub mod rknn;
#[cfg(feature = "tract")]
pub mod tract;

use crate::session::Session;

/// Why a backend has no answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// tract refuses the network or fails at it.
    #[error("tract: {0}")]
    Tract(String),
    /// The NPU does not answer.
    #[cfg(feature = "rknn")]
    #[error("NPU: {0}")]
    Rknn(#[from] rknn::RknnError),
}

/// Turns pixels into one score per class.
pub trait Backend: Send {
    /// What computes, in a few words.
    fn about(&self) -> String;

    /// Classifies one picture: u8 pixels, HWC. The scores have the network's last function applied.
    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError>;

    /// Memory of the backend's own that pixels can be made in, where it has such: they need not be copied then.
    fn memory(&mut self) -> Option<&mut dyn Memory> {
        None
    }
}

/// Where a backend reads its pixels.
pub trait Memory {
    /// Room for one picture, u8, HWC. What is written stays until it is written again.
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
