//! Builds the [`Network`] from layers, ranges and integer weights.
//!
//! ```text
//! v = acc·m (+ (skip − z)·s_skip/s_y)      m[c] = s_x·s_w[c]/s_y      acc = Σ (x − z_x)·q + rne(b/(s_x·s_w[c]))
//! ```
//! For the pixels, `z_x` is the int8 preimage of zero per channel, and `b` absorbs the shift:
//! `Σ p·w + b = Σ (p − p0)·w + (b + Σ p0·w)`.

use std::collections::HashSet;

use foldnet_archive as archive;
use foldnet_archive::{Network, Out, PIXELS, Tensor};

use super::QuantizeError;
use super::fuse::{Fusion, Layer, SlotId};
use super::weights;
use crate::calibrate::Range;
use crate::curve::Curve;
use crate::graph::{Conv, Given, Graph, NodeId, Op};

/// Integer weights of one convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// The weights, OHWI.
    pub weights: Vec<i8>,
    /// The scale per output channel.
    pub scale: Vec<f32>,
}

/// All data that determine the quantized network.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The float graph; its biases are the ones that are rounded, corrections included.
    pub graph: Graph,
    /// The fused layers.
    pub fusion: Fusion,
    /// The range per slot; those of the pixels, of the logits and of max pooling's outputs are not used.
    pub ranges: Vec<Range>,
    /// The integer weights per node; `None` for nodes other than convolutions.
    pub packed: Vec<Option<Packed>>,
}

/// Returns the int8 values that represent zero in the pixels' channels.
pub fn pixel_zero(graph: &Graph) -> Vec<i8> {
    let zero = |v: f32| (v.round_ties_even().clamp(0.0, 255.0) - 128.0) as i8;
    let reader = graph.nodes.iter().find_map(|n| match &n.op {
        Op::Conv(c) if n.inputs[0] == 0 && c.window.pad != [0; 4] => Some(c),
        _ => None,
    });
    let channels = graph.input().c;
    reader.map_or_else(
        // There is no padding, so the middle is used, which keeps the accumulators smallest.
        || vec![0; channels],
        |c| c.pad_value.iter().copied().map(zero).collect(),
    )
}

/// Returns a convolution's bias, including the shift by the pixels' zero points.
pub fn effective_bias(graph: &Graph, node: NodeId, conv: &Conv) -> Vec<f64> {
    let mut bias: Vec<f64> = conv.bias.iter().map(|&b| f64::from(b)).collect();
    if graph.nodes[node].inputs[0] == 0 {
        let zero = pixel_zero(graph);
        let filter = conv.weights.len() / bias.len();
        for (b, weights) in bias.iter_mut().zip(conv.weights.chunks_exact(filter)) {
            *b += weights
                .iter()
                .enumerate()
                .map(|(k, &w)| f64::from(w) * (f64::from(zero[k % zero.len()]) + 128.0))
                .sum::<f64>();
        }
    }
    bias
}

impl Draft {
    /// Returns scale and zero point of a slot.
    pub fn quantization(&self, slot: SlotId) -> (f32, i8) {
        match slot {
            0 => (1.0, 0),
            s if s == self.fusion.logits => (1.0, 0),
            s => {
                if let Some(Given { scale, zero, .. }) = self.given(s) {
                    return (scale, zero);
                }
                let Range { lo, hi } = self.ranges[self.fusion.root(s)];
                match self.fusion.slots[s].bounds {
                    Some((least, most)) => Range { lo: lo.max(least), hi: hi.min(most) }.quantization(),
                    None => Range { lo, hi }.quantization(),
                }
            }
        }
    }

    /// Returns the source model's quantization of this slot or the one whose scale it shares.
    fn given(&self, slot: SlotId) -> Option<Given> {
        let node = self.fusion.slots[self.fusion.root(slot)].node;
        self.graph.given.get(&self.graph.nodes[node].name).copied()
    }

    fn scale(&self, slot: SlotId) -> f32 {
        self.quantization(slot).0
    }

    pub(super) fn out(&self, slot: SlotId) -> Out {
        let (lo, hi) = self.levels(slot);
        Out { tensor: slot, lo, hi }
    }

    /// Returns the lowest and the highest int8 value of a slot: those of its bounds.
    pub(super) fn levels(&self, slot: SlotId) -> (i8, i8) {
        let (scale, zero) = self.quantization(slot);
        let level = |v: f32| (v / scale).round_ties_even() + f32::from(zero);
        let (lo, hi) = self.fusion.slots[slot].bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        // A conversion to int8 saturates.
        (level(lo) as i8, level(hi) as i8)
    }

    /// Builds and validates the network.
    pub fn network(&self) -> Result<Network, QuantizeError> {
        let names = tensor_names(&self.graph, &self.fusion);
        let tensors = names
            .into_iter()
            .enumerate()
            .map(|(id, name)| {
                let (scale, zero) = self.quantization(id);
                Tensor { name, shape: self.fusion.slots[id].shape, scale, zero }
            })
            .collect();
        let steps = self.fusion.layers.iter().map(|l| self.step(l)).collect::<Result<Vec<_>, _>>()?;
        let network = Network {
            tensors,
            pixel_zero: pixel_zero(&self.graph),
            steps,
            logits: self.fusion.logits,
            activation: self.graph.activation,
        };
        network.validate()?;
        Ok(network)
    }

    pub(super) fn step(&self, layer: &Layer) -> Result<archive::Step, QuantizeError> {
        let name = self.graph.nodes[layer.node()].name.clone();
        Ok(match *layer {
            Layer::Conv { .. } => archive::Step::Conv(Box::new(self.conv(layer, name)?)),
            Layer::MaxPool { node, x, y } => {
                let Op::MaxPool { window, floor_at_zero } = &self.graph.nodes[node].op else {
                    unreachable!("the fusion is of this graph")
                };
                let (kernel, stride, pad) = (window.kernel, window.stride, window.pad);
                let floor_at_zero = *floor_at_zero;
                archive::Step::MaxPool(archive::MaxPool { name, x, y, kernel, stride, pad, floor_at_zero })
            }
            Layer::AvgPool { x, y, .. } => {
                let pixels = self.fusion.slots[x].shape.pixels() as f32;
                let multiplier = self.scale(x) / (self.scale(y) * pixels);
                archive::Step::AvgPool(archive::AvgPool { name, x, y: self.out(y), multiplier })
            }
            Layer::Affine { node, x, y } => {
                let (from, to) = (self.scale(x), self.scale(y));
                let (gain, offset) = self.affine(Some(node), self.fusion.slots[x].shape.c);
                archive::Step::Affine(archive::Affine {
                    name,
                    x,
                    y: self.out(y),
                    gain: gain.iter().map(|g| g * from / to).collect(),
                    offset: offset.iter().map(|o| o / to).collect(),
                })
            }
            Layer::Add { a, b, y, .. } => {
                let to = self.scale(y);
                let term = |s| (s, self.scale(s) / to);
                archive::Step::Add(archive::Add { name, a: term(a), b: term(b), y: self.out(y) })
            }
            Layer::Curve { node, x, y } => {
                let Op::Curve(curve) = &self.graph.nodes[node].op else {
                    unreachable!("the fusion is of this graph")
                };
                let table = |channel| table(curve, channel, self.quantization(x), self.quantization(y));
                match curve.channels() {
                    1 => archive::Step::Table(archive::Table { name, x, y, table: Box::new(table(0)) }),
                    n => {
                        let tables = (0..n).map(table).collect();
                        archive::Step::ChannelTable(archive::ChannelTable { name, x, y, tables })
                    }
                }
            }
            Layer::Scale { x, gate, y, .. } => {
                let multiplier = self.scale(x) * self.scale(gate) / self.scale(y);
                archive::Step::Scale(archive::Scale { name, x, gate, multiplier, y: self.out(y) })
            }
            Layer::Dequantize { x, y, .. } => archive::Step::Dequantize(archive::Dequantize { name, x, y }),
        })
    }

    /// Returns gain and offset of an affine map; the identity for a ReLU.
    fn affine(&self, node: Option<NodeId>, channels: usize) -> (Vec<f32>, Vec<f32>) {
        match node.map(|n| &self.graph.nodes[n].op) {
            Some(Op::Affine { gain, offset }) => (gain.clone(), offset.clone()),
            _ => (vec![1.0; channels], vec![0.0; channels]),
        }
    }

    fn conv(&self, layer: &Layer, name: String) -> Result<archive::Conv, QuantizeError> {
        let Layer::Conv { conv: node, x, skip, y, second, .. } = *layer else {
            unreachable!("called for convolutions")
        };
        let Op::Conv(conv) = &self.graph.nodes[node].op else { unreachable!("the fusion is of this graph") };
        let packed = self.packed[node].as_ref().expect("every convolution is packed");
        let s_x = self.scale(x);
        // The unit of the unrounded sum.
        let unit = match (y, second) {
            (Some(y), _) => self.scale(y),
            (None, Some(second)) => self.scale(second.slot),
            (None, None) => return Err(QuantizeError::Order { node: name }),
        };
        let reach = if x == PIXELS { 255.0 } else { 256.0 };
        let filter = conv.weights.len() / conv.bias.len();
        let (mut q, mut bias, mut scales) = (Vec::with_capacity(conv.weights.len()), Vec::new(), Vec::new());
        let real = effective_bias(&self.graph, node, conv);
        for (c, b) in real.iter().enumerate() {
            let span = c * filter..(c + 1) * filter;
            let (mut weights, mut scale) = (packed.weights[span.clone()].to_vec(), packed.scale[c]);
            // The accumulator must be able to represent the bias and every sum of products.
            loop {
                let rounded = (b / (f64::from(s_x) * f64::from(scale))).round_ties_even();
                let sum: f64 = weights.iter().map(|w| f64::from(w.unsigned_abs()) * reach).sum();
                if rounded.abs() + sum < f64::from(i32::MAX) {
                    bias.push(rounded as i32);
                    break;
                }
                scale *= 2.0;
                if !scale.is_finite() {
                    return Err(QuantizeError::NotFinite { node: name, channel: c });
                }
                weights = weights::with_scale(&conv.weights[span.clone()], scale);
            }
            q.extend(weights);
            scales.push(scale);
        }
        let per_unit = f64::from(s_x) / f64::from(unit);
        // Engines for quantized models compute it in f32, and so determine how values near a half are rounded.
        let multiplier = |s: f32| match self.graph.given.is_empty() {
            true => (f64::from(s) * per_unit) as f32,
            false => s_x * s / unit,
        };
        Ok(archive::Conv {
            name,
            x,
            weights: q,
            bias,
            multiplier: scales.iter().copied().map(multiplier).collect(),
            weight_scale: scales,
            kernel: conv.window.kernel,
            stride: conv.window.stride,
            dilation: conv.dilation,
            pad: conv.window.pad,
            groups: conv.groups,
            skip: skip.map(|s| (s, self.scale(s) / unit)),
            y: y.map(|y| self.out(y)),
            affine: second.map(|second| {
                let to = self.scale(second.slot);
                let (gain, offset) = self.affine(second.affine, conv.bias.len());
                archive::SecondOutput {
                    gain: gain.iter().map(|g| g * unit / to).collect(),
                    offset: offset.iter().map(|o| o / to).collect(),
                    out: self.out(second.slot),
                }
            }),
        })
    }
}

/// Returns the function's result for each int8 value in a channel, with these quantizations of input and output.
fn table(curve: &Curve, channel: usize, (s_x, z_x): (f32, i8), (s_y, z_y): (f32, i8)) -> [i8; 256] {
    let values: [f64; 256] = std::array::from_fn(|i| {
        let x = (i as f64 - 128.0 - f64::from(z_x)) * f64::from(s_x);
        (curve.at(x, channel) / f64::from(s_y)).round_ties_even() + f64::from(z_y)
    });
    std::array::from_fn(|i| {
        // Where the function is not defined, such as √x for x < 0, the network had no value on any calibration
        // image, so the nearest defined one is as good as any.
        let nearest = (0..256usize).filter(|&j| !values[j].is_nan()).min_by_key(|&j| j.abs_diff(i));
        values[nearest.unwrap_or(i)].clamp(-128.0, 127.0) as i8
    })
}

/// Returns the names of tensors: the source model's, in letters, digits and underscores, unique.
pub fn tensor_names(graph: &Graph, fusion: &Fusion) -> Vec<String> {
    let mut taken = HashSet::new();
    fusion
        .slots
        .iter()
        .enumerate()
        .map(|(id, slot)| {
            let raw = &graph.nodes[slot.node].name;
            let clean: String = raw
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect::<String>()
                .trim_matches('_')
                .to_owned();
            let clean = match id {
                0 => "pixels".to_owned(),
                _ if clean.is_empty() => "tensor".to_owned(),
                _ => clean,
            };
            let mut name = clean.clone();
            let mut n = 1;
            while !taken.insert(name.clone()) {
                n += 1;
                name = format!("{clean}_{n}");
            }
            name
        })
        .collect()
}
