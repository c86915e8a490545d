//! AVX2: Haswell and later, Zen and later.
//!
//! The limit is one `vpmaddwd` (16 products) with its `vpaddd` per multiplier port and cycle. Nothing
//! here can saturate, whatever the weights, see [`tile`].

pub(super) mod elementwise;
pub(super) mod epilogue;
mod peak;
mod tile;
mod winograd;

use super::walk::Kernels;
use crate::set::KernelSet;

/// The kernel set `avx2`; having one means that this CPU runs it.
pub struct Avx2 {
    _proof: (),
}

impl Avx2 {
    /// The set, if this CPU has AVX2.
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::is_x86_feature_detected!("avx2");
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = "avx2");
        has.then_some(Self { _proof: () })
    }

    /// The set as the dispatch table holds it.
    pub(crate) fn get() -> Option<&'static dyn KernelSet> {
        static SET: Avx2 = Avx2 { _proof: () };
        Self::new().map(|_| &SET as &'static dyn KernelSet)
    }
}

static KERNELS: Kernels = Kernels {
    tiling: &tile::TILING,
    tiles: &tile::TILES,
    widen: elementwise::widen,
    winograd: Some(&winograd::KERNELS),
};

super::plumbing::kernel_set!(Avx2, "avx2", KERNELS, elementwise, 16.0, peak::dot_products);
