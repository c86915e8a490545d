//! Chooses how a convolution is computed: with register tiles ([`driver`]) or by Winograd ([`winograd`]).

use alloc::vec::Vec;
use core::ops::Range;

use super::driver::{self, Kernels};
use super::geometry::{Geometry, Tiling};
use super::pack_b;
use super::winograd;
use crate::set::{ConvArgs, ConvWeights};
use crate::shape::ConvDesc;

/// Returns the Winograd kernels, if the convolution uses them.
fn by_winograd(desc: &ConvDesc, kernels: &Kernels) -> Option<&'static winograd::Kernels> {
    kernels.winograd.filter(|w| winograd::suits(desc, w))
}

/// See [`crate::KernelSet::pack_conv`].
pub(crate) fn pack(desc: &ConvDesc, weights: &ConvWeights<'_>, kernels: &Kernels) -> Vec<u8> {
    match by_winograd(desc, kernels) {
        Some(w) => pack_b::pack(desc, weights, w.tiling, Some(0)),
        None => pack_b::pack(desc, weights, kernels.tiling, (!kernels.tiling.widen).then_some(128)),
    }
}

/// See [`crate::KernelSet::check_conv`].
pub(crate) fn check(desc: &ConvDesc, blob: &[u8], kernels: &Kernels) -> bool {
    let tiling: &Tiling = by_winograd(desc, kernels).map_or(kernels.tiling, |w| w.tiling);
    pack_b::check(desc, blob, tiling)
}

/// See [`crate::KernelSet::conv_scratch_bytes`].
pub(crate) fn scratch_bytes(desc: &ConvDesc, kernels: &Kernels) -> usize {
    match by_winograd(desc, kernels) {
        Some(_) => winograd::scratch_bytes(desc),
        None => Geometry::new(desc, kernels.tiling).scratch_bytes(desc),
    }
}

/// See [`crate::KernelSet::conv_tasks`].
pub(crate) fn tasks(desc: &ConvDesc, kernels: &Kernels) -> usize {
    match by_winograd(desc, kernels) {
        Some(_) => winograd::tasks(desc),
        None => Geometry::new(desc, kernels.tiling).tasks(desc),
    }
}

/// Runs tasks of a convolution.
///
/// # Safety
/// The same as for [`crate::KernelSet::conv`], and the CPU has the features of `kernels`.
pub(crate) unsafe fn run(args: &ConvArgs<'_>, tasks: Range<usize>, kernels: &Kernels) {
    // SAFETY: guaranteed by the caller.
    unsafe {
        match by_winograd(args.desc, kernels) {
            Some(w) => winograd::conv(args, tasks, w),
            None => driver::conv(args, tasks, kernels),
        }
    }
}
