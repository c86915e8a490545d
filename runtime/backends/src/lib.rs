//! What can answer beside the plan. A new backend is one file here and an arm in the program's `cmd/backend.rs`.
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
pub mod bench;
#[cfg(feature = "rknn")]
pub mod rknn;
#[cfg(feature = "tract")]
pub mod tract;
