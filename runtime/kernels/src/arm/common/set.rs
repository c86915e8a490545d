//! Implements [`KernelSet`] for an [`Isa`].

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::ops::Range;

use super::geometry::Geometry;
use super::tile::Isa;
use super::{add, affine, avg_pool, driver, max_pool};
#[cfg(feature = "alloc")]
use crate::set::ConvWeights;
use crate::set::{ConvArgs, KernelSet, forward_operators};
use crate::shape::{ConvDesc, Shape};

/// The upper bound of multipliers.
const MAX_MULTIPLIER: f32 = 1e28;

// SAFETY: `Isa` is private to this crate. Sizes and offsets follow from the shapes alone (`geometry.rs`), and the
// shared tests check them with canaries.

unsafe impl<I: Isa> KernelSet for I {
    fn name(&self) -> &'static str {
        I::NAME
    }

    fn tensor_bytes(&self, shape: Shape) -> usize {
        shape.len()
    }

    #[cfg(feature = "alloc")]
    fn read_tensor(&self, shape: Shape, buffer: &[u8]) -> Vec<i8> {
        buffer[..shape.len()].iter().map(|&b| b as i8).collect()
    }

    #[cfg(feature = "alloc")]
    fn write_tensor(&self, shape: Shape, values: &[i8], buffer: &mut [u8]) {
        for (b, &v) in buffer[..shape.len()].iter_mut().zip(values) {
            *b = v as u8;
        }
    }

    #[cfg(feature = "gates")]
    fn locate(&self, shape: Shape, pixel: usize, channel: usize) -> usize {
        pixel * shape.c + channel
    }

    #[cfg(feature = "alloc")]
    fn pack_conv(&self, desc: &ConvDesc, w: &ConvWeights<'_>) -> Vec<u8> {
        super::pack_b::pack::<I>(desc, w)
    }

    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool {
        let g = Geometry::new::<I>(desc);
        let multipliers = g.vector(desc).saturating_mul(4);
        // The product of a sum and such a multiplier is never infinite, on which the epilogues rely.
        let sound = |b: &[u8]| b.try_into().is_ok_and(|b| f32::from_le_bytes(b).abs() < MAX_MULTIPLIER);
        blob.len() == g.blob_bytes::<I>(desc)
            && blob
                .get(multipliers..multipliers.saturating_mul(2))
                .is_some_and(|m| m.chunks_exact(4).all(sound))
    }

    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize {
        Geometry::new::<I>(desc).scratch
    }

    fn conv_tasks(&self, desc: &ConvDesc) -> usize {
        desc.y.h.div_ceil(Geometry::new::<I>(desc).rows.max(1))
    }

    fn conv_rows_per_task(&self, desc: &ConvDesc) -> Option<usize> {
        Some(Geometry::new::<I>(desc).rows)
    }

    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        // SAFETY: the caller meets the trait's contract.
        unsafe { driver::run::<I>(args, tasks) }
    }

    forward_operators!(max_pool::max_pool, avg_pool::avg_pool, affine::affine, add::add);
}
