//! Kernel sets for x86-64, one folder per instruction set.
//!
//! - `avx2`: widening multiplications.
//! - `avxvnni` and `avx512vnni`: `vpdpbusd`, 32 and 64 multiply-accumulates per instruction.
//! - `amx`: tiles of 16 × 16 × 64 multiply-accumulates.
//!
//! [`crate::tiled`] contains the shared parts: the sets differ only in their register tiles and their vectors.

// Register tiles are written as the loops over `m` and `v` of their pseudocode.
#![allow(clippy::needless_range_loop)]

mod amx;
mod avx2;
mod avx512vnni;
mod avxvnni;
mod peak;

pub use amx::Amx;
pub use avx2::Avx2;
#[cfg(test)]
pub(crate) use avx2::WINOGRAD;
pub use avx512vnni::Avx512Vnni;
pub use avxvnni::AvxVnni;
