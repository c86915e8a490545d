//! Folds a convolution that only picks, adds and subtracts channels into the convolution before it.
//!
//! ```text
//! P·(W·x + b) + p = (P·W)·x + (P·b + p)        P of 0, 1 and −1
//! ```
//! if nothing else reads the first. Attention between branches computes differences of a dense layer's outputs in
//! this way.

use super::Readers;
use crate::graph::{Conv, Graph, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let (Op::Conv(second), Some(&from)) = (&graph.nodes[id].op, graph.nodes[id].inputs.first()) else {
            continue;
        };
        let Op::Conv(first) = &graph.nodes[from].op else { continue };
        let alone = readers.only(graph, from) == Some(id) && !graph.is_rounded(from);
        if !alone || first.groups != 1 || !picks(second, first.bias.len()) {
            continue;
        }
        let merged = merged(first, second);
        let shape = graph.nodes[id].shape;
        graph.nodes[from].op = Op::Conv(merged);
        graph.nodes[from].shape = shape;
        readers.bypass(graph, id, from);
        changed = true;
    }
    changed
}

/// Returns whether a convolution uses pixels unchanged and has only the weights 0, 1 and −1.
fn picks(conv: &Conv, inputs: usize) -> bool {
    let window = conv.window;
    let pixelwise = window.kernel == [1, 1] && window.stride == [1, 1] && window.pad == [0; 4];
    pixelwise
        && conv.groups == 1
        && conv.bias.len() <= inputs
        && conv.weights.iter().all(|w| [-1.0, 0.0, 1.0].contains(w))
}

fn merged(first: &Conv, second: &Conv) -> Conv {
    let inputs = first.bias.len();
    let filter = first.weights.len() / inputs;
    let mut weights = vec![0.0; second.bias.len() * filter];
    let mut bias = second.bias.clone();
    for (o, row) in second.weights.chunks_exact(inputs).enumerate() {
        for (i, &sign) in row.iter().enumerate().filter(|(_, sign)| **sign != 0.0) {
            bias[o] += sign * first.bias[i];
            let into = weights[o * filter..(o + 1) * filter].iter_mut();
            into.zip(&first.weights[i * filter..]).for_each(|(w, f)| *w += sign * f);
        }
    }
    Conv { weights, bias, ..first.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    fn picking(build: Build, weights: &[f32]) -> Build {
        let outputs = weights.len() / 4;
        let mut build = build.conv(outputs, [1, 1], [0; 4]);
        let Op::Conv(conv) = &mut build.last().op else { unreachable!() };
        conv.weights = weights.to_vec();
        build
    }

    #[test]
    fn differences_are_taken_of_the_weights() {
        let start = Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]);
        let graph = picking(start, &[1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0]).done();
        check(&graph, run, &["input", "convolution"]);
    }

    #[test]
    fn other_weights_and_other_readers_stay() {
        let start = || Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]);
        let graph = picking(start(), &[0.5; 8]).done();
        check(&graph, run, &["input", "convolution", "convolution"]);
        let graph = picking(
            start(),
            &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        );
        let graph = graph.add(1).done();
        check(&graph, run, &["input", "convolution", "convolution", "addition"]);
    }
}
