//! Folds an affine map into the convolutions after it.
//!
//! ```text
//! Σ (gain·x + offset)·w + b = Σ x·(gain·w) + (b + Σ offset·w)
//! ```
//! per input channel, if only convolutions read it. The padding value of a convolution must become its preimage,
//! `(v − offset)/gain`. Zeros stay zeros if the offset is 0; on pixels, whose padding the int8 network can set per
//! channel, any value is possible.

use super::{Readers, affine};
use crate::graph::{Conv, Graph, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut all = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Some((gain, offset, from)) = affine(graph, id) else { continue };
        let readers = all.all(id).to_vec();
        let takes = |&r: &usize| match &graph.nodes[r].op {
            Op::Conv(conv) => can_take(conv, &gain, &offset, from == 0),
            _ => false,
        };
        if id == graph.output || readers.is_empty() || graph.is_rounded(id) || !readers.iter().all(takes) {
            continue;
        }
        for &reader in &readers {
            if let Op::Conv(conv) = &mut graph.nodes[reader].op {
                take(conv, &gain, &offset);
            }
        }
        all.bypass(graph, id, from);
        changed = true;
    }
    changed
}

fn can_take(conv: &Conv, gain: &[f32], offset: &[f32], pixels: bool) -> bool {
    let padded = conv.window.pad != [0; 4];
    let invertible = gain.iter().all(|g| *g != 0.0);
    let zeros = offset.iter().zip(&conv.pad_value).all(|(o, v)| o == v);
    !padded || (pixels && invertible) || zeros
}

fn take(conv: &mut Conv, gain: &[f32], offset: &[f32]) {
    let outputs = conv.bias.len();
    let per_group = gain.len() / conv.groups;
    let filter = conv.weights.len() / outputs;
    for (o, weights) in conv.weights.chunks_exact_mut(filter).enumerate() {
        let first = o / (outputs / conv.groups) * per_group;
        let mut moved = 0.0f64;
        for (k, w) in weights.iter_mut().enumerate() {
            let c = first + k % per_group;
            moved += f64::from(offset[c]) * f64::from(*w);
            *w *= gain[c];
        }
        conv.bias[o] = (f64::from(conv.bias[o]) + moved) as f32;
    }
    for (c, v) in conv.pad_value.iter_mut().enumerate() {
        *v = if *v == offset[c] { 0.0 } else { (*v - offset[c]) / gain[c] };
    }
    if conv.window.pad == [0; 4] {
        conv.pad_value.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    #[test]
    fn from_the_pixels_into_a_padded_convolution() {
        let graph = Build::new(5, 6, 3).affine().conv(4, [3, 3], [1, 0, 1, 1]).done();
        check(&graph, run, &["input", "convolution"]);
    }

    #[test]
    fn elsewhere_only_without_padding() {
        let before =
            |pad| Build::new(5, 6, 3).conv(4, [1, 1], [0; 4]).relu().affine().conv(2, [3, 3], pad).done();
        check(&before([0; 4]), run, &["input", "convolution", "ReLU", "convolution"]);
        check(&before([1; 4]), run, &["input", "convolution", "ReLU", "affine map", "convolution"]);
    }

    #[test]
    fn grouped_convolutions_read_their_own_channels() {
        let graph = Build::new(5, 6, 4).affine().grouped(6, [3, 3], [1; 4], 2).done();
        check(&graph, run, &["input", "convolution"]);
    }

    #[test]
    fn not_where_an_addition_reads_it_too() {
        let graph = Build::new(5, 6, 3).affine().conv(3, [1, 1], [0; 4]).add(1).done();
        check(&graph, run, &["input", "affine map", "convolution", "addition"]);
    }
}
