//! int8 kernels for residual networks: one definition, bit-exact on every instruction set.
//!
//! - [`reference`](mod@reference) is the definition, in naive loops.
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
mod portable;
mod quant;
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
pub use portable::Portable;
pub use quant::{Requant, round_ties_even};
pub use set::{
    ALIGN, AddScalars, AvgPoolScalars, ConvArgs, ConvScalars, ConvWeights, KernelSet, MAX_TERMS,
    ScaleScalars, SumTerm,
};
pub use shape::{
    ConvDesc, ConvOutput, MAX_KERNEL, MAX_SIDE, MAX_VOLUME, PoolDesc, Shape, ShapeError, Source,
};
#[cfg(all(target_arch = "x86_64", feature = "alloc"))]
pub use x86_64::{Amx, Avx2, Avx512Vnni, AvxVnni};
