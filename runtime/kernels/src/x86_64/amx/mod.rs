//! AMX-INT8: Sapphire Rapids and later Xeons.
//!
//! The limit is one `tdpbusd` of 16 × 16 × 64 MACs in 16 cycles: 1024 MACs per cycle, eight times two `vpdpbusd`.
//! The layout of activations is that of `avx512vnni`, which provides the element-wise operators and runs the
//! convolutions that tiles do not suit, see [`geometry::Geometry::suits`].
//!
//! ResNet-50's convolutions together reach three tenths of the limit (`share_of_peak amx`). The reasons:
//!
//! - *Sums to bytes.* Sums leave tiles through memory, and each vector of 16 takes five vector instructions, ten
//!   with a residual. They are placed between the next block's multiplications, but measured separately, the times
//!   of the two parts add up: this is a third of the whole. It dominates the 1×1 layers from 64 to 256 channels,
//!   where one `tdpbusd` is the whole depth (10 to 15 % of the limit).
//! - *Weights.* The 7×7 layers multiply each weight by 49 pixels, four tiles of 16, so a weight is read for every
//!   four multiplications (35 %).
//! - *Input and weights beyond the first-level cache:* 1×1 layers of 1024 and more channels, and the weights of
//!   3×3 layers (45 to 55 %).
//! - *The stem.* A depth of 147 fills three steps of 64, and interleaving the rows under the kernel takes as long
//!   as the multiplications (12 %).
//!
//! Why the units overlap so little is not understood; finer mixing of the two was tried and did not help.

mod driver;
mod epilogue;
mod geometry;
mod pack_a;
mod pack_b;
mod peak;
mod permission;
mod tile;

use alloc::vec::Vec;
use core::ops::Range;

use super::avx512vnni::{Avx512Vnni, vector};
use crate::set::{ConvArgs, ConvWeights, KernelSet};
use crate::shape::ConvDesc;
use geometry::Geometry;

/// The kernel set `amx`; it exists only if this CPU can run it and the operating system permits it.
pub struct Amx {
    vnni: Avx512Vnni,
}

impl Amx {
    /// Returns the set, if this CPU has AMX-INT8 and AVX-512 VNNI and the operating system gives this process
    /// the tile registers.
    pub fn new() -> Option<Self> {
        let vnni = Avx512Vnni::new()?;
        (permission::cpu_has_tiles() && permission::ask()).then_some(Self { vnni })
    }

    /// Returns the set for the dispatch table.
    pub(crate) fn get() -> Option<&'static dyn KernelSet> {
        static SET: Amx = Amx { vnni: Avx512Vnni::assumed() };
        Self::new().map(|_| &SET as &'static dyn KernelSet)
    }
}

/// The MACs per cycle of the one tile multiplier: `tdpbusd` has 16,384 and takes 16 cycles.
const MACS_PER_CYCLE: f64 = 1024.0;
/// MACs of one `tdpbusd`.
const MACS: f64 = 16_384.0;

// SAFETY: sizes and offsets follow from the shapes alone (`geometry.rs`, `layout.rs`), and the shared tests check
// them with canaries.

unsafe impl KernelSet for Amx {
    fn name(&self) -> &'static str {
        "amx"
    }

    fn peak_macs_per_cycle(&self) -> Option<f64> {
        Some(MACS_PER_CYCLE)
    }

    fn peak_macs_per_second(&self) -> Option<f64> {
        // SAFETY: `self` exists only if the CPU has the features and this process may use them.
        crate::x86_64::peak::measure(MACS, |times| unsafe { peak::products(times) })
    }

    crate::tiled::set::shared_operators!(vector);

    fn pack_conv(&self, desc: &ConvDesc, weights: &ConvWeights<'_>) -> Vec<u8> {
        if Geometry::suits(desc) { pack_b::pack(desc, weights) } else { self.vnni.pack_conv(desc, weights) }
    }

    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool {
        if Geometry::suits(desc) { pack_b::check(desc, blob) } else { self.vnni.check_conv(desc, blob) }
    }

    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize {
        if Geometry::suits(desc) {
            Geometry::new(desc).scratch_bytes()
        } else {
            self.vnni.conv_scratch_bytes(desc)
        }
    }

    fn conv_tasks(&self, desc: &ConvDesc) -> usize {
        if Geometry::suits(desc) { Geometry::new(desc).tasks() } else { self.vnni.conv_tasks(desc) }
    }

    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        // SAFETY: guaranteed by the caller; `self` exists only if the CPU has the features and this process may
        // use them.
        unsafe {
            if Geometry::suits(args.desc) {
                driver::conv(args, tasks);
            } else {
                self.vnni.conv(args, tasks);
            }
        }
    }
}
