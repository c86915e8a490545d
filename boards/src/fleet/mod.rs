//! Many boards: who they are, in what order they are flashed, and what has been done.

pub mod inventory;
pub mod log;
pub mod rollout;
