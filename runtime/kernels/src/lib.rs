//! int8 kernels for residual networks: one definition, bit-exact on every instruction set.
//!
//! - [`op`] is what each operator is: its arithmetic in naive loops, and everything else about it.
//! - [`reference`](mod@reference) names the arithmetic alone.
//! - [`KernelSet`] is what a plan runs on; [`dispatch`] finds the best one for this CPU.
//! - `<arch>/<isa>/<op>.rs` are the fast ones, each tested against the definition with zero tolerance.
//!
//! The crate is `no_std`; packing needs an allocator, running does not.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(all(target_arch = "aarch64", feature = "alloc"))]
mod aarch64;
mod arm;
pub mod dispatch;
#[cfg(feature = "network")]
pub mod network;
pub mod op;
mod portable;
mod quant;
pub mod record;
pub mod reference;
mod set;
mod shape;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(all(any(target_arch = "aarch64", target_arch = "x86_64"), feature = "alloc"))]
mod winograd;
#[cfg(all(target_arch = "x86_64", feature = "alloc"))]
mod x86_64;

pub use arm::{Dsp, Helium};
pub use op::add::AddScalars;
pub use op::avg_pool::AvgPoolScalars;
#[cfg(feature = "gates")]
pub use op::scale::ScaleScalars;
#[cfg(feature = "gates")]
pub use op::sum::{MAX_TERMS, SumTerm};
pub use portable::Portable;
pub use quant::{Requant, round_ties_even};
pub use set::{ALIGN, ConvArgs, ConvScalars, ConvWeights, KernelSet};
pub use shape::{
    ConvDesc, ConvOutput, MAX_KERNEL, MAX_SIDE, MAX_VOLUME, PoolDesc, Shape, ShapeError, Source,
};
#[cfg(all(target_arch = "x86_64", feature = "alloc"))]
pub use x86_64::{Amx, Avx2, Avx512Vnni, AvxVnni};
