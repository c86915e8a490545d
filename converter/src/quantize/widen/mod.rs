//! Values and weights of 16 bits, composed of int8 steps.
//!
//! A value is stored in two tensors, quotient and remainder by 256, and weights are two sets of int8:
//!
//! ```text
//! x = s·(hi − z) + s/256·(lo + 128)      hi = ⌊x/s⌋ + z     lo = rne(256·(x/s − ⌊x/s⌋)) − 128
//! w = s_w·q + s_w/254·r                  q = rne(w/s_w)     r = rne(254·(w/s_w − q))
//! ```
//! (rounding down, so that a ReLU leaves no remainder below zero). The readers are linear, so a convolution
//! becomes convolutions of the parts:
//!
//! ```text
//! f  = lo∗q + hi∗r                       small, so that eight bits are enough
//! y  = hi∗q + f                          the residual of an ordinary convolution, where it has no other
//! ```
//! If it has another residual, or its result itself has 16 bits, `hi∗q` is stored in two tensors, too. A second
//! convolution with 256 times the multiplier and −256 times the first as residual computes the second of them. A
//! [`foldnet_archive::Sum`] adds everything and rounds it. An affine map after such a sum is a depthwise
//! convolution of its parts. The kept parts therefore run in the ordinary kernels, on every kernel set, and cost
//! two to four times the layer's multiply-accumulates.
//!
//! The scales of the parts are found by running: a first guess is corrected by the largest value on images.

mod builder;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use foldnet::Session;
use foldnet_archive::{Network, PIXELS, Step, TensorId};

use super::QuantizeError;
use super::build::Draft;
use super::fuse::{Fusion, Layer, SlotId};
use crate::graph::{Graph, NodeId};
use crate::image::Pixels;
use builder::Widener;

/// The parts kept in 16 bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The convolutions whose weights are kept.
    pub weights: BTreeSet<NodeId>,
    /// The tensors that are kept.
    pub values: BTreeSet<SlotId>,
}

/// Returns everything that can be kept: the weights of all convolutions except the one that writes the logits, and
/// the tensors that a convolution or addition writes and another one reads.
pub fn eligible(fusion: &Fusion) -> Kept {
    let mut all = Kept::default();
    for layer in &fusion.layers {
        if let Layer::Conv { conv, .. } = *layer
            && !makes_logits(fusion, layer)
        {
            all.weights.insert(conv);
        }
        let written = match *layer {
            Layer::Conv { y, second, .. } => y.into_iter().chain(second.map(|s| s.slot)).collect(),
            Layer::Add { y, .. } => vec![y],
            _ => Vec::new(),
        };
        let read = |slot: &SlotId| fusion.layers.iter().any(|l| takes_wide(fusion, l, *slot));
        // A tensor that a clip bounds from above, or from below at a value other than 0, stays in one part.
        let open = |slot: &SlotId| matches!(fusion.slots[*slot].bounds, None | Some((0.0, f32::INFINITY)));
        let written = written.into_iter().filter(|slot| *slot != fusion.logits);
        all.values.extend(written.filter(open).filter(read));
    }
    all
}

fn makes_logits(fusion: &Fusion, layer: &Layer) -> bool {
    matches!(*layer, Layer::Conv { y, .. } if y == Some(fusion.logits))
}

/// Returns the slots that a layer reads.
fn reads(layer: &Layer) -> Vec<SlotId> {
    match *layer {
        Layer::Conv { x, skip, .. } => std::iter::once(x).chain(skip).collect(),
        Layer::Add { a, b, .. } => vec![a, b],
        Layer::Scale { x, gate, .. } => vec![x, gate],
        Layer::MaxPool { x, .. }
        | Layer::AvgPool { x, .. }
        | Layer::Affine { x, .. }
        | Layer::Curve { x, .. }
        | Layer::Dequantize { x, .. } => vec![x],
    }
}

/// Returns whether the layer reads the slot and supports two parts of it.
fn takes_wide(fusion: &Fusion, layer: &Layer, slot: SlotId) -> bool {
    let able = match layer {
        Layer::Conv { .. } => !makes_logits(fusion, layer),
        Layer::Add { .. } => true,
        _ => false,
    };
    able && reads(layer).contains(&slot)
}

/// Returns the draft's network with the kept parts in 16 bits. `exact` is the float graph in the draft's units,
/// without the shifts of rounding and bias correction; scales are measured on `images`.
pub fn network(
    draft: &Draft,
    exact: &Graph,
    kept: &Kept,
    images: &[Pixels],
) -> Result<Network, QuantizeError> {
    const ROUNDS: usize = 8;
    let mut scales = BTreeMap::new();
    for _ in 0..ROUNDS {
        let (network, measured) = Widener::new(draft, exact, kept, &scales)?.build()?;
        if images.is_empty() || !adjust(&network, &measured, images, &mut scales)? {
            return Ok(without_unwritten(network));
        }
    }
    Ok(without_unwritten(Widener::new(draft, exact, kept, &scales)?.build()?.0))
}

/// Removes tensors that no step writes any more.
fn without_unwritten(mut network: Network) -> Network {
    let mut written = vec![false; network.tensors.len()];
    written[PIXELS] = true;
    network.steps.iter().flat_map(Step::outputs).for_each(|t| written[t] = true);
    let mut next = 0;
    let number: Vec<TensorId> = written
        .iter()
        .map(|&w| {
            next += usize::from(w);
            next.saturating_sub(1)
        })
        .collect();
    let mut keep = written.iter();
    network.tensors.retain(|_| *keep.next().unwrap_or(&true));
    network.logits = number[network.logits];
    network.steps.iter_mut().for_each(|step| step.renumber(&|t| number[t]));
    network
}

/// A part whose scale is measured by running.
#[derive(Clone, Copy, Debug)]
struct Measured {
    tensor: TensorId,
    /// The desired largest distance from the zero point, and the possible one.
    goal: f32,
    most: f32,
}

/// Adjusts scales to the largest values; returns `false` if all are close enough.
fn adjust(
    network: &Network,
    measured: &[Measured],
    images: &[Pixels],
    scales: &mut BTreeMap<String, f32>,
) -> Result<bool, QuantizeError> {
    let mut largest = vec![0i32; network.tensors.len()];
    let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 0)?;
    for pixels in images {
        session.run_traced(pixels.values(), |step, outputs| {
            for (id, values) in network.steps[step].outputs().into_iter().zip(outputs) {
                let zero = i32::from(network.tensors[id].zero);
                let far = values.iter().map(|&v| (i32::from(v) - zero).abs()).max().unwrap_or(0);
                largest[id] = largest[id].max(far);
            }
        });
    }
    let mut moved = false;
    for m in measured {
        let tensor = &network.tensors[m.tensor];
        let far = largest[m.tensor] as f32;
        let factor = match far {
            f if f >= m.most => 4.0,
            0.0 => 1.0 / 16.0,
            f if (0.75..=1.1).contains(&(f / m.goal)) => 1.0,
            f => f / m.goal,
        };
        moved |= factor != 1.0;
        // A part that is always zero must not shrink to nothing.
        scales.insert(tensor.name.clone(), (tensor.scale * factor).max(1e-25));
    }
    Ok(moved)
}
