//! Kernel sets for 64-bit ARM, one folder per instruction set.
//!
//! - `neon` (ARMv8.0): widening multiplications.
//! - `dotprod` (ARMv8.2): `sdot`, 16 multiply-accumulates per instruction.
//! - `i8mm` (ARMv8.6): `smmla`, 32 of them.
//!
//! `common/` is shared by the last two, which differ only in their register tile. `cores` detects cores that issue
//! in order, for which `dotprod` has other tiles with the same layout.
//!
//! A set is chosen once, by `is_aarch64_feature_detected!`; on Linux that reads the hardware capabilities which
//! the kernel reports to a process. If cores differ (big.LITTLE), Linux reports only the features common to all of
//! them, so a thread may be moved, or bound, to any core.

mod common;
mod cores;
pub mod dotprod;
pub mod i8mm;
pub mod neon;
