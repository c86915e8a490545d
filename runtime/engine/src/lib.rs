//! Runs a quantized network on this machine.

pub mod aligned;
pub mod backend;
pub mod cache;
pub mod compile;
pub mod cores;
pub mod pool;
pub mod session;

pub use compile::compile;
pub use session::{Session, SessionError, StepInfo, activate};
