//! `neon`: the AArch64 baseline, ARMv8.0 (Cortex-A53, A57, A72, A73), which has no dot product.
//!
//! There are two convolution kernels, between which only the layer's shape decides ([`geometry`]):
//!
//! | kernel | what | MACs per instruction: mix, inner loop |
//! |---|---|---|
//! | `conv_i8_4x4c8_neon` ([`tile`]) | everything, from rows packed by fours ([`pack_a`]) | 6.4, 5.95 |
//! | `conv_i16_f4x4_8x8c1_neon` ([`winograd`]) | 3×3, stride 1, exactly | 16, 15.3 |
//!
//! The instructions of a ResNet-50 with normally distributed weights: 1×1 convolutions take 69 %, Winograd's
//! products 23 %, its transforms 2 %, the stem 5 %, pooling below 1 %. Requantization and residuals, included in
//! these numbers, take 5 %. The network runs 6.8 MACs of the direct sum per instruction. The large layers stay
//! below the mix's limit for these reasons:
//!
//! - *Weights too wide for four products*: a block in which they could overflow an int16 lane takes 96
//!   multiplications and additions instead of 80. With normal weights these are most blocks at a depth of 64, and
//!   fewer the deeper the layer, as the largest of many weights determines the scale. With uniform weights they
//!   are nearly all, and the whole network takes 7 % more.
//! - *Shallow layers*: per tile of 4×4, 16 instructions reduce lanes and 31 requantize, whatever the depth: 7 % at
//!   a depth of 256, a fifth at 64.
//! - *Loads and loop*: 6 instructions per 80 multiplications and additions; no larger tile fits in 32 registers.
//! - *The stem's depth* of 147 is packed as 160.
//!
//! Weights are read in order, once per band of output; packed rows are read in order, once per panel. A core
//! prefetches both streams by itself. A panel stays in L1; a block's packed rows and a band's transformed tiles
//! stay in L2 ([`geometry`]). These sizes are derived from the caches of the cores named above, not tuned on them.

use alloc::vec::Vec;
use core::ops::Range;

use crate::set::{ConvArgs, ConvWeights, KernelSet, forward_operators};
use crate::shape::{ConvDesc, Shape};

mod add;
mod affine;
mod avg_pool;
mod driver;
mod epilogue;
mod geometry;
mod layout;
mod max_pool;
mod pack_a;
mod pack_b;
mod requant;
#[cfg(test)]
mod tests;
mod tile;
mod winograd;

use geometry::Geometry;

/// See the module.
pub struct Neon {
    _private: (),
}

/// NEON is part of every AArch64 target that Rust's standard library supports; without the standard
/// library the compiler's target features decide.
static NEON: Neon = Neon { _private: () };

impl Neon {
    /// Returns the set, if this CPU can run it.
    pub fn new() -> Option<&'static Self> {
        cfg!(target_feature = "neon").then_some(&NEON)
    }
}

// SAFETY: sizes and offsets follow from the shapes alone (`geometry.rs`, `layout.rs`), and the shared tests check
// them with canaries.

unsafe impl KernelSet for Neon {
    fn name(&self) -> &'static str {
        "neon"
    }

    fn peak_macs_per_cycle(&self) -> Option<f64> {
        // smull, 3 × smlal, sadalp: 32 MACs in 5 instructions.
        Some(6.4)
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
        pixel * layout::channel_stride(shape.c) + channel
    }

    fn pack_conv(&self, desc: &ConvDesc, weights: &ConvWeights<'_>) -> Vec<u8> {
        Geometry::new(desc).pack(weights)
    }

    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool {
        Geometry::new(desc).check(blob)
    }

    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize {
        Geometry::new(desc).scratch_bytes()
    }

    fn conv_tasks(&self, desc: &ConvDesc) -> usize {
        Geometry::new(desc).tasks()
    }

    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        // SAFETY: guaranteed by the caller.
        unsafe { Geometry::new(args.desc).run(args, tasks) }
    }

    forward_operators!(max_pool::max_pool, avg_pool::avg_pool, affine::affine, add::add);
}
