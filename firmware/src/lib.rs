//! The code that the boards' programs share: frames from a byte stream, the classify loop, the results line.
//!
//! It is `no_std`, has no heap, and cannot panic: the programs are linked so that a reachable panic is a link
//! error (see [`panic`]). Memory is one static [`Arena`] with the plan's size, which is checked when the program
//! is built and again when it starts.
#![cfg_attr(not(test), no_std)]

pub mod arena;
pub mod camera;
pub mod classify;
pub mod cobs;
pub mod diary;
#[cfg(feature = "display")]
pub mod display;
pub mod frame;
mod memory;
pub mod panic;
#[cfg(feature = "part")]
pub mod part;
#[cfg(feature = "rp2350-pico2")]
pub mod pico2;
#[cfg(any(feature = "qemu-mps2-an386", feature = "qemu-mps2-an500", feature = "qemu-mps3-an547"))]
pub mod qemu;
pub mod report;
pub mod serial;

pub use arena::Arena;
pub use classify::{Classifier, classify};
pub use frame::{FrameError, FrameSource, Progress};
