//! Kernel sets for 64-bit ARM, one folder per instruction set.
//!
//! - `neon` (ARMv8.0): widening multiplications.
//! - `dotprod` (ARMv8.2): `sdot`, 16 multiply-accumulates per instruction.
//! - `i8mm` (ARMv8.6): `smmla`, 32 of them.
//!
//! `common/` is what the last two share: they differ in their register tile only.

mod common;
pub mod dotprod;
pub mod i8mm;
pub mod neon;
