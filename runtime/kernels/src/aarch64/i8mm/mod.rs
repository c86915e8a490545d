//! ARMv8.6, or with the int8 matrix extension (Cortex-A510, A710, X2, Neoverse V1 and later): `smmla`.

mod tile;

use super::common::Blocked;
use crate::set::KernelSet;

static SET: Blocked<tile::I8mm> = {
    // SAFETY: only `get` hands it out, after checking the CPU.
    unsafe { Blocked::new() }
};

/// Returns the set, if this CPU can run it.
pub fn get() -> Option<&'static dyn KernelSet> {
    #[cfg(feature = "std")]
    let found = std::arch::is_aarch64_feature_detected!("i8mm");
    #[cfg(not(feature = "std"))]
    let found = cfg!(target_feature = "i8mm");
    found.then_some(&SET)
}
