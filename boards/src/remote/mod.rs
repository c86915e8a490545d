//! The host's side of a Linux board.

pub mod flash;
pub mod ssh;
