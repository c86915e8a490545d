//! The packed blob of a convolution.
//!
//! A header of 64 bytes, then the panels of eight output channels, each of them
//!
//! ```text
//! bias        i32   four vectors, as a pixel pair's accumulators stand
//! multiplier  f32   four vectors
//! gain, offset f32  four vectors each, where there is a second output
//! weights     i8    [tap][block of depth][64], the 64 as the tile wants them
//! ```
//! The bias includes the zero point's share. Depth that a channel does not have (beyond the last channel, or of
//! another group) has weight zero. Byte 0 of the header tells whether every constant is *tame*. If so, no result
//! can become a NaN, and rounding may precede the clamp.

use alloc::vec;
use alloc::vec::Vec;

use super::geometry::{CONSTANTS, Geometry, HEADER, STEP};
use super::layout::BLOCK;
use super::tile::Tile;
use crate::set::ConvWeights;
use crate::shape::{ConvDesc, Source};

/// The largest magnitude of a tame constant. Products of an int32 and two of them stay below f32's 2¹²⁸.
const TAME: f32 = 2.814_749_8e14; // 2⁴⁸

/// Returns whether a constant is in the range of any real network.
pub(crate) fn is_tame(v: f32) -> bool {
    v.abs() <= TAME
}

/// See [`crate::KernelSet::pack_conv`].
pub(crate) fn pack<T: Tile>(desc: &ConvDesc, w: &ConvWeights<'_>) -> Vec<u8> {
    let geometry = Geometry::new::<T>(desc);
    let mut blob = vec![0; geometry.blob_bytes()];
    let tame = [w.multiplier, w.gain, w.offset].iter().all(|s| s.iter().all(|&v| is_tame(v)));
    blob[0] = tame.into();
    for (panel, bytes) in blob[HEADER..].chunks_exact_mut(geometry.panel_bytes).enumerate() {
        let (constants, weights) = bytes.split_at_mut(geometry.constant_bytes);
        pack_constants::<T>(desc, w, panel, constants);
        let first = geometry.first_block(desc, panel);
        for (step, bytes) in weights.chunks_exact_mut(STEP).enumerate() {
            let (tap, block) = (step / geometry.depth, step % geometry.depth);
            for channel in 0..BLOCK.min(desc.y.c - panel * BLOCK) {
                for k in 0..BLOCK {
                    let depth = (first + block) * BLOCK + k;
                    bytes[T::weight_at(channel, k)] =
                        weight(desc, w, panel * BLOCK + channel, tap, depth) as u8;
                }
            }
        }
    }
    blob
}

/// Returns the weight of output channel `c` at a tap and a depth, as the tile counts them.
fn weight(desc: &ConvDesc, w: &ConvWeights<'_>, c: usize, tap: usize, depth: usize) -> i8 {
    let filter = &w.weights[c * desc.depth()..][..desc.depth()];
    match desc.source {
        Source::Pixels => {
            let row = desc.kernel[1] * desc.x.c;
            if depth < row { filter[tap * row + depth] } else { 0 }
        }
        Source::Tensor => {
            let group_in = desc.c_in();
            let first = c / (desc.y.c / desc.groups) * group_in;
            match depth.checked_sub(first) {
                Some(i) if i < group_in => filter[tap * group_in + i],
                _ => 0,
            }
        }
    }
}

fn pack_constants<T: Tile>(desc: &ConvDesc, w: &ConvWeights<'_>, panel: usize, bytes: &mut [u8]) {
    let mut put = |row: usize, channel: usize, value: [u8; 4]| {
        for lane in 0..CONSTANTS / 4 {
            if T::channel(lane / 4, lane % 4) == channel {
                bytes[row * CONSTANTS + lane * 4..][..4].copy_from_slice(&value);
            }
        }
    };
    for channel in 0..BLOCK.min(desc.y.c - panel * BLOCK) {
        let c = panel * BLOCK + channel;
        put(0, channel, bias(desc, w, c).to_le_bytes());
        put(1, channel, w.multiplier[c].to_le_bytes());
        if desc.output.has_affine() {
            put(2, channel, w.gain[c].to_le_bytes());
            put(3, channel, w.offset[c].to_le_bytes());
        }
    }
}

/// Computes `bias − Σ x_zero·w`. Padding has the value of the zero point, so this is also right at the borders.
fn bias(desc: &ConvDesc, w: &ConvWeights<'_>, c: usize) -> i32 {
    let filter = &w.weights[c * desc.depth()..][..desc.depth()];
    filter.iter().enumerate().fold(w.bias[c], |sum, (i, &q)| {
        let zero = if w.x_zero.len() == 1 { w.x_zero[0] } else { w.x_zero[i % desc.x.c] };
        sum.wrapping_sub(i32::from(zero) * i32::from(q))
    })
}
