//! Joins convolutions of one input whose outputs do not overlap and are added.
//!
//! ```text
//! Conv(x; A) + Conv(x; B) = Conv(x; A + B)          where no channel has weights in both
//! ReLU(a) + ReLU(b)       = ReLU(a + b)             where no channel is nonzero in both
//! ```
//! Import writes concatenations in this form. If input and output channels can be divided into blocks, as when a
//! grouped convolution was written as several, the sum becomes a grouped convolution again.

use super::Readers;
use crate::graph::{Conv, Graph, NodeId, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        if graph.nodes[id].op != Op::Add || graph.nodes[id].inputs.len() != 2 {
            continue;
        }
        let (a, b) = (graph.nodes[id].inputs[0], graph.nodes[id].inputs[1]);
        if a == b || readers.only(graph, a) != Some(id) || readers.only(graph, b) != Some(id) {
            continue;
        }
        let merged = match (&graph.nodes[a].op, &graph.nodes[b].op) {
            (Op::Conv(first), Op::Conv(second)) if graph.nodes[a].inputs == graph.nodes[b].inputs => {
                sum(first, second).map(|conv| (Op::Conv(conv), graph.nodes[a].inputs.clone()))
            }
            (Op::Relu, Op::Relu) if graph.given.is_empty() => {
                let (x, y) = (graph.nodes[a].inputs[0], graph.nodes[b].inputs[0]);
                let overlap = support(graph, x).iter().zip(support(graph, y)).any(|(x, y)| *x && y);
                if overlap {
                    continue;
                }
                // The later of the two ReLUs becomes the sum.
                let late = a.max(b);
                graph.nodes[late].op = Op::Add;
                readers.rewire(graph, a.min(b), Vec::new());
                readers.rewire(graph, late, vec![x, y]);
                Some((Op::Relu, vec![late]))
            }
            _ => None,
        };
        let Some((op, inputs)) = merged else { continue };
        if matches!(op, Op::Conv(_)) {
            // Without inputs they are dead.
            readers.rewire(graph, a, Vec::new());
            readers.rewire(graph, b, Vec::new());
        }
        graph.nodes[id].op = op;
        readers.rewire(graph, id, inputs);
        changed = true;
    }
    changed
}

/// Returns, per channel, whether it may be nonzero.
fn support(graph: &Graph, node: NodeId) -> Vec<bool> {
    let of = &graph.nodes[node];
    let input = |i: usize| support(graph, of.inputs[i]);
    match &of.op {
        Op::Conv(conv) => {
            let filter = conv.weights.len() / conv.bias.len();
            let zero = |w: &[f32]| w.iter().all(|w| *w == 0.0);
            conv.weights.chunks_exact(filter).zip(&conv.bias).map(|(w, b)| *b != 0.0 || !zero(w)).collect()
        }
        Op::Relu | Op::Pad(_) => input(0),
        Op::Add => input(0).iter().zip(input(1)).map(|(a, b)| *a || b).collect(),
        _ => vec![true; of.shape.c],
    }
}

/// Returns the sum of two convolutions, or `None` if a channel has weights in both or their windows do not match.
fn sum(a: &Conv, b: &Conv) -> Option<Conv> {
    let filters = |c: &Conv| -> Vec<bool> {
        let filter = c.weights.len() / c.bias.len();
        let zero = |w: &[f32]| w.iter().all(|w| *w == 0.0);
        c.weights.chunks_exact(filter).zip(&c.bias).map(|(w, b)| *b != 0.0 || !zero(w)).collect()
    };
    let overlap = filters(a).iter().zip(filters(b)).any(|(a, b)| *a && b);
    if overlap || a.pad_value != b.pad_value {
        return None;
    }
    if a.window != b.window || a.dilation != b.dilation {
        return None;
    }
    let mut conv = if a.groups == b.groups { a.clone() } else { ungrouped(a) };
    let other = if a.groups == b.groups { b.clone() } else { ungrouped(b) };
    conv.weights.iter_mut().zip(&other.weights).for_each(|(a, b)| *a += b);
    conv.bias.iter_mut().zip(&other.bias).for_each(|(a, b)| *a += b);
    Some(in_groups(conv))
}

/// Converts to one group by writing zeros for the channels of other groups.
pub fn ungrouped(conv: &Conv) -> Conv {
    let (inputs, outputs) = (conv.pad_value.len(), conv.bias.len());
    let per_group = inputs / conv.groups;
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let mut weights = vec![0.0; outputs * taps * inputs];
    for (t, tap) in conv.weights.chunks_exact(per_group).enumerate() {
        let first = t / taps / (outputs / conv.groups) * per_group;
        weights[t * inputs + first..][..per_group].copy_from_slice(tap);
    }
    Conv { weights, groups: 1, ..conv.clone() }
}

/// Converts to as many groups as its zeros allow.
fn in_groups(conv: Conv) -> Conv {
    let (inputs, outputs) = (conv.pad_value.len(), conv.bias.len());
    if conv.groups != 1 {
        return conv;
    }
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let fits = |groups: usize| {
        inputs.is_multiple_of(groups)
            && outputs.is_multiple_of(groups)
            && conv.weights.iter().enumerate().all(|(i, w)| {
                let (c, o) = (i % inputs, i / inputs / taps);
                *w == 0.0 || c / (inputs / groups) == o / (outputs / groups)
            })
    };
    let Some(groups) = (2..=inputs.min(outputs)).rev().find(|&g| fits(g)) else { return conv };
    let per_group = inputs / groups;
    let weights = conv.weights.chunks_exact(inputs).enumerate().flat_map(|(t, tap)| {
        let first = t / taps / (outputs / groups) * per_group;
        tap[first..first + per_group].to_vec()
    });
    Conv { weights: weights.collect(), groups, ..conv }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::selection;
    use crate::pass::testing::{Build, check};

    fn all(graph: &mut Graph) -> bool {
        selection::forward(graph) || selection::earlier(graph) || selection::backward(graph) || run(graph)
    }

    /// Builds two convolutions of one input, each followed by a ReLU, side by side.
    fn side_by_side(kernel: [usize; 2]) -> Graph {
        let first: Vec<Option<usize>> = (0..6).map(|c| (c < 4).then_some(c)).collect();
        let second: Vec<Option<usize>> = (0..6usize).map(|c| c.checked_sub(4)).collect();
        Build::new(5, 6, 3)
            .conv(4, [3, 3], [1; 4])
            .relu()
            .pick(&first, 1)
            .beside(0, 2, kernel)
            .relu()
            .pick(&second, 1)
            .add(3)
            .done()
    }

    #[test]
    fn side_by_side_they_are_one() {
        check(&side_by_side([3, 3]), all, &["input", "convolution", "ReLU"]);
    }

    #[test]
    fn not_where_one_would_do_the_work_of_the_other() {
        let left: Vec<&str> = {
            let mut graph = side_by_side([1, 1]);
            while all(&mut graph) {}
            crate::pass::sweep::run(&mut graph);
            graph.nodes.iter().map(|n| n.op.kind()).collect()
        };
        assert_eq!(left.iter().filter(|kind| **kind == "addition").count(), 1);
    }

    #[test]
    fn not_where_both_add_to_a_channel() {
        let graph = Build::new(5, 6, 3).conv(4, [3, 3], [1; 4]).beside(0, 4, [3, 3]).add(1).done();
        check(&graph, run, &["input", "convolution", "convolution", "addition"]);
    }

    #[test]
    fn blocks_are_groups() {
        let grouped = Build::new(4, 4, 6).grouped(4, [3, 3], [1; 4], 2).done();
        let Op::Conv(conv) = &grouped.nodes[1].op else { panic!("a convolution") };
        assert_eq!(in_groups(ungrouped(conv)), *conv);
    }
}
