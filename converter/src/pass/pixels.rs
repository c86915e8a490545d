//! Ensures that only convolutions of one group read the image: others are converted, and any other reader gets a
//! convolution that copies the image.

use super::parallel::ungrouped;
use crate::graph::{Conv, Graph, Node, Op, Window};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    for id in 1..graph.nodes.len() {
        if !graph.nodes[id].inputs.contains(&0) {
            continue;
        }
        match &graph.nodes[id].op {
            Op::Conv(conv) if conv.groups == 1 => continue,
            Op::Conv(conv) => graph.nodes[id].op = Op::Conv(ungrouped(conv)),
            Op::Affine { gain, offset } => {
                graph.nodes[id].op = Op::Conv(diagonal(gain, offset.clone()));
            }
            _ => {
                copy(graph);
                return true;
            }
        }
        changed = true;
    }
    changed
}

/// Returns `gain·x + bias` as a convolution.
fn diagonal(gain: &[f32], bias: Vec<f32>) -> Conv {
    let c = gain.len();
    let mut weights = vec![0.0; c * c];
    gain.iter().enumerate().for_each(|(i, g)| weights[i * c + i] = *g);
    let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
    Conv { weights, bias, window, dilation: [1, 1], groups: 1, pad_value: vec![0.0; c] }
}

/// Inserts a copy of the image before every reader that is not a convolution.
fn copy(graph: &mut Graph) {
    let shape = graph.input();
    for node in &mut graph.nodes {
        let convolution = matches!(node.op, Op::Conv(_));
        node.inputs.iter_mut().for_each(|i| *i += usize::from(*i > 0 || !convolution));
    }
    graph.output += 1;
    let op = Op::Conv(diagonal(&vec![1.0; shape.c], vec![0.0; shape.c]));
    graph.nodes.insert(1, Node { name: "pixels/copy".into(), op, inputs: vec![0], shape });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    #[test]
    fn what_reads_pixels_reads_a_copy() {
        let graph = Build::new(5, 6, 3).relu().conv(4, [3, 3], [1; 4]).done();
        check(&graph, run, &["input", "convolution", "ReLU", "convolution"]);
        let graph = Build::new(5, 6, 3).max_pool([2, 2], [0; 4]).done();
        check(&graph, run, &["input", "convolution", "max pooling"]);
    }

    #[test]
    fn groups_are_written_out() {
        let graph = Build::new(5, 6, 3).grouped(6, [3, 3], [1; 4], 3).done();
        check(&graph, run, &["input", "convolution"]);
        let graph = Build::new(5, 6, 3).affine().max_pool([2, 2], [0; 4]).done();
        check(&graph, run, &["input", "convolution", "max pooling"]);
    }
}
