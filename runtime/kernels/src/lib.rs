//! int8 kernels for residual networks: one definition, bit-exact on every instruction set.
//!
//! - [`op`] defines each operator: its arithmetic in naive loops, and everything else about it.
//! - [`reference`](mod@reference) lists the arithmetic alone.
//! - [`KernelSet`] runs a plan's operators; [`dispatch`] finds the best set for this CPU.
//! - `<arch>/<isa>/` contains the fast kernels. Each is tested against the definition with zero tolerance.
//!
//! `<arch>/common/` is shared by the instruction sets of one architecture, `tiled/` by those of x86-64 and
//! WebAssembly. In all of these folders, files with the same role have the same name (a test checks that there are
//! no others):
//!
//! | file | role |
//! |---|---|
//! | `mod.rs` | the set: what the CPU must have, and how far it is from its limit |
//! | `tile.rs` | the register tile: MR pixels × NR channels, summed over the whole depth |
//! | `tile_in_order.rs` | the same tile for cores that issue in order |
//! | `geometry.rs` | how a convolution falls into panels, tiles and tasks; sizes of scratch and blob |
//! | `pack_a.rs` | pack A (im2col): input rows as the tile reads them |
//! | `pack_b.rs` | pack B: weights and constants as the tile reads them, the blob |
//! | `driver.rs` | the loops around the tile |
//! | `epilogue.rs` | from sums to outputs: scale, residual, requantize, store |
//! | `winograd.rs`, `winograd/` | 3×3 convolutions by Winograd |
//! | `conv.rs` | which of two ways a convolution goes, where there are two |
//! | `add.rs`, `affine.rs`, `avg_pool.rs`, `max_pool.rs` | the operator of that name in [`op`] |
//! | `layout.rs` | where a value of an activation lies |
//! | `requant.rs` | rounding and clamping of vectors |
//! | `vector.rs` | an instruction set's vectors, for what is written once over them |
//! | `set.rs` | a [`KernelSet`] out of these parts |
//! | `peak.rs` | the loop that measures what the CPU can do at best |
//! | `cores.rs` | which kind of core a thread runs on |
//! | `permission.rs` | asks the operating system for registers (`amx`) |
//! | `tests.rs` | what the shared tests cannot know |
//!
//! The crate is `no_std`; packing needs an allocator, running does not.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(all(target_arch = "aarch64", feature = "alloc"))]
mod aarch64;
mod arm;
pub mod dispatch;
pub mod neon_tiling;
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
#[cfg(all(
    any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")),
    feature = "alloc"
))]
mod tiled;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", feature = "alloc"))]
mod wasm32;
// Elsewhere only its sizes are used, by `neon_tiling`.
#[cfg_attr(
    not(all(
        any(
            target_arch = "aarch64",
            target_arch = "x86_64",
            all(target_arch = "wasm32", target_feature = "simd128")
        ),
        feature = "alloc"
    )),
    allow(dead_code)
)]
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
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", feature = "alloc"))]
pub use wasm32::Simd128;
#[cfg(all(target_arch = "x86_64", feature = "alloc"))]
pub use x86_64::{Amx, Avx2, Avx512Vnni, AvxVnni};
