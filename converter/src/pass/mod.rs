//! Rewrites of the float graph, one file each, until nothing changes any more.
//!
//! Each pass keeps the graph's function (up to f32 rounding) and makes it smaller. A new one is its
//! file and a line in `PASSES`.

mod affine_chain;
mod fold_affine_backward;
mod fold_affine_forward;
mod fold_pad;
mod preprocess;
mod sweep;
#[cfg(test)]
pub(crate) mod testing;

pub use preprocess::{Preprocess, PreprocessError, prepend};

use crate::graph::{Graph, NodeId, Op};

/// Tries once over the whole graph; true if something changed.
type Pass = fn(&mut Graph) -> bool;

/// In the order tried; backwards before forwards, since weights behind a ReLU have a scale of their own
/// per output channel, not per input channel.
const PASSES: &[Pass] =
    &[fold_pad::run, fold_affine_backward::run, affine_chain::run, fold_affine_forward::run];

/// Folds all that can be folded.
pub fn fold(graph: &mut Graph) {
    while PASSES.iter().any(|pass| pass(graph)) {}
    sweep::run(graph);
}

/// The only reader of a node; none where there are several, or where it is the output.
fn only_reader(graph: &Graph, node: NodeId) -> Option<NodeId> {
    if node == graph.output {
        return None;
    }
    let mut readers = (node + 1..graph.nodes.len()).filter(|&r| graph.nodes[r].inputs.contains(&node));
    match (readers.next(), readers.next()) {
        (Some(reader), None) if graph.nodes[reader].inputs.iter().filter(|&&i| i == node).count() == 1 => {
            Some(reader)
        }
        _ => None,
    }
}

/// Gain, offset and input of a node that is an affine map.
fn affine(graph: &Graph, node: NodeId) -> Option<(Vec<f32>, Vec<f32>, NodeId)> {
    match (&graph.nodes[node].op, graph.nodes[node].inputs.first()) {
        (Op::Affine { gain, offset }, Some(&from)) => Some((gain.clone(), offset.clone(), from)),
        _ => None,
    }
}

/// Makes everything that reads a node read another instead, which leaves the node without readers.
fn bypass(graph: &mut Graph, node: NodeId, instead: NodeId) {
    for reader in &mut graph.nodes {
        reader.inputs.iter_mut().filter(|i| **i == node).for_each(|i| *i = instead);
    }
    if graph.output == node {
        graph.output = instead;
    }
    // Without inputs it is dead, and no pass takes it for a reader.
    graph.nodes[node].inputs.clear();
}
