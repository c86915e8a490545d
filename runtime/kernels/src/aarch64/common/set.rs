//! A kernel set over the blocked layout.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

use super::geometry::Geometry;
use super::tile::Tile;
use super::{add, affine, avg_pool, driver, layout, max_pool, pack_b};
use crate::aarch64::cores;
use crate::set::{ConvArgs, ConvWeights, KernelSet, forward_operators};
use crate::shape::{ConvDesc, Shape};

/// The set of the tile `T`. Having one proves that the CPU has its instructions.
pub(crate) struct Blocked<T>(PhantomData<T>);

impl<T: Tile> Blocked<T> {
    /// # Safety
    /// Its methods may only be called on a CPU that has the tile's instructions.
    pub(crate) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

// SAFETY: sizes and offsets follow from the shapes alone (`geometry.rs`, `layout.rs`), and the shared tests check
// them with canaries.

unsafe impl<T: Tile> KernelSet for Blocked<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn peak_macs_per_cycle(&self) -> Option<f64> {
        Some(T::MACS)
    }

    fn tensor_bytes(&self, shape: Shape) -> usize {
        layout::tensor_bytes(shape)
    }

    fn read_tensor(&self, shape: Shape, buffer: &[u8]) -> Vec<i8> {
        layout::read_tensor(shape, buffer)
    }

    fn write_tensor(&self, shape: Shape, values: &[i8], buffer: &mut [u8]) {
        layout::write_tensor(shape, values, buffer);
    }

    fn locate(&self, shape: Shape, pixel: usize, channel: usize) -> usize {
        layout::locate(shape, pixel, channel)
    }

    fn pack_conv(&self, desc: &ConvDesc, w: &ConvWeights<'_>) -> Vec<u8> {
        pack_b::pack::<T>(desc, w)
    }

    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool {
        // No address depends on the blob's content, so only its length needs a check.
        blob.len() == Geometry::new::<T>(desc).blob_bytes()
    }

    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize {
        Geometry::new::<T>(desc).scratch_bytes(desc)
    }

    fn conv_tasks(&self, desc: &ConvDesc) -> usize {
        let geometry = Geometry::new::<T>(desc);
        geometry.bands * geometry.splits
    }

    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        // SAFETY: guaranteed by the caller; `self` proves the CPU's features.
        unsafe {
            if cores::in_order() {
                driver::conv::<T::InOrder>(args, tasks);
            } else {
                driver::conv::<T>(args, tasks);
            }
        }
    }

    forward_operators!(max_pool::max_pool, avg_pool::avg_pool, affine::affine, add::add);
}
