//! Mixed precision: finds the fewest weights and tensors to keep in 16 bits so that a budget holds.
//!
//! [`super::sensitivity`] measures how much noise each tensor and each layer's weights alone add to the logits.
//! The noisiest are kept in 16 bits (see [`super::widen`]). Their number is doubled until the budget holds, then
//! reduced by bisection; then each of them is tried without, the least noisy first. Every try is measured with the
//! real kernels on the images of the budget.

use std::collections::BTreeMap;

use foldnet_archive::Network;

use super::QuantizeError;
use super::build::Draft;
use super::fuse::SlotId;
use super::sensitivity::Share;
use super::widen::{self, Kept};
use crate::graph::{Graph, NodeId};
use crate::image::Pixels;

/// The number of images on which the scales of the parts are measured.
const PROBES: usize = 24;
/// The number of kept parts that are tried without at the end.
const WITHOUT: usize = 16;

/// A network with parts in 16 bits.
pub struct Mixed {
    /// The network.
    pub network: Network,
    /// The kept parts, the noisiest first.
    pub parts: Vec<Part>,
    /// The measured drop, for which the budget is.
    pub drop: f64,
    /// The number of networks measured.
    pub tried: usize,
}

/// A part kept in 16 bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The node whose weights or value are kept.
    pub node: NodeId,
    /// Whether it is the weights.
    pub weights: bool,
    /// The signal-to-noise ratio of the logits in dB if only this part is rounded to 8 bits.
    pub sqnr: f64,
    /// The multiply-accumulates that keeping only this part adds.
    pub macs: u64,
    /// The number of weights and biases that keeping only this part adds.
    pub parameters: usize,
}

/// The result of the search.
pub enum Found {
    /// The budget holds.
    Yes(Box<Mixed>),
    /// The budget does not hold even with every possible part in 16 bits; contains the remaining drop.
    No(f64),
}

/// Finds the parts to keep so that `measure` is at most `limit`. `exact` is the graph that [`widen::network`]
/// requires; `images` may be those of calibration.
pub fn keep<E: From<QuantizeError>>(
    draft: &Draft,
    exact: &Graph,
    shares: &[Share],
    images: &[Pixels],
    limit: f64,
    mut measure: impl FnMut(&Network) -> Result<f64, E>,
) -> Result<Found, E> {
    let order = order(draft, shares);
    let probes: Vec<Pixels> = (0..images.len().min(PROBES))
        .map(|i| images[i * images.len() / PROBES.min(images.len())].clone())
        .collect();
    let mut tried = 0;
    let mut attempt = |kept: &[Candidate]| -> Result<(f64, Network), E> {
        tried += 1;
        let network = widen::network(draft, exact, &all(kept), &probes)?;
        Ok((measure(&network)?, network))
    };
    let (mut fails, mut count) = (0, 1.min(order.len()));
    let mut best = loop {
        let (drop, network) = attempt(&order[..count])?;
        if drop <= limit {
            break (drop, network);
        }
        if count == order.len() {
            return Ok(Found::No(drop));
        }
        fails = count;
        count = (count * 2).min(order.len());
    };
    while count - fails > 1 {
        let middle = fails + (count - fails) / 2;
        let (drop, network) = attempt(&order[..middle])?;
        if drop <= limit {
            (best, count) = ((drop, network), middle);
        } else {
            fails = middle;
        }
    }
    let mut kept = order[..count].to_vec();
    // The budget was just seen to fail without the last one.
    for i in (0..count.saturating_sub(1)).rev().take(WITHOUT) {
        let mut fewer = kept.clone();
        fewer.remove(i);
        let (drop, network) = attempt(&fewer)?;
        if drop <= limit {
            (best, kept) = ((drop, network), fewer);
        }
    }
    let base = draft.network()?;
    let parts = kept.iter().map(|c| part(draft, exact, c, &base)).collect::<Result<_, QuantizeError>>()?;
    let (drop, network) = best;
    Ok(Found::Yes(Box::new(Mixed { network, parts, drop, tried })))
}

#[derive(Clone, Debug)]
struct Candidate {
    share: Share,
    /// The tensor, if it is one.
    slot: Option<SlotId>,
}

/// Returns the parts that can be kept, the noisiest first.
fn order(draft: &Draft, shares: &[Share]) -> Vec<Candidate> {
    let eligible = widen::eligible(&draft.fusion);
    let slots: BTreeMap<NodeId, SlotId> =
        eligible.values.iter().map(|&s| (draft.fusion.slots[s].node, s)).collect();
    let mut order: Vec<Candidate> = shares
        .iter()
        .filter_map(|share| {
            let slot = if share.weights { None } else { Some(*slots.get(&share.node)?) };
            let able = !share.weights || eligible.weights.contains(&share.node);
            able.then(|| Candidate { share: share.clone(), slot })
        })
        .collect();
    order.sort_by(|a, b| a.share.sqnr.total_cmp(&b.share.sqnr).then(a.share.node.cmp(&b.share.node)));
    order
}

fn all(candidates: &[Candidate]) -> Kept {
    Kept {
        weights: candidates.iter().filter(|c| c.slot.is_none()).map(|c| c.share.node).collect(),
        values: candidates.iter().filter_map(|c| c.slot).collect(),
    }
}

fn part(draft: &Draft, exact: &Graph, candidate: &Candidate, base: &Network) -> Result<Part, QuantizeError> {
    let alone = widen::network(draft, exact, &all(std::slice::from_ref(candidate)), &[])?;
    Ok(Part {
        node: candidate.share.node,
        weights: candidate.share.weights,
        sqnr: candidate.share.sqnr,
        macs: alone.macs().saturating_sub(base.macs()),
        parameters: alone.parameters().saturating_sub(base.parameters()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::FloatNet;
    use crate::graph::Op;
    use crate::quantize::recipe::{Effort, Options, Silent, quantize};
    use crate::quantize::score::{Distance, logits};
    use crate::quantize::tests::{conv, images, residual};
    use crate::quantize::{equalize, sensitivity};

    /// The kept parts, by name and whether it is the weights, and the network.
    type Named = (Vec<(String, bool)>, Network);

    /// Quantizes without any repair, then searches for parts to keep; returns the parts by name, and the remaining
    /// error of the logits.
    fn found(graph: &Graph, limit: f64) -> (f64, Option<Named>) {
        let options = Options {
            effort: Effort::Low,
            equalize: false,
            rounding: false,
            bias: false,
            ..Options::default()
        };
        let outcome = quantize(graph, &images(24), options, &Silent).unwrap();
        let exact = equalize::apply(&outcome.graph, &outcome.factors);
        let shares =
            sensitivity::shares(&exact, &outcome.draft, &images(8), outcome.measure, &|| ()).unwrap();
        let others = &images(60)[24..];
        let float = FloatNet::new(&exact);
        let truth: Vec<_> = others.iter().map(|p| float.run(p).unwrap()[exact.output].clone()).collect();
        // The drop is in dB below 40: small networks on noise agree by chance.
        let measure = |network: &Network| -> Result<f64, QuantizeError> {
            Ok(40.0 - Distance::between(&truth, &logits(network, others)?, outcome.measure).sqnr)
        };
        let before = measure(&outcome.network).unwrap();
        let found = keep(&outcome.draft, &exact, &shares, &images(24), limit, measure).unwrap();
        let name = |p: &Part| (outcome.graph.nodes[p.node].name.clone(), p.weights);
        match found {
            Found::Yes(mixed) => {
                assert!(mixed.drop <= limit);
                assert!(mixed.parts.iter().all(|p| p.macs > 0 && p.parameters > 0));
                (before, Some((mixed.parts.iter().map(name).collect(), mixed.network)))
            }
            Found::No(drop) => {
                assert!(drop > limit);
                (before, None)
            }
        }
    }

    /// In every filter one weight is three hundred times the others, on a channel that is always zero. Float is
    /// not affected, but int8 has no resolution left for the others.
    fn damaged_weights() -> Graph {
        let mut graph = residual();
        let filter = conv(&mut graph, 3).weights.len() / 8;
        conv(&mut graph, 3).weights[..filter].fill(0.0);
        conv(&mut graph, 3).bias[0] = 0.0;
        let largest = conv(&mut graph, 5).weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        conv(&mut graph, 5).weights.chunks_exact_mut(8).for_each(|tap| tap[0] = 300.0 * largest);
        graph
    }

    /// One channel is a large constant, which the next layer's bias subtracts again.
    fn damaged_values() -> Graph {
        let mut graph = residual();
        let filter = conv(&mut graph, 3).weights.len() / 8;
        conv(&mut graph, 3).weights[..filter].fill(0.0);
        conv(&mut graph, 3).bias[0] = 1000.0;
        conv(&mut graph, 5).weights.chunks_exact_mut(8).for_each(|tap| tap[0] = 0.0);
        graph
    }

    #[test]
    fn the_damaged_weights_are_found_and_the_budget_holds() {
        let (before, found) = found(&damaged_weights(), 10.0);
        let (parts, network) = found.expect("16 bits are enough");
        assert!(before > 20.0, "the damage does damage: {before}");
        assert_eq!(parts, [("b".to_owned(), true)]);
        network.validate().unwrap();
    }

    #[test]
    fn the_damaged_tensor_is_found_and_the_budget_holds() {
        let (before, found) = found(&damaged_values(), 10.0);
        let (parts, _) = found.expect("16 bits are enough");
        assert!(before > 15.0, "the damage does damage: {before}");
        assert_eq!(parts, [("a_relu".to_owned(), false)]);
    }

    #[test]
    fn what_cannot_be_reached_is_said() {
        assert!(found(&residual(), -60.0).1.is_none());
    }

    #[test]
    fn without_a_convolution_to_keep_there_is_no_order() {
        let mut graph = residual();
        graph.nodes.truncate(2);
        graph.output = 1;
        assert!(matches!(graph.nodes[1].op, Op::Conv(_)));
        let outcome = quantize(&graph, &images(4), Options::default(), &Silent);
        // The network ends in a feature map.
        let draft = outcome.unwrap().draft;
        assert!(order(&draft, &[]).is_empty());
    }
}
