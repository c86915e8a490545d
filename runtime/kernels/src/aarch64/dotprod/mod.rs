//! ARMv8.2 with the dot product extension (Cortex-A55, A75, A76 and later): `sdot`.

mod tile;
mod tile_in_order;

use super::common::Blocked;
use crate::set::KernelSet;

static SET: Blocked<tile::Dotprod> = {
    // SAFETY: only `get` hands it out, after checking the CPU.
    unsafe { Blocked::new() }
};

/// Returns the set, if this CPU can run it.
pub fn get() -> Option<&'static dyn KernelSet> {
    #[cfg(feature = "std")]
    let found = std::arch::is_aarch64_feature_detected!("dotprod");
    #[cfg(not(feature = "std"))]
    let found = cfg!(target_feature = "dotprod");
    found.then_some(&SET)
}
