//! WebAssembly: its kernel set, register tiles and element-wise operators for [`crate::tiled`].
//!
//! An engine without SIMD refuses a module that contains one such instruction as a whole, so nothing is chosen
//! when the program runs: the set exists if the build has the feature `simd128`. Every browser of recent years
//! supports it (Chromium 91, Firefox 89, Safari 16.4), and Node does from version 16.4.

// Register tiles are written as the loops over `m` and `v` of their pseudocode.
#![allow(clippy::needless_range_loop)]

mod simd128;

pub use simd128::Simd128;
#[cfg(test)]
pub(crate) use simd128::WINOGRAD;
