//! Which kernel sets there are, and which this CPU can run.
//!
//! A new set is one line in [`REGISTRY`].

use crate::portable::Portable;
use crate::set::KernelSet;

/// A kernel set that this build knows of.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its name, as in [`KernelSet::name`].
    pub name: &'static str,
    /// What the CPU must have, in words.
    pub needs: &'static str,
    /// The set itself, where this CPU can run it.
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
    // Models of the microcontrollers' sets: plans for them are made and checked on any machine.
    #[cfg(not(target_arch = "arm"))]
    Entry { name: "dsp", needs: "nothing (a model of it, off Cortex-M)", get: || Some(&crate::arm::Dsp) },
    #[cfg(not(target_arch = "arm"))]
    Entry {
        name: "helium",
        needs: "nothing (a model of it, off Cortex-M)",
        get: || Some(&crate::arm::Helium),
    },
];

/// The fastest set that this CPU runs.
pub fn best() -> &'static dyn KernelSet {
    REGISTRY.iter().find_map(|e| (e.get)()).unwrap_or(&Portable)
}

/// Why a set cannot be had by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// This build has no set of that name.
    Unknown,
    /// This CPU lacks what the set needs.
    CpuLacks(&'static str),
}

impl core::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unknown => write!(f, "this build has no kernel set of that name; it has")
                .and_then(|()| REGISTRY.iter().try_for_each(|e| write!(f, " {}", e.name))),
            Self::CpuLacks(what) => write!(f, "this CPU lacks {what}"),
        }
    }
}

impl core::error::Error for Unavailable {}

/// The set of that name.
pub fn by_name(name: &str) -> Result<&'static dyn KernelSet, Unavailable> {
    let entry = REGISTRY.iter().find(|e| e.name == name).ok_or(Unavailable::Unknown)?;
    (entry.get)().ok_or(Unavailable::CpuLacks(entry.needs))
}
