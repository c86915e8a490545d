//! Kernel sets for 64-bit ARM, one folder per instruction set.

pub mod neon;
