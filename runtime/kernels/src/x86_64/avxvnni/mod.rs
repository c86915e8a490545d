//! AVX-VNNI, `vpdpbusd` on 256 bits: Alder Lake and later without AVX-512, Zen 5.
//!
//! The limit is one `vpdpbusd` of 32 MACs per port that supports it, two per cycle on most CPUs. Everything except
//! [`tile`] is AVX2's. The set's own encoding runs only on a CPU that has it; the tests below run the same tile in
//! AVX-512 VL's encoding.

mod peak;
mod tile;

use super::avx2::vector;
use crate::set::KernelSet;
use crate::tiled::driver::Kernels;

/// The kernel set `avxvnni`; it exists only if this CPU can run it.
pub struct AvxVnni {
    _proof: (),
}

impl AvxVnni {
    /// Returns the set, if this CPU has AVX2 and AVX-VNNI.
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("avxvnni");
        #[cfg(not(feature = "std"))]
        let has = cfg!(all(target_feature = "avx2", target_feature = "avxvnni"));
        has.then_some(Self { _proof: () })
    }

    /// Returns the set for the dispatch table.
    pub(crate) fn get() -> Option<&'static dyn KernelSet> {
        static SET: AvxVnni = AvxVnni { _proof: () };
        Self::new().map(|_| &SET as &'static dyn KernelSet)
    }
}

/// Never called: this tiling does not widen.
///
/// # Safety
/// None needed.
unsafe fn no_widen(_: *const u8, _: *mut u8, _: usize, _: i16) {}

static KERNELS: Kernels =
    Kernels { tiling: &tile::TILING, tiles: &tile::vex::TILES, widen: no_widen, winograd: None };

crate::tiled::set::kernel_set!(AvxVnni, "avxvnni", KERNELS, vector, 32.0, peak::dot_products);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// AVX-VNNI's tiles in AVX-512 VL's encoding of the one instruction.
    struct Twin;

    static TWIN: Kernels =
        Kernels { tiling: &tile::TILING, tiles: &tile::evex::TILES, widen: no_widen, winograd: None };

    /// Does nothing: this encoding has no peak of its own.
    ///
    /// # Safety
    /// None needed.
    unsafe fn nothing(_: usize) {}

    crate::tiled::set::kernel_set!(Twin, "avxvnni's twin", TWIN, vector, 32.0, nothing);

    fn run(check: fn(&dyn KernelSet)) {
        if std::is_x86_feature_detected!("avx512vl") && std::is_x86_feature_detected!("avx512vnni") {
            check(&Twin);
        } else {
            std::println!("SKIPPED avxvnni's twin: this CPU lacks AVX-512 VL and VNNI");
        }
    }

    #[test]
    fn conv_edges() {
        run(testing::conv_edges);
    }

    #[test]
    fn conv_resnet_layers() {
        run(testing::conv_resnet_layers);
    }

    #[test]
    fn conv_random() {
        run(testing::conv_random);
    }

    #[test]
    fn conv_in_place_residual() {
        run(testing::conv_in_place_residual);
    }
}
