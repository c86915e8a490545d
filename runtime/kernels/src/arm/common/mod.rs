//! The parts that the Cortex-M kernel sets share: everything except [`tile::Isa`].

pub(crate) mod add;
pub(crate) mod affine;
pub(crate) mod avg_pool;
pub(crate) mod driver;
pub(crate) mod epilogue;
pub(crate) mod geometry;
pub(crate) mod max_pool;
pub(crate) mod pack_a;
#[cfg(feature = "alloc")]
pub(crate) mod pack_b;
pub(crate) mod set;
pub(crate) mod tile;
