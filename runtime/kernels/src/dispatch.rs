//! Lists the kernel sets, and finds those that this CPU can run.
//!
//! A new set is one line in [`REGISTRY`].

use crate::portable::Portable;
use crate::set::KernelSet;

/// A kernel set of this build.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The set's name, as in [`KernelSet::name`].
    pub name: &'static str,
    /// What the CPU must have, for messages.
    pub needs: &'static str,
    /// Returns the set, if this CPU can run it.
    pub get: fn() -> Option<&'static dyn KernelSet>,
}

/// Every set of this build, best first.
pub const REGISTRY: &[Entry] = &[
    // new sets go here, fastest first
    #[cfg(all(target_arch = "x86_64", feature = "alloc"))]
    Entry {
        name: "amx",
        needs: "AMX-INT8, AVX-512 VNNI and an operating system that lets programs use the former",
        get: crate::x86_64::Amx::get,
    },
    #[cfg(all(target_arch = "x86_64", feature = "alloc"))]
    Entry { name: "avx512vnni", needs: "AVX-512 F, BW, VL and VNNI", get: crate::x86_64::Avx512Vnni::get },
    #[cfg(all(target_arch = "x86_64", feature = "alloc"))]
    Entry { name: "avxvnni", needs: "AVX2 and AVX-VNNI", get: crate::x86_64::AvxVnni::get },
    #[cfg(all(target_arch = "x86_64", feature = "alloc"))]
    Entry { name: "avx2", needs: "AVX2", get: crate::x86_64::Avx2::get },
    #[cfg(all(target_arch = "aarch64", feature = "alloc"))]
    Entry { name: "i8mm", needs: "int8 matrix multiplication", get: crate::aarch64::i8mm::get },
    #[cfg(all(target_arch = "aarch64", feature = "alloc"))]
    Entry { name: "dotprod", needs: "int8 dot products", get: crate::aarch64::dotprod::get },
    #[cfg(all(target_arch = "aarch64", feature = "alloc"))]
    Entry { name: "neon", needs: "NEON", get: || crate::aarch64::neon::Neon::new().map(|s| s as _) },
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128", feature = "alloc"))]
    Entry { name: "simd128", needs: "WebAssembly's 128-bit SIMD", get: || Some(&crate::wasm32::Simd128) },
    #[cfg(target_arch = "arm")]
    Entry { name: "dsp", needs: "Armv7E-M's DSP instructions", get: || Some(&crate::arm::Dsp) },
    Entry { name: "portable", needs: "nothing", get: || Some(&Portable) },
    // Models of microcontrollers' sets, with which any machine can compile and check their plans.
    #[cfg(not(target_arch = "arm"))]
    Entry { name: "dsp", needs: "nothing (a model of it, off Cortex-M)", get: || Some(&crate::arm::Dsp) },
    #[cfg(not(target_arch = "arm"))]
    Entry {
        name: "helium",
        needs: "nothing (a model of it, off Cortex-M)",
        get: || Some(&crate::arm::Helium),
    },
];

/// Returns the fastest set that this CPU can run.
pub fn best() -> &'static dyn KernelSet {
    REGISTRY.iter().find_map(|e| (e.get)()).unwrap_or(&Portable)
}

/// The reason why a set is not available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// This build has no set with that name.
    Unknown,
    /// This CPU lacks the instructions that the set needs.
    CpuLacks {
        /// The set's name.
        name: &'static str,
        /// What the set needs.
        needs: &'static str,
    },
}

impl core::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown => write!(f, "this build has no kernel set of that name; it has")
                .and_then(|()| REGISTRY.iter().try_for_each(|e| write!(f, " {}", e.name))),
            Self::CpuLacks { name, needs } => write!(f, "{name} needs {needs}; this CPU lacks some of it"),
        }
    }
}

impl core::error::Error for Unavailable {}

/// Returns the set with this name.
pub fn by_name(name: &str) -> Result<&'static dyn KernelSet, Unavailable> {
    let entry = REGISTRY.iter().find(|e| e.name == name).ok_or(Unavailable::Unknown)?;
    (entry.get)().ok_or(Unavailable::CpuLacks { name: entry.name, needs: entry.needs })
}
