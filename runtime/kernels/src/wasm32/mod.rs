//! WebAssembly: its kernel set, register tiles and element-wise operators for [`crate::tiled`].
//!
//! A module that holds one SIMD instruction is refused as a whole by an engine without them, so that nothing is chosen
//! when the program runs: the set is there when the build has the feature `simd128`. Every browser of the last years
//! has it (Chromium 91, Firefox 89, Safari 16.4), and Node from version 16.4.

// Register tiles are written as the loops over `m` and `v` of their pseudocode.
#![allow(clippy::needless_range_loop)]

mod simd128;

pub use simd128::Simd128;
#[cfg(test)]
pub(crate) use simd128::WINOGRAD;
