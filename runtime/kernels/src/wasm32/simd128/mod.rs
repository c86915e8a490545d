//! WebAssembly's 128-bit SIMD.

mod pack_a;
mod tile;
mod vector;
mod winograd;

#[cfg(test)]
pub(crate) use winograd::KERNELS as WINOGRAD;

use crate::tiled::driver::Kernels;

/// The kernel set `simd128`; a build that has it runs only where it runs.
pub struct Simd128;

static KERNELS: Kernels = Kernels {
    tiling: &tile::TILING,
    tiles: &tile::TILES,
    widen: pack_a::widen,
    winograd: Some(&winograd::KERNELS),
};

crate::tiled::set::kernel_set!(Simd128, "simd128", KERNELS, vector);
