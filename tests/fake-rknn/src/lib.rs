//! A library with librknnrt's interface, for tests on machines without an NPU.
//!
//! It checks every call against what the vendor documents (SDK 2.3.2): order, sizes, formats, memory that is
//! freed twice or too late, contexts used after their end. What is wrong is refused with the documented
//! code, printed on standard error, and counted: [`fake_rknn_complaints`]. It computes with our portable
//! kernels and gives the logits as an NPU would: half precision or int8, in blocks of channels (NC1HWC2).
//!
//! The models it loads are made by [`Model::pack`]: a Foldnet archive behind a header that names chip and
//! toolkit, and a [`Fault`] to act out. The environment says what the device is: `FAKE_RKNN_CHIP` (rk3588),
//! `FAKE_RKNN_LIBRARY` (2.3.2), `FAKE_RKNN_DRIVER` (0.9.8), and `FAKE_RKNN_FAULT`, which counts before the
//! model's.

mod context;
mod exports;
mod model;

pub use exports::{fake_rknn_alive, fake_rknn_complaints};
pub use model::{Fault, Logits, Model};
