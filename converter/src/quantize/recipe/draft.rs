//! Converts decisions to integers: equalized weights, ranges, rounded weights.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::calibrate::{Method, Observation, Range, in_lanes};
use crate::graph::{Graph, NodeId, Op};
use crate::quantize::build::{Draft, Packed, effective_bias, pixel_zero};
use crate::quantize::equalize::{self, Class, RULES};
use crate::quantize::fuse::{Fusion, Layer, SlotId};
use crate::quantize::rounding::{Rounded, Rounder};
use crate::quantize::weights;

/// The common inputs of every draft.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The float graph.
    pub graph: &'a Graph,
    /// Its int8 tensors and steps.
    pub fusion: &'a Fusion,
    /// The classes of tensors that are equalized together.
    pub classes: &'a [Class],
    /// The observed statistics of the tensors on calibration images.
    pub observation: &'a Observation,
}

/// The decisions that define a draft before rounding and bias correction.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    /// The rule per class.
    pub rules: Vec<usize>,
    /// The method per slot.
    pub methods: Vec<Method>,
    /// The factor on the range per slot.
    pub stretch: Vec<f32>,
}

impl Choices {
    /// Starts with no equalization and one method for every range.
    pub fn first(classes: usize, fusion: &Fusion, method: Method) -> Self {
        let method = if method == Method::Auto { Method::Mse } else { method };
        let slots = fusion.slots.len();
        Self { rules: vec![0; classes], methods: vec![method; slots], stretch: vec![1.0; slots] }
    }

    /// Returns the factors of every node by its rules.
    pub fn factors(&self, source: Source<'_>) -> equalize::Factors {
        factors(source.graph, source.classes, &self.rules, source.observation)
    }
}

/// Returns the factors per node if each class follows the rule with this number.
pub fn factors(
    graph: &Graph,
    classes: &[Class],
    rules: &[usize],
    observation: &Observation,
) -> equalize::Factors {
    let mut all: equalize::Factors = vec![None; graph.nodes.len()];
    for (class, &rule) in classes.iter().zip(rules).filter(|(_, rule)| **rule > 0) {
        let factors = equalize::factors(graph, class, RULES[rule], observation);
        for &node in &class.nodes {
            all[node] = Some(factors.clone());
        }
    }
    all
}

/// Returns the draft of these choices. `factors` belong to them. `rounder`, if there is one, rounds the weights;
/// otherwise they are rounded to their nearest levels, which `nearest` caches.
pub fn draft(
    source: Source<'_>,
    choices: &Choices,
    factors: &equalize::Factors,
    rounder: Option<&Rounder>,
    nearest: &Nearest,
) -> Draft {
    let Source { graph: source, fusion, classes, observation } = source;
    let mut graph = equalize::apply(source, factors);
    let rule_of = |node: NodeId| {
        classes.iter().position(|c| c.nodes.binary_search(&node).is_ok()).map_or(0, |c| choices.rules[c])
    };
    let ranges = fusion
        .slots
        .iter()
        .enumerate()
        .map(|(id, slot)| {
            let histogram = observation.histogram(slot.node, rule_of(slot.node));
            let range = match fusion.only_curve(source, id) {
                Some(curve) => choices.methods[id].range_through(histogram, &|x| curve.at(x, 0)),
                None => choices.methods[id].range(histogram),
            };
            Range { lo: range.lo * choices.stretch[id], hi: range.hi * choices.stretch[id] }
        })
        .collect();
    let mut packed: Vec<Option<Packed>> = vec![None; graph.nodes.len()];
    let rounded = in_lanes(fusion.layers.len(), |i| {
        let Layer::Conv { conv, x, .. } = fusion.layers[i] else { return None };
        let Op::Conv(c) = &source.nodes[conv].op else { return None };
        let (node, rule) = (fusion.slots[x].node, rule_of(fusion.slots[x].node));
        let by_inputs = rounder.and_then(|r| r.rounded(c, conv, rule, factors[node].as_deref()));
        Some(by_inputs.unwrap_or_else(|| Rounded {
            packed: nearest.packed(conv, rule, || {
                pack(&graph, conv, &input_squares(&graph, fusion, observation, factors, x), factors)
            }),
            shift: vec![0.0; c.bias.len()],
        }))
    });
    for (layer, rounded) in fusion.layers.iter().zip(rounded) {
        let (Layer::Conv { conv, .. }, Some(Rounded { packed: mut whole, shift })) = (*layer, rounded) else {
            continue;
        };
        let Op::Conv(c) = &mut graph.nodes[conv].op else { continue };
        for o in 0..c.bias.len() {
            let factor = factors[conv].as_ref().map_or(1.0, |f| f[o]);
            whole.scale[o] *= factor;
            c.bias[o] += (shift[o] * f64::from(factor)) as f32;
        }
        let Op::Conv(c) = &graph.nodes[conv].op else { continue };
        let filter = c.weights.len() / c.bias.len().max(1);
        for (o, b) in effective_bias(&graph, conv, c).into_iter().enumerate() {
            // A channel without weights may have any scale at which its bias is representable.
            if b != 0.0 && whole.weights[o * filter..(o + 1) * filter].iter().all(|&w| w == 0) {
                whole.scale[o] = (b.abs() / f64::from(1 << 20)) as f32;
            }
        }
        packed[conv] = Some(whole);
    }
    Draft { graph, fusion: fusion.clone(), ranges, packed }
}

/// Rounds a convolution's weights to their nearest levels. The scales are those before the layer's own output is
/// equalized: those factors scale a whole channel, which changes no integer.
fn pack(graph: &Graph, conv: NodeId, importance: &[f32], factors: &equalize::Factors) -> Packed {
    let Op::Conv(c) = &graph.nodes[conv].op else { unreachable!("called for convolutions") };
    let filter = c.weights.len() / c.bias.len().max(1);
    let per_group = importance.len() / c.groups;
    let group_out = c.bias.len() / c.groups;
    let (mut q, mut scales) = (Vec::with_capacity(c.weights.len()), Vec::with_capacity(c.bias.len()));
    for (o, weights) in c.weights.chunks_exact(filter).enumerate() {
        let first = o / group_out * per_group;
        let per_weight: Vec<f32> = (0..filter).map(|k| importance[first + k % per_group]).collect();
        // The weights of a model that is already quantized already have a scale.
        let grid = if graph.given.is_empty() { None } else { weights::grid(weights) };
        let (ints, scale) = match grid {
            Some(scale) => (weights::with_scale(weights, scale), scale),
            None => weights::channel(weights, &per_weight),
        };
        q.extend(ints);
        scales.push(scale / factors[conv].as_ref().map_or(1.0, |f| f[o]));
    }
    Packed { weights: q, scale: scales }
}

/// The results of [`pack`] by convolution and its input's rule: most trials change neither.
#[derive(Default)]
pub struct Nearest(Mutex<HashMap<(NodeId, usize), Packed>>);

impl Nearest {
    fn packed(&self, conv: NodeId, rule: usize, pack: impl FnOnce() -> Packed) -> Packed {
        let known = |m: &Self| m.0.lock().ok().and_then(|m| m.get(&(conv, rule)).cloned());
        known(self).unwrap_or_else(|| {
            let packed = pack();
            if let Ok(mut map) = self.0.lock() {
                map.insert((conv, rule), packed.clone());
            }
            packed
        })
    }
}

/// Returns the mean square of each channel of a layer's int8 input.
fn input_squares(
    graph: &Graph,
    fusion: &Fusion,
    observation: &Observation,
    factors: &equalize::Factors,
    slot: SlotId,
) -> Vec<f32> {
    let node = fusion.slots[slot].node;
    let channels = fusion.slots[slot].shape.c;
    let Some(seen) = observation.channels(node) else { return vec![1.0; channels] };
    let mut squares = seen.mean_squares();
    if slot == 0 {
        let means = seen.means();
        for (c, zero) in pixel_zero(graph).into_iter().enumerate() {
            let zero = f32::from(zero) + 128.0;
            squares[c] += zero * zero - 2.0 * zero * means[c] as f32;
        }
    }
    if let Some(factors) = &factors[node] {
        squares.iter_mut().zip(factors).for_each(|(s, f)| *s *= f * f);
    }
    let floor = squares.iter().copied().fold(0.0, f32::max).max(1e-12) * 1e-6;
    squares.iter().map(|s| s.max(floor)).collect()
}
