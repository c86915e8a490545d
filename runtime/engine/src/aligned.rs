//! Bytes at a multiple of [`foldnet_kernels::ALIGN`], as kernels want them.

pub use foldnet_plan::Aligned;
