//! Equalization: factors per channel that do not change the float network but help int8.
//!
//! ReLU, addition and pooling commute with a positive factor per channel. A channel may therefore be stored larger
//! if every convolution (or affine map) that writes it is scaled up and every one that reads it is scaled down:
//!
//! ```text
//! y[c] → f[c]·y[c]      writers: w[c,·]·f[c], b[c]·f[c]      readers: w[·,c] / f[c]
//! ```
//!
//! Channels that use a small part of their tensor's range gain resolution. Writers lose nothing, since their
//! weights have a scale per output channel. The readers' weights become less equal, which limits useful factors.
//! Nagel et al., *Data-free quantization through weight equalization and bias correction*, 2019, use pairs of
//! layers; this module uses whole classes of tensors tied by residual additions, and given activation ranges, as
//! in Xiao et al., *SmoothQuant*, 2022.

use foldnet_kernels::Shape;

use crate::calibrate::Observation;
use crate::graph::{Graph, NodeId, Op};

/// Nodes whose values must share their channels' factors.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// The members, ascending.
    pub nodes: Vec<NodeId>,
    /// The number of channels.
    pub channels: usize,
}

/// A rule by which a class is equalized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// The exponent of the activation's range, 0…1: 1 gives every channel the same range.
    pub activation: f32,
    /// The exponent of the readers' weights.
    pub weights: f32,
}

/// The rules that are tried; the first changes nothing.
pub const RULES: [Rule; 6] = [
    Rule { activation: 0.0, weights: 0.0 },
    Rule { activation: 0.35, weights: 0.0 },
    Rule { activation: 0.65, weights: 0.0 },
    Rule { activation: 1.0, weights: 0.0 },
    Rule { activation: 0.5, weights: 0.5 },
    Rule { activation: 0.75, weights: 0.25 },
];

/// The largest factor between channels.
const FURTHEST: f32 = 64.0;

/// Returns the classes that may be scaled: those without the pixels and the logits.
pub fn classes(graph: &Graph) -> Vec<Class> {
    let mut parent: Vec<NodeId> = (0..graph.nodes.len()).collect();
    fn root(parent: &[NodeId], mut n: NodeId) -> NodeId {
        while parent[n] != n {
            n = parent[n];
        }
        n
    }
    let mut fixed = vec![0, graph.output];
    for (id, node) in graph.nodes.iter().enumerate() {
        let tied: &[NodeId] = match node.op {
            Op::Conv(_) | Op::Affine { .. } | Op::Input => &[],
            // Curves and bounds depend on their inputs' values, and gates must stay unchanged.
            Op::Curve(_) | Op::Clip { .. } => {
                fixed.extend([id, node.inputs[0]]);
                &[]
            }
            Op::Scale => {
                fixed.push(node.inputs[1]);
                &node.inputs[..1]
            }
            _ => &node.inputs,
        };
        for &input in tied {
            let (a, b) = (root(&parent, id), root(&parent, input));
            parent[a.max(b)] = a.min(b);
        }
    }
    let root_of = |n| root(&parent, n);
    fixed.iter_mut().for_each(|n| *n = root_of(*n));
    let mut classes: Vec<Class> = Vec::new();
    for first in (0..graph.nodes.len()).filter(|&n| root_of(n) == n && !fixed.contains(&n)) {
        let nodes: Vec<NodeId> = (0..graph.nodes.len()).filter(|&n| root_of(n) == first).collect();
        let Shape { c, .. } = graph.nodes[first].shape;
        if nodes.iter().all(|&n| graph.nodes[n].shape.c == c) {
            classes.push(Class { nodes, channels: c });
        }
    }
    classes
}

/// Returns a class's factors by a rule, normalized so that the largest channel keeps its range.
pub fn factors(graph: &Graph, class: &Class, rule: Rule, observed: &Observation) -> Vec<f32> {
    let mut range = vec![0.0f32; class.channels];
    for channels in class.nodes.iter().filter_map(|&n| observed.channels(n)) {
        let top = channels.reach().fold(0.0f32, f32::max);
        if top > 0.0 {
            range.iter_mut().zip(channels.reach()).for_each(|(r, v)| *r = r.max(v / top));
        }
    }
    let mut reader = vec![0.0f32; class.channels];
    for node in &graph.nodes {
        let Op::Conv(conv) = &node.op else { continue };
        if !class.nodes.contains(&node.inputs[0]) {
            continue;
        }
        let per_group = class.channels / conv.groups;
        let filter = conv.window.kernel[0] * conv.window.kernel[1] * per_group;
        let group_out = conv.bias.len() / conv.groups;
        let mut mean = vec![0.0f32; class.channels];
        for (o, weights) in conv.weights.chunks_exact(filter).enumerate() {
            let top = weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
            if top > 0.0 {
                for (i, w) in weights.iter().enumerate() {
                    let c = o / group_out * per_group + i % per_group;
                    mean[c] = mean[c].max(w.abs() / top);
                }
            }
        }
        reader.iter_mut().zip(mean).for_each(|(r, v)| *r = r.max(v));
    }
    let top = |v: &[f32]| v.iter().copied().fold(0.0f32, f32::max);
    let (range_top, reader_top) = (top(&range), top(&reader));
    let part = |v: f32, top: f32, exponent: f32| {
        if top > 0.0 && exponent > 0.0 { libm::powf((v / top).max(1.0 / FURTHEST), exponent) } else { 1.0 }
    };
    let raw: Vec<f32> = range
        .iter()
        .zip(&reader)
        .map(|(&r, &w)| part(w, reader_top, rule.weights) / part(r, range_top, rule.activation))
        .collect();
    let dead = |c: usize| range[c] == 0.0;
    let least =
        raw.iter().enumerate().filter(|(c, _)| !dead(*c)).map(|(_, &f)| f).fold(f32::INFINITY, f32::min);
    if !least.is_finite() {
        return vec![1.0; class.channels];
    }
    raw.iter().enumerate().map(|(c, f)| if dead(c) { 1.0 } else { f / least }).collect()
}

/// The factors per node; `None` if nothing is scaled.
pub type Factors = Vec<Option<Vec<f32>>>;

/// Applies factors: the float function stays the same, with other numbers.
pub fn apply(graph: &Graph, factors: &Factors) -> Graph {
    let mut graph = graph.clone();
    for id in 0..graph.nodes.len() {
        let from = graph.nodes[id].inputs.first().copied();
        let before = from.and_then(|n| factors[n].as_deref());
        let after = factors[id].as_deref();
        let factor = |f: Option<&[f32]>, c: usize| f.map_or(1.0, |f| f[c]);
        match &mut graph.nodes[id].op {
            Op::Conv(conv) => {
                let n = conv.bias.len();
                let filter = conv.weights.len() / n.max(1);
                let per_group = filter / (conv.window.kernel[0] * conv.window.kernel[1]);
                let group_out = n / conv.groups;
                for (o, filter) in conv.weights.chunks_exact_mut(filter.max(1)).enumerate() {
                    let first = o / group_out * per_group;
                    for tap in filter.chunks_exact_mut(per_group) {
                        let weights = tap.iter_mut().enumerate();
                        weights.for_each(|(i, w)| *w *= factor(after, o) / factor(before, first + i));
                    }
                }
                conv.bias.iter_mut().enumerate().for_each(|(o, b)| *b *= factor(after, o));
            }
            Op::Affine { gain, offset } => {
                for (c, (g, o)) in gain.iter_mut().zip(offset).enumerate() {
                    *g *= factor(after, c) / factor(before, c);
                    *o *= factor(after, c);
                }
            }
            _ => {}
        }
    }
    graph
}
