//! Finds the sources of noise: each tensor and each layer's weights are rounded alone.
//!
//! The float network is run with one part rounded like int8 and everything else exact; the noise that this adds to
//! the logits is the part's share. Shares of small noises add up to about the whole, so the list shows which
//! tensor to look at first.

use super::QuantizeError;
use super::build::Draft;
use super::fuse::Layer;
use super::score::{Distance, Measure};
use crate::calibrate::in_lanes;
use crate::float::{FloatError, FloatNet, Grid, Grids};
use crate::graph::{Graph, NodeId, Op};
use crate::image::Pixels;

/// The effect of one part alone on the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The node whose value (or, for `weights`, whose weights) is rounded.
    pub node: NodeId,
    /// Whether it is the weights.
    pub weights: bool,
    /// The signal-to-noise ratio of the logits in dB if nothing else is rounded.
    pub sqnr: f64,
}

/// Returns the exact graph with one layer's int8 weights and the biases that belong to them.
fn with_weights(exact: &Graph, draft: &Draft, node: NodeId) -> Graph {
    let mut graph = exact.clone();
    if let (Op::Conv(conv), Op::Conv(ours), Some(packed)) =
        (&mut graph.nodes[node].op, &draft.graph.nodes[node].op, &draft.packed[node])
    {
        let filter = conv.weights.len() / conv.bias.len();
        for (k, w) in conv.weights.iter_mut().enumerate() {
            *w = f32::from(packed.weights[k]) * packed.scale[k / filter];
        }
        conv.bias.clone_from(&ours.bias);
    }
    graph
}

/// Returns the grids of the draft's tensors; for those with a shared scale, that of the tensor that determines it.
fn grids(draft: &Draft) -> Grids {
    let fusion = &draft.fusion;
    let mut grids = Grids::default();
    for slot in fusion.scaled() {
        let (scale, zero) = draft.quantization(slot);
        let (lo, hi) = draft.levels(slot);
        grids.rounded.push((fusion.slots[slot].node, Grid { scale, zero, lo, hi }));
    }
    for layer in &fusion.layers {
        if let Layer::Conv { second: Some(second), .. } = *layer {
            grids.unrounded.push(second.affine.unwrap_or(fusion.slots[second.slot].node));
        }
    }
    grids
}

/// Returns the logits of a partly rounded network.
fn logits(graph: &Graph, grids: &Grids, images: &[Pixels]) -> Result<Vec<Vec<f32>>, FloatError> {
    let net = FloatNet::rounded(graph, grids);
    images.iter().map(|p| Ok(net.run(p)?.swap_remove(0))).collect()
}

/// Returns the number of parts that [`shares`] measures.
pub fn parts(draft: &Draft) -> usize {
    let convs = draft.fusion.layers.iter().filter(|l| matches!(l, Layer::Conv { .. })).count();
    convs + draft.fusion.scaled().count()
}

/// Returns the share of every tensor and of every layer's weights, in the layers' order. `exact` is the float
/// graph in the draft's units, without the shifts of rounding and bias correction.
pub fn shares(
    exact: &Graph,
    draft: &Draft,
    images: &[Pixels],
    measure: Measure,
    tick: &(dyn Fn() + Sync),
) -> Result<Vec<Share>, QuantizeError> {
    let all = grids(draft);
    let truth = logits(exact, &Grids::default(), images)?;
    let convs = draft.fusion.layers.iter().filter(|l| matches!(l, Layer::Conv { .. }));
    let mut parts: Vec<(NodeId, bool)> = convs.map(|l| (l.node(), true)).collect();
    parts.extend(all.rounded.iter().map(|r| (r.0, false)));
    parts.sort_unstable();
    let shares = in_lanes(parts.len(), |i| -> Result<Share, QuantizeError> {
        let (node, weights) = parts[i];
        let answers = if weights {
            logits(&with_weights(exact, draft, node), &Grids::default(), images)?
        } else {
            let one = all.rounded.iter().copied().filter(|r| r.0 == node).collect();
            logits(exact, &Grids { rounded: one, unrounded: all.unrounded.clone() }, images)?
        };
        tick();
        Ok(Share { node, weights, sqnr: Distance::between(&truth, &answers, measure).sqnr })
    });
    shares.into_iter().collect()
}
