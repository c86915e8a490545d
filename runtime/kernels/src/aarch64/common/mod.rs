//! The parts that AArch64 kernel sets share: the layout of activations, the operators that are bound by loads and
//! rounding instead of multiplications, and the convolution around a register tile.
//!
//! A set with a [`tile::Tile`] for the blocked layout is a [`Blocked`] of it.

pub(crate) mod add;
pub(crate) mod affine;
pub(crate) mod avg_pool;
pub(crate) mod driver;
pub(crate) mod epilogue;
pub(crate) mod geometry;
pub(crate) mod layout;
pub(crate) mod max_pool;
pub(crate) mod pack_a;
pub(crate) mod pack_b;
pub(crate) mod requant;
pub(crate) mod set;
pub(crate) mod tile;

pub(crate) use set::Blocked;
