//! AVX-512 with `vpdpbusd`: Ice Lake and later, Cascade Lake, Zen 4 and later.
//!
//! The limit is one `vpdpbusd` of 64 products per cycle (two on cores with two such units).

mod elementwise;
mod epilogue;
mod peak;
mod tile;

use alloc::vec::Vec;
use core::ops::Range;

use super::geometry::Geometry;
use super::walk::{self, Bounds, Kernels};
use super::{pack, tensor};
use crate::quant::Requant;
use crate::set::{AddScalars, AvgPoolScalars, ConvArgs, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, PoolDesc, Shape};

/// The kernel set `avx512vnni`; having one means that this CPU runs it.
pub struct Avx512Vnni {
    _proof: (),
}

impl Avx512Vnni {
    /// The set, if this CPU has AVX-512 F, BW, VL and VNNI.
    pub fn new() -> Option<Self> {
        #[cfg(feature = "std")]
        let has = std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512vnni");
        #[cfg(not(feature = "std"))]
        let has = cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512vl",
            target_feature = "avx512vnni"
        ));
        has.then_some(Self { _proof: () })
    }

    /// The set as the dispatch table holds it.
    pub(crate) fn get() -> Option<&'static dyn KernelSet> {
        static SET: Avx512Vnni = Avx512Vnni { _proof: () };
        Self::new().map(|_| &SET as &'static dyn KernelSet)
    }
}

/// Never called: this tiling does not widen.
///
/// # Safety
/// None needed.
unsafe fn no_widen(_: *const u8, _: *mut u8, _: usize, _: i16) {}

static KERNELS: Kernels = Kernels { tiling: &tile::TILING, tiles: &tile::TILES, widen: no_widen };

impl KernelSet for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512vnni"
    }

    fn macs_per_instruction(&self) -> Option<f64> {
        Some(64.0)
    }

    fn peak_macs_per_second(&self) -> Option<f64> {
        // SAFETY: having `self` means that the CPU has the features.
        super::peak::measure(64.0, |times| unsafe { peak::dot_products(times) })
    }

    fn tensor_bytes(&self, shape: Shape) -> usize {
        tensor::bytes(shape)
    }

    fn read_tensor(&self, shape: Shape, buffer: &[u8]) -> Vec<i8> {
        tensor::read(shape, buffer)
    }

    fn write_tensor(&self, shape: Shape, values: &[i8], buffer: &mut [u8]) {
        tensor::write(shape, values, buffer);
    }

    fn pack_conv(&self, desc: &ConvDesc, weights: &ConvWeights<'_>) -> Vec<u8> {
        pack::pack(desc, weights, KERNELS.tiling)
    }

    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool {
        pack::check(desc, blob, KERNELS.tiling)
    }

    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize {
        Geometry::new(desc, KERNELS.tiling).scratch_bytes(desc)
    }

    fn conv_tasks(&self, desc: &ConvDesc) -> usize {
        Geometry::new(desc, KERNELS.tiling).tasks(desc)
    }

    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        // SAFETY: the caller's contract; having `self` means that the CPU has the features.
        unsafe { walk::conv(args, tasks, &KERNELS) }
    }

    unsafe fn max_pool(&self, desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>) {
        // SAFETY: as `conv`.
        unsafe { elementwise::max_pool(desc, x, y, rows) }
    }

    unsafe fn avg_pool(&self, shape: Shape, scalars: &AvgPoolScalars, x: *const u8, y: *mut u8) {
        // SAFETY: as `conv`.
        unsafe { elementwise::avg_pool(shape, scalars, x, y) }
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
        let pixels = rows.start * shape.w..rows.end * shape.w;
        // SAFETY: as `conv`.
        unsafe { elementwise::affine(x_zero, &Bounds::new(out), gain, offset, x, y, pixels) }
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
        let row = shape.w * shape.c;
        // SAFETY: as `conv`.
        unsafe { elementwise::add(scalars, a, b, y, rows.start * row..rows.end * row) }
    }
}
