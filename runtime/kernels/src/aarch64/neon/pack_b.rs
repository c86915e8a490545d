//! A convolution's packed form.
//!
//! It is little-endian: a header of 64 bytes, the first of which is 1 if all floats are tame
//! ([`super::requant::is_tame`]); bias, multiplier and, with a second output, gain and offset, each of `y.c + 16`
//! values rounded up to 16; then
//! - direct: per group and panel of 4 channels, the words of decisions ([`super::tile::decide`]); aligned to 64,
//!   per group and panel `[depth / 32][4][32]` int8;
//! - Winograd: `[c_out / 8][36][c_in][8]` int16. The header's second word is the number of parts in which the
//!   depth is summed ([`super::winograd::parts`]).

use alloc::vec;
use alloc::vec::Vec;

use super::geometry::Geometry;
use super::requant::is_tame;
use super::tile::{self, DEPTH_STEP, NR};
use super::winograd::{self, LANES, POSITIONS};
use crate::set::ConvWeights;

/// The size of the header before the constants.
pub const HEADER: usize = 64;

impl Geometry<'_> {
    /// See [`crate::KernelSet::pack_conv`].
    pub fn pack(&self, w: &ConvWeights<'_>) -> Vec<u8> {
        let mut blob = vec![0u8; self.blob_bytes()];
        let floats = [w.multiplier, w.gain, w.offset];
        blob[0] = floats.iter().all(|v| v.iter().all(|&v| is_tame(v))).into();
        let vector = 4 * self.constants();
        for c in 0..self.desc.y.c {
            let at = HEADER + 4 * c;
            let bias = w.bias[c].wrapping_sub(self.zero_share(c, w));
            blob[at..at + 4].copy_from_slice(&bias.to_le_bytes());
            for (i, values) in floats.iter().enumerate().take(self.constant_vectors() - 1) {
                let at = at + (i + 1) * vector;
                blob[at..at + 4].copy_from_slice(&values[c].to_le_bytes());
            }
        }
        match self.winograd {
            Some(_) => self.pack_winograd(w, &mut blob),
            None => self.pack_direct(w, &mut blob),
        }
        blob
    }

    /// Computes `Σ z·w` of one output channel: kernels multiply the raw input, padding included.
    fn zero_share(&self, channel: usize, w: &ConvWeights<'_>) -> i32 {
        let depth = self.desc.depth();
        let weights = &w.weights[channel * depth..][..depth];
        match w.x_zero {
            [zero] => i32::from(*zero).wrapping_mul(weights.iter().map(|&q| i32::from(q)).sum()),
            // There is one zero point per channel of the pixels, tap after tap.
            zeros => {
                let products =
                    weights.iter().zip(zeros.iter().cycle()).map(|(&q, &z)| i32::from(z) * i32::from(q));
                products.fold(0, i32::wrapping_add)
            }
        }
    }

    fn pack_direct(&self, w: &ConvWeights<'_>, blob: &mut [u8]) {
        let d = self.desc;
        let (depth, group_in) = (d.depth(), d.c_in());
        let (words_at, panels_at) = (self.words_at(), self.panels_at());
        let per_group = self.group_out.div_ceil(NR);
        let mut panel = vec![0u8; NR * self.row];
        let mut line = vec![0u8; self.row];
        for p in 0..self.panels() {
            let first = p / per_group * self.group_out + p % per_group * NR;
            let count = NR.min(self.group_out - p % per_group * NR);
            panel.fill(0);
            for c in 0..count {
                let weights = &w.weights[(first + c) * depth..][..depth];
                for (to, from) in line.chunks_exact_mut(self.tap).zip(weights.chunks_exact(group_in)) {
                    to.iter_mut().zip(from).for_each(|(to, &q)| *to = q as u8);
                }
                for (to, from) in panel.chunks_exact_mut(NR * DEPTH_STEP).zip(line.chunks_exact(DEPTH_STEP)) {
                    to[c * DEPTH_STEP..][..DEPTH_STEP].copy_from_slice(from);
                }
            }
            for (i, part) in panel.chunks(tile::WORD_BYTES).enumerate() {
                let at = words_at + 8 * (p * self.words() + i);
                blob[at..at + 8].copy_from_slice(&tile::decide(part).to_le_bytes());
            }
            let at = panels_at + p * panel.len();
            blob[at..at + panel.len()].copy_from_slice(&panel);
        }
    }

    fn pack_winograd(&self, w: &ConvWeights<'_>, blob: &mut [u8]) {
        let c_in = self.desc.x.c;
        let parts = winograd::parts(w.weights, c_in);
        blob[4..8].copy_from_slice(&(parts as u32).to_le_bytes());
        let u = blob[self.words_at()..].as_chunks_mut::<2>().0;
        for (c, weights) in w.weights.chunks_exact(9 * c_in).enumerate() {
            let u = &mut u[c / LANES * POSITIONS * c_in * LANES..][..POSITIONS * c_in * LANES];
            for k in 0..c_in {
                let g = core::array::from_fn(|i| core::array::from_fn(|j| weights[(i * 3 + j) * c_in + k]));
                for (to, value) in u.chunks_exact_mut(c_in * LANES).zip(winograd::transform_weights(&g)) {
                    to[k * LANES + c % LANES] = value.to_le_bytes();
                }
            }
        }
    }

    /// Returns the number of parts in a Winograd blob's header.
    pub fn parts(blob: &[u8]) -> usize {
        blob.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes) as usize
    }

    /// Implements [`crate::KernelSet::check_conv`]. Any value of a constant or a weight is safe.
    pub fn check(&self, blob: &[u8]) -> bool {
        let steps = self.desc.x.c / LANES;
        blob.len() == self.blob_bytes()
            && match self.winograd {
                // The scratch has room for this many parts.
                Some(_) => (1..=winograd::most_parts(steps)).contains(&Self::parts(blob)),
                // The words of decisions control a loop, so they must be those that follow from the weights.
                None => self.check_words(blob),
            }
    }

    fn check_words(&self, blob: &[u8]) -> bool {
        let words = &blob[self.words_at()..][..8 * self.panels() * self.words()];
        let panels = blob[self.panels_at()..].chunks_exact(NR * self.row);
        words.chunks_exact(8 * self.words()).zip(panels).all(|(words, panel)| {
            let decisions = panel.chunks(tile::WORD_BYTES).map(tile::decide);
            words.as_chunks::<8>().0.iter().map(|w| u64::from_le_bytes(*w)).eq(decisions)
        })
    }
}
