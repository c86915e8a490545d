//! The blob of a convolution.
//!
//! ```text
//! bias i32 · multiplier f32 · (gain f32 · offset f32)   each [vector][lane], padded to 64 bytes
//! weights i8 [panel][pair of vectors][segment][step][vector][16 rows][lane][4]
//! ```
//! It is little-endian and contains nothing else. Every size follows from the description, so only the length
//! needs a check, and no byte can cause a kernel to access other memory. Lanes are ordered as in
//! [`crate::tiled::pack_b`], and zero points are folded into the bias as there.

use alloc::vec;
use alloc::vec::Vec;

use super::geometry::{Geometry, KR, LANES, NR_VECTORS, WEIGHT_TILE};
use crate::set::{ALIGN, ConvWeights};
use crate::shape::ConvDesc;
use crate::tiled::pack_b::{channel_at, zero_sum};

/// Offsets of the parts of a blob.
pub(super) struct BlobLayout {
    /// The size of one vector of constants in bytes.
    pub constants: usize,
    /// The offset of the weights.
    pub weights: usize,
    /// The length of the whole blob.
    pub len: usize,
}

impl BlobLayout {
    pub fn new(desc: &ConvDesc, g: &Geometry) -> Self {
        let constants = (g.vectors * LANES * 4).next_multiple_of(ALIGN);
        let weights = constants * if desc.output.has_affine() { 4 } else { 2 };
        Self { constants, weights, len: weights + g.vectors * g.vector_bytes() }
    }
}

/// Packs a convolution's constants.
pub(super) fn pack(desc: &ConvDesc, w: &ConvWeights<'_>) -> Vec<u8> {
    let g = Geometry::new(desc);
    let layout = BlobLayout::new(desc, &g);
    let mut blob = vec![0u8; layout.len];
    let (constants, weights) = blob.split_at_mut(layout.weights);
    let depth = desc.depth();
    let segment_len = depth / g.segments;
    let mut ordered = vec![0i8; depth];
    for vector in 0..g.vectors {
        let panel_first = vector / NR_VECTORS * NR_VECTORS;
        let (n, v) = ((g.vectors - panel_first).min(NR_VECTORS), vector - panel_first);
        let (pair_first, in_pair) = (v / 2 * 2, v % 2);
        let pair = (n - pair_first).min(2);
        let base = (panel_first + pair_first) * g.vector_bytes() + in_pair * WEIGHT_TILE;
        for lane in 0..LANES {
            let c = panel_first * LANES + channel_at(n, v, lane);
            if c >= desc.y.c {
                continue;
            }
            let taps = &w.weights[c * depth..][..depth];
            let at = (vector * LANES + lane) * 4;
            let mut put = |which: usize, bytes: [u8; 4]| {
                constants[which * layout.constants + at..][..4].copy_from_slice(&bytes);
            };
            put(0, w.bias[c].wrapping_sub(zero_sum(desc, w, taps, 128)).to_le_bytes());
            put(1, w.multiplier[c].to_le_bytes());
            if desc.output.has_affine() {
                put(2, w.gain[c].to_le_bytes());
                put(3, w.offset[c].to_le_bytes());
            }
            order(desc, &g, taps, &mut ordered);
            for (s, segment) in ordered.chunks_exact(segment_len).enumerate() {
                for (k, &tap) in segment.iter().enumerate() {
                    let tile = base + (s * g.steps + k / KR) * pair * WEIGHT_TILE;
                    weights[tile + k % KR / 4 * 64 + lane * 4 + k % 4] = tap as u8;
                }
            }
        }
    }
    blob
}

/// Reorders the taps of one output channel to the order of its input.
fn order(desc: &ConvDesc, g: &Geometry, taps: &[i8], ordered: &mut [i8]) {
    if !g.interleaved {
        return ordered.copy_from_slice(taps);
    }
    let ([kh, kw], c) = (desc.kernel, desc.x.c);
    for y in 0..kh {
        for x in 0..kw {
            let (from, to) = ((y * kw + x) * c, (x * kh + y) * c);
            ordered[to..][..c].copy_from_slice(&taps[from..][..c]);
        }
    }
}

/// See [`crate::KernelSet::check_conv`].
pub(super) fn check(desc: &ConvDesc, blob: &[u8]) -> bool {
    blob.len() == BlobLayout::new(desc, &Geometry::new(desc)).len
}
