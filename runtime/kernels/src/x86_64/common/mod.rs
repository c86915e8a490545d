//! What the x86-64 kernel sets share.
//!
//! Activations are NHWC bytes, u8 = int8 + 128 (the sign bit flipped), because `vpdpbusd` multiplies
//! unsigned by signed and pixels come unsigned; behind them is a little slack that kernels may read.
//! An instruction set brings a [`geometry::Tiling`], a table of register tiles, and the element-wise operators.

pub(crate) mod conv;
pub(crate) mod driver;
pub(crate) mod epilogue;
pub(crate) mod geometry;
pub(crate) mod layout;
pub(crate) mod pack_a;
pub(crate) mod pack_b;
pub(crate) mod peak;
pub(crate) mod set;
pub(crate) mod winograd;
