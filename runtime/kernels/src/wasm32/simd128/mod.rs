//! WebAssembly's 128-bit SIMD.
//!
//! The limit of the direct kernel is two instructions, `i32x4.dot_i16x8_s` and `i32x4.add`, for 8 MACs. On x86-64
//! an engine translates each to one instruction that is half as wide as avx2's, so twice avx2's time is the best
//! to expect; on AArch64 the dot product becomes three instructions. A ResNet-50 took 1.4 times that: 212 ms of
//! processor time in Node 20, where avx2 took 77 ms on the same busy machine (`tests/peers/web.py`,
//! `runtime bench --kernels avx2`). The difference has not been broken down by layer. A step of the tile has seven
//! loads for ten dot products, where avx2's has eight for twelve, because an engine leaves 15 vector registers to
//! a program.

mod pack_a;
mod tile;
mod vector;
mod winograd;

#[cfg(test)]
pub(crate) use winograd::KERNELS as WINOGRAD;

use crate::tiled::driver::Kernels;

/// The kernel set `simd128`; a build that contains it runs only on engines that support it.
pub struct Simd128;

static KERNELS: Kernels = Kernels {
    tiling: &tile::TILING,
    tiles: &tile::TILES,
    widen: pack_a::widen,
    winograd: Some(&winograd::KERNELS),
};

crate::tiled::set::kernel_set!(Simd128, "simd128", KERNELS, vector);
