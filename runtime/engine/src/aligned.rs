//! Byte buffers aligned to [`foldnet_kernels::ALIGN`], as kernels require.

pub use foldnet_plan::Aligned;
