//! The blob of a convolution, the same for every instruction set here except for its tiling.
//!
//! ```text
//! bias i32 · multiplier f32 · (gain f32 · offset f32)   each [group][vector][lane], padded to 64 bytes
//! weights i8 [group][panel][step][vector][lane][KR]
//! ```
//! It is little-endian and contains nothing else. Every size follows from the description, so only the length
//! needs a check, and no byte can cause a kernel to access other memory. [`channel_at`] maps lanes to channels:
//! the epilogue's narrowing instructions, which work within 128 bits, leave channels in this order ascending in
//! memory.
//!
//! The zero point of the input, and the +128 by which activations are stored unsigned, are constant per output
//! channel because padding has the value of the zero point. Both are folded into the bias.

use alloc::vec;
use alloc::vec::Vec;

use super::geometry::{Geometry, Tiling};
use crate::set::{ALIGN, ConvWeights};
use crate::shape::{ConvDesc, Source};

/// Returns the channel, relative to its panel's first, in lane `lane` of vector `v` of a panel of `n` vectors.
pub(crate) fn channel_at(n: usize, v: usize, lane: usize) -> usize {
    lane / 4 * 4 * n + 4 * v + lane % 4
}

/// Offsets of the parts of a blob.
pub(crate) struct BlobLayout {
    /// The size of one vector of constants in bytes.
    pub constants: usize,
    /// The offset of the weights.
    pub weights: usize,
    /// The length of the whole blob.
    pub len: usize,
    /// The size of the weights of one vector of output channels in bytes.
    pub vector_bytes: usize,
}

impl BlobLayout {
    pub fn new(desc: &ConvDesc, tiling: &Tiling, geometry: &Geometry) -> Self {
        let vectors = desc.groups * geometry.vectors;
        let constants = (vectors * tiling.lanes * 4).next_multiple_of(ALIGN);
        let weights = constants * if desc.output.has_affine() { 4 } else { 2 };
        let vector_bytes = geometry.depth_steps() * tiling.lanes * tiling.kr;
        Self { constants, weights, len: weights + vectors * vector_bytes, vector_bytes }
    }
}

/// Packs a convolution's constants. With an offset, they are for a kernel that multiplies `int8 + offset`, so the
/// zero point is folded into the bias. Without one, the kernel multiplies the int8 minus its zero point.
pub(crate) fn pack(desc: &ConvDesc, w: &ConvWeights<'_>, tiling: &Tiling, offset: Option<i32>) -> Vec<u8> {
    let g = Geometry::new(desc, tiling);
    let layout = BlobLayout::new(desc, tiling, &g);
    let mut blob = vec![0u8; layout.len];
    let (constants, weights) = blob.split_at_mut(layout.weights);
    let (lanes, kr) = (tiling.lanes, tiling.kr);
    let depth = desc.depth();
    for g_at in 0..desc.groups {
        for vector in 0..g.vectors {
            let panel_first = vector / tiling.nr_vectors * tiling.nr_vectors;
            let (n, v) = ((g.vectors - panel_first).min(tiling.nr_vectors), vector - panel_first);
            // The place of this vector in every step of its panel.
            let panel = (g_at * g.vectors + panel_first) * layout.vector_bytes;
            for lane in 0..lanes {
                let in_group = panel_first * lanes + channel_at(n, v, lane);
                if in_group >= g.group_out {
                    continue;
                }
                let c = g_at * g.group_out + in_group;
                let taps = &w.weights[c * depth..][..depth];
                let at = ((g_at * g.vectors + vector) * lanes + lane) * 4;
                let mut put = |which: usize, bytes: [u8; 4]| {
                    constants[which * layout.constants + at..][..4].copy_from_slice(&bytes);
                };
                let zeros = offset.map_or(0, |offset| zero_sum(desc, w, taps, offset));
                put(0, w.bias[c].wrapping_sub(zeros).to_le_bytes());
                put(1, w.multiplier[c].to_le_bytes());
                if desc.output.has_affine() {
                    put(2, w.gain[c].to_le_bytes());
                    put(3, w.offset[c].to_le_bytes());
                }
                let mut to = panel + (v * lanes + lane) * kr;
                for segment in taps.chunks_exact(g.segment_len) {
                    for run in segment.chunks(kr) {
                        for (byte, &tap) in weights[to..].iter_mut().zip(run) {
                            *byte = tap as u8;
                        }
                        to += n * lanes * kr;
                    }
                }
            }
        }
    }
    blob
}

/// Returns the share of the zero point and of the activations' offset in the sum of one output channel.
pub(crate) fn zero_sum(desc: &ConvDesc, w: &ConvWeights<'_>, taps: &[i8], offset: i32) -> i32 {
    let sum = |taps: &mut dyn Iterator<Item = &i8>| taps.map(|&t| i32::from(t)).sum::<i32>();
    match desc.source {
        Source::Tensor => (i32::from(w.x_zero[0]) + offset).wrapping_mul(sum(&mut taps.iter())),
        Source::Pixels => (0..desc.x.c).fold(0i32, |total, c| {
            let zero = i32::from(w.x_zero[c]) + offset;
            total.wrapping_add(zero * sum(&mut taps.iter().skip(c).step_by(desc.x.c)))
        }),
    }
}

/// See [`crate::KernelSet::check_conv`].
pub(crate) fn check(desc: &ConvDesc, blob: &[u8], tiling: &Tiling) -> bool {
    blob.len() == BlobLayout::new(desc, tiling, &Geometry::new(desc, tiling)).len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_a_panel_hold_every_channel_once() {
        for lanes in [8, 16] {
            for n in 1..=4 {
                let mut seen = vec![false; lanes * n];
                for v in 0..n {
                    for lane in 0..lanes {
                        assert!(!core::mem::replace(&mut seen[channel_at(n, v, lane)], true));
                    }
                }
            }
        }
    }
}
