//! A kernel set over the blocked layout.

use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

use super::geometry::Geometry;
use super::tile::Tile;
use super::{add, affine, avg_pool, conv, layout, max_pool, weights};
use crate::quant::Requant;
use crate::set::{AddScalars, AvgPoolScalars, ConvArgs, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, PoolDesc, Shape};

/// The set of the tile `T`. Having one proves that the CPU has its instructions.
pub(crate) struct Blocked<T>(PhantomData<T>);

impl<T: Tile> Blocked<T> {
    /// # Safety
    /// Its methods may only be called on a CPU that has the tile's instructions.
    pub(crate) const unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Tile> KernelSet for Blocked<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn macs_per_instruction(&self) -> Option<f64> {
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
        weights::pack::<T>(desc, w)
    }

    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool {
        // No address is computed from what the blob says, so that its length is all there is to check.
        blob.len() == Geometry::new(desc).blob_bytes()
    }

    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize {
        Geometry::new(desc).scratch_bytes(desc)
    }

    fn conv_tasks(&self, desc: &ConvDesc) -> usize {
        let geometry = Geometry::new(desc);
        geometry.bands * geometry.splits
    }

    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        // SAFETY: the caller's promise, passed on; `self` proves the CPU's features.
        unsafe { conv::conv::<T>(args, tasks) }
    }

    unsafe fn max_pool(&self, desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
        // SAFETY: the caller's promise, passed on.
        unsafe { max_pool::max_pool(desc, x, y, rows) }
    }

    unsafe fn avg_pool(&self, shape: Shape, scalars: &AvgPoolScalars, x: *const u8, y: *mut u8) {
        // SAFETY: the caller's promise, passed on.
        unsafe { avg_pool::avg_pool(shape, scalars, x, y) }
    }

    unsafe fn affine(
        &self,
        shape: Shape,
        x_zero: i8,
        out: Requant,
        gain: &[f32],
        offset: &[f32],
        x: *const u8,
        y: *mut u8,
        rows: Range<usize>,
    ) {
        // SAFETY: the caller's promise, passed on.
        unsafe { affine::affine(shape, x_zero, out, gain, offset, x, y, rows) }
    }

    unsafe fn add(
        &self,
        shape: Shape,
        scalars: &AddScalars,
        a: *const u8,
        b: *const u8,
        y: *mut u8,
        rows: Range<usize>,
    ) {
        // SAFETY: the caller's promise, passed on.
        unsafe { add::add(shape, scalars, a, b, y, rows) }
    }
}
