//! Runs a quantized network on this machine.

pub mod aligned;
pub mod backend;
pub mod bench;
pub mod cache;
pub mod camera;
pub mod compile;
pub mod cores;
pub mod dataset;
pub mod frame;
pub mod picture;
pub mod pool;
pub mod session;
pub mod source;

pub use compile::compile;
pub use session::{Session, SessionError, StepInfo, activate};
