//! AVX2: Haswell and later, Zen and later.
//!
//! The limit of the direct kernel is two instructions, `vpmaddwd` and `vpaddd`, for 16 MACs: 24 MACs per cycle on
//! three vector ports. Nothing here can saturate, whatever the weights, see [`tile`]. Shares of that limit
//! (`share_of_peak avx2`):
//!
//! - *1×1 layers* of depth 256 and more reach nine tenths: of 26 vector instructions per step, two widen weights.
//!   Weights widened beforehand were tried: they no longer fit in the first-level cache, and nothing was gained.
//! - *Shallow 1×1 layers* reach seven tenths: an epilogue with a residual takes 28 instructions per 16 outputs,
//!   where their sums take 128 for a depth of 64.
//! - *The stem* reaches seven tenths: it has an epilogue for a depth of 147, and a kernel row of 21 is padded to
//!   22.
//! - *3×3 layers of stride 1* need a quarter of the MACs with [`winograd`]. They exceed the limit 2.8 times if the
//!   sides are 28, 2.4 times at a depth of 64 (transforms and epilogue take a third), twice at sides of 14, which
//!   are computed as 16, and 1.4 times at sides of 7, where the weights' transform takes a third.

mod pack_a;
mod peak;
mod tile;
pub(super) mod vector;
mod winograd;

#[cfg(test)]
pub(crate) use winograd::KERNELS as WINOGRAD;

use crate::set::KernelSet;
use crate::tiled::driver::Kernels;

/// The kernel set `avx2`; it exists only if this CPU can run it.
pub struct Avx2 {
    _proof: (),
}

impl Avx2 {
    /// Returns the set, if this CPU has AVX2.
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::is_x86_feature_detected!("avx2");
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = "avx2");
        has.then_some(Self { _proof: () })
    }

    /// Returns the set for the dispatch table.
    pub(crate) fn get() -> Option<&'static dyn KernelSet> {
        static SET: Avx2 = Avx2 { _proof: () };
        Self::new().map(|_| &SET as &'static dyn KernelSet)
    }
}

static KERNELS: Kernels = Kernels {
    tiling: &tile::TILING,
    tiles: &tile::TILES,
    widen: pack_a::widen,
    winograd: Some(&winograd::KERNELS),
};

crate::tiled::set::kernel_set!(Avx2, "avx2", KERNELS, vector, 16.0, peak::dot_products);
