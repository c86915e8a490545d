//! The plan: a network compiled for one kernel set.
//!
//! A plan is a flat, position-independent sequence of bytes: a header, one record per fused step, and the packed
//! constants. It names every activation by its offset in one arena, so running it allocates nothing.
//! [`Plan::load`] validates it once; after that, the executor's loops contain no checks. The same executor runs
//! plans from the heap on Linux and from flash on a microcontroller.
//!
//! - [`format`](mod@format) describes the bytes; each operator's file in [`foldnet_kernels::op`] describes its
//!   record.
//! - [`Builder`] assembles a plan, [`Plan`] loads and runs it.
//! - [`Pool`] is this crate's interface to threads.
#![cfg_attr(not(test), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
mod aligned;
#[cfg(feature = "alloc")]
mod arena;
#[cfg(feature = "alloc")]
mod builder;
mod crc;
mod execute;
pub mod format;
mod load;
mod pool;
mod share;
pub mod stripes;

#[cfg(feature = "alloc")]
pub use aligned::Aligned;
#[cfg(feature = "alloc")]
pub use arena::{Lifetime, assign_offsets};
#[cfg(feature = "alloc")]
pub use builder::Builder;
pub use crc::crc32;
pub use execute::Plan;
pub use load::PlanError;
pub use pool::{Pool, Single};
