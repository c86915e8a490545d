//! Tests every kernel set of this build against the reference. A new set is one name in this list.
#![allow(missing_docs)]

foldnet_kernels::stamp_tests!(portable, dsp, helium);
#[cfg(target_arch = "x86_64")]
foldnet_kernels::stamp_tests!(amx, avx512vnni, avxvnni, avx2);
#[cfg(target_arch = "aarch64")]
foldnet_kernels::stamp_tests!(neon, dotprod, i8mm);
#[cfg(target_arch = "wasm32")]
foldnet_kernels::stamp_tests!(simd128);
