//! Convolution with register tiles: the parts that the sets of x86-64 and WebAssembly share.
//!
//! Activations are NHWC bytes, u8 = int8 + 128 (the sign bit flipped), because `vpdpbusd` multiplies unsigned by
//! signed and pixels are unsigned. A few bytes of slack follow them, which kernels may read. An instruction set
//! provides a [`geometry::Tiling`], a table of register tiles, and its [`vector::Vector`], over which the
//! element-wise operators and the epilogue are generic; [`set`] implements a [`crate::KernelSet`] with them.

// Register tiles are written as the loops over `m` and `v` of their pseudocode.
#![allow(clippy::needless_range_loop)]
// Some parts serve x86-64 alone.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

pub(crate) mod add;
pub(crate) mod affine;
pub(crate) mod avg_pool;
pub(crate) mod conv;
pub(crate) mod driver;
pub(crate) mod epilogue;
pub(crate) mod geometry;
pub(crate) mod layout;
pub(crate) mod max_pool;
pub(crate) mod pack_a;
pub(crate) mod pack_b;
pub(crate) mod set;
pub(crate) mod vector;
pub(crate) mod winograd;
