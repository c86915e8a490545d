//! Centring: subtracts a constant per channel, which does not change the float network.
//!
//! A tensor that is not the output of a ReLU has channels around different means, and its one zero point suits
//! none of them. If all its readers are linear, every channel can be stored relative to its own middle. The biases
//! after it restore the difference:
//!
//! ```text
//! y[c] → y[c] − m[c]      writer: b[c] − m[c]      additions: + m[c] in the bias of the convolution beside
//!                                                  affine maps: offset[c] + gain[c]·m[c]
//!                                                  convolutions without padding: b[·] + Σ_c w[·,c]·m[c]
//! ```
//!
//! Centring is to zero points what [`super::equalize`] is to scales: one per channel, at no cost when the network
//! runs. The trunk of ResNet V2 consists of such tensors, from its first sum to its last, and the noise of each
//! stays in all that follow. A shortcut of V1, whose sum ends in a ReLU, could be centred as well, but its noise
//! enters only one sum. The gain could not be distinguished from chance, so shortcuts stay unchanged.

use super::QuantizeError;
use super::fuse::{Fusion, Layer, Slot, SlotId};
use crate::calibrate::{Observation, observe};
use crate::graph::{Graph, NodeId, Op};
use crate::image::Pixels;

/// The number of images from which the middles are computed.
const SEEN: usize = 48;

/// Centres the graph with the values of some of the images; also returns the number of centred tensors.
pub fn center(graph: &Graph, fusion: &Fusion, images: &[Pixels]) -> Result<(Graph, usize), QuantizeError> {
    if fusion.layers.iter().all(|l| written(graph, fusion, l).is_none()) {
        return Ok((graph.clone(), 0));
    }
    let n = SEEN.min(images.len());
    let seen: Vec<Pixels> = (0..n).map(|i| images[i * images.len() / n].clone()).collect();
    let observation = observe(graph, &fusion.nodes(), &seen, &[], &|| {})?;
    Ok(centred(graph, fusion, &observation))
}

/// Returns the same function in float, with its linear tensors centred on the observed values, and the number of
/// these tensors.
fn centred(graph: &Graph, fusion: &Fusion, observation: &Observation) -> (Graph, usize) {
    let mut middles: Vec<Option<Vec<f64>>> = vec![None; fusion.slots.len()];
    for layer in &fusion.layers {
        if let Some(y) = written(graph, fusion, layer)
            && let Some(seen) = observation.channels(fusion.slots[y].node)
        {
            let middle = |(lo, hi): (&f32, &f32)| (f64::from(*lo) + f64::from(*hi)) / 2.0;
            middles[y] = Some(seen.min.iter().zip(&seen.max).map(middle).collect());
        }
    }
    let of = |slot: SlotId| middles[slot].as_deref();
    let mut graph = graph.clone();
    for layer in &fusion.layers {
        match *layer {
            Layer::Conv { conv, x, skip, y, second, .. } => {
                let Op::Conv(c) = &mut graph.nodes[conv].op else { continue };
                let filter = c.weights.len() / c.bias.len();
                let (per_group, group_out) = (c.pad_value.len() / c.groups, c.bias.len() / c.groups);
                for (o, bias) in c.bias.iter_mut().enumerate() {
                    let mut moved = 0.0;
                    if let Some(m) = of(x) {
                        let first = o / group_out * per_group;
                        let weights = &c.weights[o * filter..(o + 1) * filter];
                        let given = |(k, &w): (usize, &f32)| f64::from(w) * m[first + k % per_group];
                        moved += weights.iter().enumerate().map(given).sum::<f64>();
                    }
                    moved += skip.and_then(of).map_or(0.0, |m| m[o]);
                    moved -= y.and_then(of).map_or(0.0, |m| m[o]);
                    *bias = (f64::from(*bias) + moved) as f32;
                }
                if let (Some(m), Some(affine)) = (y.and_then(of), second.and_then(|s| s.affine)) {
                    give_back(&mut graph, affine, m);
                }
            }
            Layer::Affine { node, x, .. } => {
                if let Some(m) = of(x) {
                    give_back(&mut graph, node, m);
                }
            }
            _ => {}
        }
    }
    (graph, middles.iter().flatten().count())
}

fn give_back(graph: &mut Graph, affine: NodeId, middles: &[f64]) {
    if let Op::Affine { gain, offset } = &mut graph.nodes[affine].op {
        for ((o, g), m) in offset.iter_mut().zip(gain).zip(middles) {
            *o = (f64::from(*o) + f64::from(*g) * m) as f32;
        }
    }
}

/// Returns the tensor written by this layer, if it can be centred.
fn written(graph: &Graph, fusion: &Fusion, layer: &Layer) -> Option<SlotId> {
    match *layer {
        Layer::Conv { y: Some(y), .. } if movable(graph, fusion, y) => Some(y),
        _ => None,
    }
}

/// Returns whether all readers of a convolution's output can restore the subtracted constant.
fn movable(graph: &Graph, fusion: &Fusion, slot: SlotId) -> bool {
    let Slot { node, bounds, .. } = &fusion.slots[slot];
    if bounds.is_some() || slot == fusion.logits || *node == graph.output {
        return false;
    }
    fusion.layers.iter().all(|layer| match *layer {
        // Its own second output, if that is an affine map and not a bare ReLU.
        Layer::Conv { y, second, .. } if y == Some(slot) => second.is_none_or(|s| s.affine.is_some()),
        Layer::Conv { conv, x, .. } if x == slot => match &graph.nodes[conv].op {
            Op::Conv(c) => c.window.pad == [0; 4],
            _ => false,
        },
        // Either as a residual of a continuing trunk, or not at all.
        Layer::Conv { skip, y, .. } => {
            skip != Some(slot) || y.is_none_or(|y| y != fusion.logits && fusion.slots[y].bounds.is_none())
        }
        Layer::Affine { node, x, .. } => x != slot || matches!(graph.nodes[node].op, Op::Affine { .. }),
        Layer::MaxPool { x, .. }
        | Layer::AvgPool { x, .. }
        | Layer::Curve { x, .. }
        | Layer::Dequantize { x, .. } => x != slot,
        Layer::Add { a, b, .. } => a != slot && b != slot,
        Layer::Scale { x, gate, .. } => x != slot && gate != slot,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::FloatNet;
    use crate::pass::testing::Build;
    use crate::quantize::fuse::fuse;

    fn images(graph: &Graph) -> Vec<Pixels> {
        let shape = graph.input();
        let values = |k: usize| (0..shape.len()).map(|i| (i * (89 + 7 * k) % 251) as u8).collect::<Vec<_>>();
        (0..4).map(|k| Pixels::new(shape, values(k)).unwrap()).collect()
    }

    /// Centres a graph, checks that its answers stay the same, and returns it with the number of moved tensors.
    fn check(graph: &Graph) -> (Graph, usize, Observation) {
        let fusion = fuse(graph).unwrap();
        let images = images(graph);
        let seen = |g: &Graph| observe(g, &fusion.nodes(), &images, &[], &|| {}).unwrap();
        let (moved, n) = centred(graph, &fusion, &seen(graph));
        let answer = |g: &Graph| FloatNet::new(g).run(&images[0]).unwrap().swap_remove(g.output);
        let (before, after) = (answer(graph), answer(&moved));
        let range = before.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(
            before.iter().zip(&after).all(|(a, b)| (a - b).abs() <= 1e-5 * range),
            "{before:?} {after:?}"
        );
        let seen = seen(&moved);
        (moved, n, seen)
    }

    #[test]
    fn the_trunk_of_a_preactivation_network_ends_up_around_zero() {
        // conv ─┬─ affine, ReLU, conv ─ add ─┬─ affine, ReLU, conv ─ add ─ affine, ReLU, dense
        //       └────────────────────────────┴──────────────────────┘
        let block = |b: Build, from| b.affine().relu().conv(4, [3, 3], [1; 4]).add(from);
        let stem = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]);
        let graph = block(block(stem, 1), 5).affine().relu().conv(2, [5, 5], [0; 4]).done();
        let (_, n, seen) = check(&graph);
        assert_eq!(n, 2, "the last sum has no reader but its affine map, and is no tensor");
        for node in [1, 5] {
            let channels = seen.channels(node).unwrap();
            for (lo, hi) in channels.min.iter().zip(&channels.max) {
                assert!((lo + hi).abs() <= 1e-4 * (hi - lo), "node {node}: {lo}…{hi}");
            }
        }
    }

    #[test]
    fn what_a_relu_a_padded_convolution_or_a_pooling_reads_stays() {
        let relu = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]).relu().conv(2, [5, 5], [0; 4]);
        assert_eq!(check(&relu.done()).1, 0);
        let padded = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]).conv(4, [3, 3], [1; 4]).relu();
        assert_eq!(check(&padded.conv(2, [5, 5], [0; 4]).done()).1, 0);
        let pooled = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]).max_pool([3, 3], [0; 4]);
        assert_eq!(check(&pooled.conv(2, [3, 3], [0; 4]).done()).1, 0);
    }

    #[test]
    fn a_convolution_without_padding_takes_it_back() {
        let graph = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]).grouped(4, [3, 3], [0; 4], 2);
        let (moved, n, _) = check(&graph.relu().conv(2, [3, 3], [0; 4]).done());
        assert_eq!(n, 1);
        assert!(matches!(&moved.nodes[2].op, Op::Conv(c) if c.groups == 2));
    }

    #[test]
    fn a_shortcut_is_taken_back_beside_it_if_the_trunk_goes_on() {
        // Two convolutions are added; a ReLU ends a block of V1.
        let sum = || {
            let graph = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]).relu().conv(4, [3, 3], [1; 4]);
            graph.beside(2, 4, [1, 1]).add(3)
        };
        assert_eq!(check(&sum().affine().relu().conv(2, [5, 5], [0; 4]).done()).1, 1);
        assert_eq!(check(&sum().relu().conv(2, [5, 5], [0; 4]).done()).1, 0);
    }
}
