//! Runs a quantized network on this machine.

pub mod aligned;
pub mod compile;
// pub mod session;
