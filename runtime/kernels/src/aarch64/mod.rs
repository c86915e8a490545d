//! Kernel sets for 64-bit ARM, one folder per instruction set.
//!
//! - `neon` (ARMv8.0): widening multiplications.
//! - `dotprod` (ARMv8.2): `sdot`, 16 multiply-accumulates per instruction.
//! - `i8mm` (ARMv8.6): `smmla`, 32 of them.
//!
//! `common/` is what the last two share: they differ in their register tile only. `cores` tells cores that issue in
//! order from others, for which `dotprod` has other tiles of the same layout.
//!
//! A set is chosen once, by what `is_aarch64_feature_detected!` says; on Linux that is the hardware capabilities
//! which the kernel hands to a process. Where cores differ (big.LITTLE), Linux reports only what all of them have,
//! so that a thread may be moved, or bound, to any core.

mod common;
mod cores;
pub mod dotprod;
pub mod i8mm;
pub mod neon;
