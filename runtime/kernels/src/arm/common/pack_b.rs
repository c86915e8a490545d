//! The weights' blob, with the layout of [`Geometry`].

use alloc::vec::Vec;

use super::geometry::Geometry;
use super::tile::Isa;
use crate::set::ConvWeights;
use crate::shape::ConvDesc;

/// Packs the blob that [`Geometry`] describes.
pub(crate) fn pack<I: Isa>(d: &ConvDesc, w: &ConvWeights<'_>) -> Vec<u8> {
    let g = Geometry::new::<I>(d);
    let depth = d.depth();
    let zero_of = |k: usize| {
        let c = k % d.c_in();
        i32::from(if w.x_zero.len() == 1 { w.x_zero[0] } else { w.x_zero[c] })
    };
    let bias: Vec<i32> = (0..d.y.c)
        .map(|c| {
            let taps = &w.weights[c * depth..][..depth];
            let zeros = taps.iter().enumerate().map(|(k, &w)| zero_of(k).wrapping_mul(i32::from(w)));
            let shift = zeros.fold(0i32, |a, b| a.wrapping_add(b));
            if I::ZERO_IN_BIAS { w.bias[c].wrapping_sub(shift) } else { w.bias[c] }
        })
        .collect();
    let mut blob = Vec::with_capacity(g.blob_bytes::<I>(d));
    let words = |blob: &mut Vec<u8>, values: &[[u8; 4]]| {
        for group in values.chunks(g.group) {
            blob.extend(group.iter().flatten());
            blob.resize(blob.len() + 4 * (g.padded_group - g.group), 0);
        }
    };
    words(&mut blob, &bias.iter().map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    for vector in [w.multiplier, w.gain, w.offset] {
        words(&mut blob, &vector.iter().map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    }
    blob.resize(g.head(d), 0);

    // Returns the weight of channel `c` at element `k` of segment `s`, 0 in the padding.
    let weight = |c: usize, s: usize, k: usize| -> i8 {
        let c_in = d.c_in();
        if g.gather {
            return if k < depth { w.weights[c * depth + k] } else { 0 };
        }
        let (column, channel) = (k / g.channels, k % g.channels);
        if column < d.kernel[1] && channel < c_in {
            w.weights[c * depth + (s * d.kernel[1] + column) * c_in + channel]
        } else {
            0
        }
    };
    for group in 0..d.groups {
        for panel in (0..g.padded_group).step_by(I::NR) {
            for (s, k) in (0..g.segments).flat_map(|s| (0..g.segment).step_by(I::DEPTH).map(move |k| (s, k)))
            {
                for n in panel..panel + I::NR {
                    let c = group * g.group + n;
                    blob.extend(
                        (k..k + I::DEPTH).map(|k| if n < g.group { weight(c, s, k) as u8 } else { 0 }),
                    );
                }
            }
        }
    }
    blob
}
