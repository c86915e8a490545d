//! Rewrites of the float graph, one file each, which run until nothing changes any more.
//!
//! Each pass preserves the graph's function (up to f32 rounding) and makes it smaller. A new one needs its file
//! and a line in `PASSES`.

mod affine_before_clip;
mod affine_chain;
mod conv_chain;
mod curves;
mod fold_affine_backward;
mod fold_affine_forward;
mod fold_pad;
mod lone_pad;
mod parallel;
mod pixels;
mod preprocess;
mod selection;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;

pub use preprocess::{Preprocess, PreprocessError, prepend};

use crate::graph::{Graph, NodeId, Op};

/// Tries once over the whole graph; returns whether something changed.
type Pass = fn(&mut Graph) -> bool;

/// The passes in the order in which they are tried. Backward folds come before forward folds, since weights after a
/// ReLU have a scale of their own per output channel, but not per input channel.
const PASSES: &[Pass] = &[
    selection::forward,
    selection::earlier,
    selection::backward,
    parallel::run,
    fold_pad::run,
    fold_affine_backward::run,
    affine_chain::run,
    fold_affine_forward::run,
    affine_before_clip::run,
    conv_chain::run,
    curves::run,
    lone_pad::run,
    pixels::run,
];

/// Folds everything that can be folded.
pub fn fold(graph: &mut Graph) {
    // A node that nothing needs would count as a reader.
    sweep::run(graph);
    while PASSES.iter().any(|pass| pass(graph)) {}
    sweep::run(graph);
}

/// The readers of each node, kept up to date while a pass changes the graph: searching the whole graph for readers
/// would make every pass quadratic.
struct Readers(Vec<Vec<NodeId>>);

impl Readers {
    fn of(graph: &Graph) -> Self {
        Self(graph.readers())
    }

    /// Returns the nodes that read this one.
    fn all(&self, node: NodeId) -> &[NodeId] {
        &self.0[node]
    }

    /// Returns the only reader of a node, or `None` if there are several or the node is the output.
    fn only(&self, graph: &Graph, node: NodeId) -> Option<NodeId> {
        match self.0[node][..] {
            [reader] if node != graph.output => Some(reader),
            _ => None,
        }
    }

    /// Changes the inputs of a node.
    fn rewire(&mut self, graph: &mut Graph, node: NodeId, inputs: Vec<NodeId>) {
        for input in std::mem::take(&mut graph.nodes[node].inputs) {
            self.0[input].retain(|&reader| reader != node);
        }
        inputs.iter().for_each(|&input| self.0[input].push(node));
        graph.nodes[node].inputs = inputs;
    }

    /// Makes all readers of a node read another one instead, which leaves the node without readers.
    fn bypass(&mut self, graph: &mut Graph, node: NodeId, instead: NodeId) {
        let moved = std::mem::take(&mut self.0[node]);
        for &reader in &moved {
            graph.nodes[reader].inputs.iter_mut().filter(|i| **i == node).for_each(|i| *i = instead);
        }
        // Without inputs it is dead, and no pass counts it as a reader.
        for input in std::mem::take(&mut graph.nodes[node].inputs) {
            self.0[input].retain(|&reader| reader != node);
        }
        self.0[instead].extend(moved);
        if graph.output == node {
            graph.output = instead;
        }
    }
}

/// Returns gain, offset and input of a node that is an affine map.
fn affine(graph: &Graph, node: NodeId) -> Option<(Vec<f32>, Vec<f32>, NodeId)> {
    match (&graph.nodes[node].op, graph.nodes[node].inputs.first()) {
        (Op::Affine { gain, offset }, Some(&from)) => Some((gain.clone(), offset.clone(), from)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::Build;

    #[test]
    fn readers_follow_a_bypass() {
        // 0 input, 1 and 2 affine, 3 ReLU of 2, 4 addition of 3 and 1.
        let mut graph = Build::new(3, 3, 3).affine().affine().relu().add(1).done();
        let mut readers = Readers::of(&graph);
        assert_eq!((readers.only(&graph, 1), readers.only(&graph, 2)), (None, Some(3)));
        readers.bypass(&mut graph, 2, 1);
        let mut found = readers.all(1).to_vec();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
        assert_eq!(readers.0[1].len(), Readers::of(&graph).0[1].len());
        assert_eq!(
            (readers.all(2).len(), graph.nodes[2].inputs.len(), &graph.nodes[3].inputs[..]),
            (0, 0, &[1][..])
        );
        // The output has no only reader, and a bypassed output is replaced by the other node.
        assert_eq!(readers.only(&graph, 4), None);
        readers.bypass(&mut graph, 4, 3);
        assert_eq!(graph.output, 3);
    }
}
