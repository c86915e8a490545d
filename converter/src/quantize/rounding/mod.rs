//! Rounding that takes a layer's inputs into account.
//!
//! Rounding each weight to its nearest level minimizes the error of the weights, not that of the output. With C
//! the covariance of the layer's inputs, the output's error is `eᵀCe` per channel. After each weight is rounded,
//! its error is therefore distributed over the weights that are not yet rounded, so that the output changes least:
//!
//! ```text
//! U = chol(C⁻¹)ᵀ     for i by falling C_ii:  q_i = rne(w_i/s);  w_j −= (w_i − s·q_i)·U_ij/U_ii, j > i
//! ```
//! Of a few scales s, a channel gets the one with the smallest remaining error, `Σ ((w_i − s·q_i)/U_ii)²`. The
//! effect of the rounding errors on the mean output is moved into the bias. Frantar et al., *GPTQ*, 2022, after
//! Hassibi and Stork, *Optimal brain surgeon*, 1993; the mean and the scale are our additions.
//!
//! This decides each weight once. A careful rounder continues: it moves single weights by one level as long as the
//! same error `E = eᵀCe` decreases,
//!
//! ```text
//! q_i ± 1:  ΔE = ∓2s·(Ce)_i + s²·C_ii
//! ```
//! which is the search for the rounding with the smallest error. Nagel et al., *Up or down? Adaptive rounding*,
//! 2020, do it by gradient; here it is exact, from a good start and over more patches of the inputs.
//!
//! Equalization scales a layer's inputs by factors f, so C becomes `diag(f)·C·diag(f)`: the moments of the float
//! network's inputs serve every rule, and a layer's integers depend only on the rule of its input (factors of its
//! outputs change their scales). [`Rounder`] caches them by both.

mod layer;
mod moments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use foldnet::Session;
use foldnet_archive::{Network, PIXELS};

use super::QuantizeError;
use super::build::{Draft, Packed, pixel_zero};
use super::fuse::{Fusion, Layer};
use crate::calibrate::in_lanes;
use crate::float::{FloatError, FloatNet};
use crate::graph::{Conv, Graph, NodeId, Op};
use crate::image::Pixels;
use layer::{SCALES, round_layer};
use moments::{Moments, merge};

/// Layers with longer filters keep nearest rounding: the work grows with the cube of the length.
const LONGEST: usize = 1200;
/// The number of input patches collected per layer and image.
const PATCHES: usize = 24;
/// The number of patches for a careful rounder.
const MANY_PATCHES: usize = 96;
/// The number of lanes over which images are distributed, so that sums of floats are the same on every machine.
const LANES: usize = 2;

/// The integers of a layer, and the correction of its biases.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    /// The integers and scales.
    pub packed: Packed,
    /// The correction per output channel, in units of the input's values times the weights.
    pub shift: Vec<f64>,
}

/// Returns the layers that can be rounded by their inputs: convolution and its input slot.
fn layers_of(graph: &Graph, fusion: &Fusion) -> Vec<(usize, NodeId, usize)> {
    let short = |c: &Conv| c.groups == 1 && (2..=LONGEST).contains(&depth(c));
    let layers = fusion.layers.iter().enumerate();
    layers
        .filter_map(|(i, layer)| match *layer {
            Layer::Conv { conv, x, .. } => match &graph.nodes[conv].op {
                Op::Conv(c) if short(c) => Some((i, conv, x)),
                _ => None,
            },
            _ => None,
        })
        .collect()
}

fn depth(c: &Conv) -> usize {
    c.weights.len() / c.bias.len().max(1)
}

/// Returns the multiplications needed to round every layer once.
pub fn work(graph: &Graph, fusion: &Fusion) -> u64 {
    let cost = |&(_, conv, _): &(usize, NodeId, usize)| match &graph.nodes[conv].op {
        Op::Conv(c) => {
            let n = depth(c) as u64;
            n * n * n + n * n * (c.bias.len() * SCALES.len()) as u64 / 2
        }
        _ => 0,
    };
    layers_of(graph, fusion).iter().map(cost).sum()
}

/// The care taken in rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Rounds each weight once.
    Once,
    /// Continues until no single weight can be moved any more, over more patches.
    Settle,
}

impl Care {
    fn patches(self) -> usize {
        if self == Self::Settle { MANY_PATCHES } else { PATCHES }
    }
}

/// Rounds the layers of one float graph for any factors on their inputs.
pub struct Rounder {
    care: Care,
    moments: BTreeMap<NodeId, Moments>,
    known: std::sync::Mutex<BTreeMap<(NodeId, usize), Rounded>>,
}

impl Rounder {
    /// Runs the float network on the images and sums every layer's inputs.
    pub fn new(
        graph: &Graph,
        fusion: &Fusion,
        images: &[Pixels],
        care: Care,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Self, FloatError> {
        let layers = layers_of(graph, fusion);
        let net = FloatNet::new(graph);
        let lanes = in_lanes(LANES, |lane| -> Result<Vec<Moments>, FloatError> {
            let mut moments = fresh(graph, &layers);
            for (n, pixels) in images.iter().enumerate().skip(lane).step_by(LANES) {
                let mut values = net.run(pixels)?;
                centre(&mut values[0], &pixel_zero(graph));
                for (m, &(_, conv, x)) in moments.iter_mut().zip(&layers) {
                    m.add_image(graph, conv, &values[fusion.slots[x].node], n, care.patches());
                }
                tick();
            }
            Ok(moments)
        });
        let lanes = lanes.into_iter().collect::<Result<Vec<_>, _>>()?;
        let moments = layers.iter().map(|l| l.1).zip(merge(lanes)).collect();
        Ok(Self { care, moments, known: std::sync::Mutex::default() })
    }

    /// Returns the layer rounded for its input's factors, which have the number `rule`, or `None` for a layer that
    /// keeps nearest rounding.
    pub fn rounded(
        &self,
        conv: &Conv,
        node: NodeId,
        rule: usize,
        factors: Option<&[f32]>,
    ) -> Option<Rounded> {
        let moments = self.moments.get(&node)?;
        if let Some(known) = self.known.lock().expect("no thread panics here").get(&(node, rule)) {
            return Some(known.clone());
        }
        let per_tap = factors.map_or(1, <[f32]>::len);
        let factor = |k: usize| factors.map_or(1.0, |f| f[k % per_tap]);
        let mut conv = conv.clone();
        let depth = moments.depth;
        conv.weights.iter_mut().enumerate().for_each(|(k, w)| *w /= factor(k % depth));
        let rounded = round_layer(&conv, &moments.scaled(&factor), None, self.care)?;
        let mut known = self.known.lock().expect("no thread panics here");
        known.insert((node, rule), rounded.clone());
        Some(rounded)
    }
}

/// Replaces the integer weights of every convolution that is small enough by ones that suit the quantized
/// network's own inputs, and moves the mean error into its bias. Returns the number of layers.
pub fn round_with_inputs(
    draft: &mut Draft,
    network: &Network,
    images: &[Pixels],
    care: Care,
) -> Result<usize, QuantizeError> {
    let layers = layers_of(&draft.graph, &draft.fusion);
    let moments = gather(draft, network, &layers, images, care)?;
    let done: Vec<Option<Rounded>> = in_lanes(layers.len(), |i| {
        let Op::Conv(c) = &draft.graph.nodes[layers[i].1].op else { return None };
        round_layer(c, &moments[i], draft.packed[layers[i].1].as_ref(), care)
    });
    let mut count = 0;
    for (&(_, conv, x), done) in layers.iter().zip(done) {
        let Some(rounded) = done else { continue };
        let scale = f64::from(draft.quantization(x).0);
        if let Op::Conv(c) = &mut draft.graph.nodes[conv].op {
            c.bias.iter_mut().zip(rounded.shift).for_each(|(b, s)| *b += (s * scale) as f32);
        }
        draft.packed[conv] = Some(rounded.packed);
        count += 1;
    }
    Ok(count)
}

fn fresh(graph: &Graph, layers: &[(usize, NodeId, usize)]) -> Vec<Moments> {
    let moments = |&(_, conv, _): &(usize, NodeId, usize)| {
        let depth = match &graph.nodes[conv].op {
            Op::Conv(c) => depth(c),
            _ => 0,
        };
        Moments { depth, count: 0.0, sum: vec![0.0; depth], products: vec![0.0; depth * depth] }
    };
    layers.iter().map(moments).collect()
}

/// Subtracts the value of zero in their channel from the pixels.
fn centre(pixels: &mut [f32], zero: &[i8]) {
    for (i, p) in pixels.iter_mut().enumerate() {
        *p -= f32::from(zero[i % zero.len()]) + 128.0;
    }
}

/// Runs images through the quantized network and collects moments in units of each input's scale.
fn gather(
    draft: &Draft,
    network: &Network,
    layers: &[(usize, NodeId, usize)],
    images: &[Pixels],
    care: Care,
) -> Result<Vec<Moments>, QuantizeError> {
    let lanes = in_lanes(LANES, |lane| -> Result<Vec<Moments>, QuantizeError> {
        let mut moments = fresh(&draft.graph, layers);
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
        for (n, pixels) in images.iter().enumerate().skip(lane).step_by(LANES) {
            let mut tensors: Vec<Option<Vec<f32>>> = vec![None; network.tensors.len()];
            let mut values: Vec<f32> = pixels.values().iter().map(|&p| f32::from(p)).collect();
            centre(&mut values, &network.pixel_zero);
            tensors[PIXELS] = Some(values);
            session.run_traced(pixels.values(), |step, outputs| {
                for (id, values) in network.steps[step].outputs().into_iter().zip(outputs) {
                    let zero = f32::from(network.tensors[id].zero);
                    tensors[id] = Some(values.iter().map(|&v| f32::from(v) - zero).collect());
                }
            });
            for (m, &(_, conv, x)) in moments.iter_mut().zip(layers) {
                if let Some(values) = &tensors[x] {
                    m.add_image(&draft.graph, conv, values, n, care.patches());
                }
            }
        }
        Ok(moments)
    });
    Ok(merge(lanes.into_iter().collect::<Result<Vec<_>, _>>()?))
}
