//! AVX-512 with `vpdpbusd`: Ice Lake and later, Cascade Lake, Zen 4 and later.
//!
//! The limit is one `vpdpbusd` of 64 MACs per cycle (two on cores with two such units).

mod peak;
mod tile;
pub(super) mod vector;

use crate::set::KernelSet;
use crate::tiled::driver::Kernels;

/// The kernel set `avx512vnni`; it exists only if this CPU can run it.
pub struct Avx512Vnni {
    _proof: (),
}

impl Avx512Vnni {
    /// Returns the set, if this CPU has AVX-512 F, BW, VL and VNNI.
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni");
        #[cfg(not(feature = "std"))]
        let has = cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512vl",
            target_feature = "avx512vnni"
        ));
        has.then_some(Self { _proof: () })
    }

    /// Returns the set, for a static that is used only if [`Avx512Vnni::new`] returned one.
    pub(super) const fn assumed() -> Self {
        Self { _proof: () }
    }

    /// Returns the set for the dispatch table.
    pub(crate) fn get() -> Option<&'static dyn KernelSet> {
        static SET: Avx512Vnni = Avx512Vnni::assumed();
        Self::new().map(|_| &SET as &'static dyn KernelSet)
    }
}

/// Never called: this tiling does not widen.
///
/// # Safety
/// None needed.
unsafe fn no_widen(_: *const u8, _: *mut u8, _: usize, _: i16) {}

static KERNELS: Kernels =
    Kernels { tiling: &tile::TILING, tiles: &tile::TILES, widen: no_widen, winograd: None };

crate::tiled::set::kernel_set!(Avx512Vnni, "avx512vnni", KERNELS, vector, 64.0, peak::dot_products);
