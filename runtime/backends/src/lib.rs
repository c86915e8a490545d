//! Backends that can classify instead of the plan. A new backend needs one file in this crate and an arm in the
//! program's `cmd/backend.rs`.
//!
//! A backend receives pixels (u8, HWC, of the network's size) and returns one score per class. Where its model
//! comes from is up to the backend. So other NPUs fit without a change in the callers, each with its own model in
//! the archive ([`foldnet_archive::NpuModel`]):
//! - *Arm Ethos-U:* the export exists. `converter export --ethos-u` writes an int8 TFLite file with the network's
//!   own scales, compares LiteRT's answers with the archive's, compiles the file with Vela, and reports Vela's
//!   estimate of cycles and memory. A backend that runs the result does not exist yet. On Linux (U65, U85) it
//!   would open `/dev/ethosu0`, keep command stream and weights in one DMA buffer, and copy pixels − 128 into the
//!   arena at the offset that Vela reports. On a microcontroller the firmware would pass both to Arm's driver
//!   instead of running the plan. The logits are int8 there, with a scale of their own.
//! - *VeriSilicon through TIM-VX (i.MX 8M Plus, A311D):* the graph is built at load time from the archive's own
//!   steps with asymmetric u8 or i8 tensors; its compiled form can be cached as a binary graph. The library is
//!   loaded with `dlopen`, as here.
//! - *Hailo:* HailoRT loads a `.hef` from the vendor's compiler. The input stream is u8 NHWC; the output stream is
//!   u8 with scale and zero point per tensor, decoded like the int8 output in [`rknn`].

pub mod auto;
pub mod bench;
#[cfg(feature = "rknn")]
pub mod rknn;
