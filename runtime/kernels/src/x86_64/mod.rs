//! x86-64: what its instruction sets share.
//!
//! Activations are NHWC bytes, u8 = int8 + 128 (the sign bit flipped), because `vpdpbusd` multiplies
//! unsigned by signed and pixels come unsigned; behind them is a little slack that kernels may read.
//! A convolution's walk over tiles is [`walk`], its sizes [`geometry`], its blob [`pack`]; an instruction
//! set brings a [`geometry::Tiling`], a table of register tiles, and the element-wise operators.

// Register tiles are written as the loops over `m` and `v` of their pseudocode.
#![allow(clippy::needless_range_loop)]

mod amx;
mod avx2;
mod avx512vnni;
mod avxvnni;
mod conv;
mod geometry;
mod pack;
mod peak;
mod plumbing;
mod tensor;
mod walk;
mod winograd;

pub use amx::Amx;
pub use avx2::Avx2;
pub use avx512vnni::Avx512Vnni;
pub use avxvnni::AvxVnni;
