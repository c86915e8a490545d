//! Rounding that looks at a layer's inputs.
//!
//! Rounding each weight to its nearest level minimizes the error of the weights, not that of the
//! output. With C the covariance of the layer's inputs, the output's error is `eᵀCe` per channel; so
//! after each weight is rounded, its error is spread over the weights not yet rounded so that the
//! output moves least:
//!
//! ```text
//! U = chol(C⁻¹)ᵀ     for i by falling C_ii:  q_i = rne(w_i/s);  w_j −= (w_i − s·q_i)·U_ij/U_ii, j > i
//! ```
//! A channel's scale s is the one of a few with the smallest error that is left, `Σ ((w_i − s·q_i)/U_ii)²`.
//! What the mean of the inputs makes of the rounding errors goes into the bias. Frantar et al., *GPTQ*,
//! 2022, after Hassibi and Stork, *Optimal brain surgeon*, 1993; the mean and the scale are our additions.
//!
//! That settles each weight once. A careful rounder goes on from there: it moves single weights by one level as
//! long as the same error `E = eᵀCe` falls,
//!
//! ```text
//! q_i ± 1:  ΔE = ∓2s·(Ce)_i + s²·C_ii
//! ```
//! which is the search for the rounding of least error that Nagel et al., *Up or down? Adaptive rounding*, 2020,
//! do by gradient, here exactly, from a good start and over more patches of the inputs.
//!
//! Equalization scales a layer's inputs by factors f, so C becomes `diag(f)·C·diag(f)`: the moments of
//! the float network's inputs serve every rule, and a layer's integers depend on the rule of its input
//! alone (factors of its outputs move their scales). [`Rounder`] keeps them by both.

use std::collections::BTreeMap;

use foldnet::Session;
use foldnet_archive::{Network, PIXELS};
use foldnet_kernels::Shape;

use super::QuantizeError;
use super::build::{Draft, Packed, pixel_zero};
use super::fuse::{Layer, Layout};
use super::weights;
use crate::calibrate::in_lanes;
use crate::float::{FloatError, FloatNet};
use crate::graph::{Conv, Graph, NodeId, Op};

/// Layers with longer filters keep nearest rounding: the work grows with the cube.
const LONGEST: usize = 1200;
/// Input patches gathered per layer and picture.
const PATCHES: usize = 24;
/// The same for a careful rounder.
const MANY_PATCHES: usize = 96;
/// Times that every weight is looked at again.
const ROUNDS: usize = 30;
/// Pictures are dealt to this many lanes, so that sums of floats come out the same everywhere.
const LANES: usize = 2;
/// Scales tried per channel, as parts of the one that suits nearest rounding best.
const SCALES: [f32; 5] = [1.0, 0.95, 0.9, 0.85, 1.05];
/// Layers with more work than this per scale (products) keep that scale.
const SCALE_WORK: usize = 60_000_000;

/// First and second moments of a layer's input patches.
#[derive(Clone)]
pub struct Moments {
    depth: usize,
    count: f64,
    sum: Vec<f64>,
    /// Upper triangle, dense storage.
    products: Vec<f32>,
}

/// A layer's integers and what to add to its biases.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    /// Integers and scales.
    pub packed: Packed,
    /// Per output channel, in units of the input's values times the weights.
    pub shift: Vec<f64>,
}

/// The layers that can be rounded by their inputs: convolution and the slot it reads.
fn layers_of(graph: &Graph, layout: &Layout) -> Vec<(usize, NodeId, usize)> {
    let short = |c: &Conv| c.groups == 1 && (2..=LONGEST).contains(&depth(c));
    let layers = layout.layers.iter().enumerate();
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

/// Multiplications that rounding every layer once takes.
pub fn work(graph: &Graph, layout: &Layout) -> u64 {
    let cost = |&(_, conv, _): &(usize, NodeId, usize)| match &graph.nodes[conv].op {
        Op::Conv(c) => {
            let n = depth(c) as u64;
            n * n * n + n * n * (c.bias.len() * SCALES.len()) as u64 / 2
        }
        _ => 0,
    };
    layers_of(graph, layout).iter().map(cost).sum()
}

/// How much trouble is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Each weight once.
    Once,
    /// Until no single weight can be moved any more, over more patches.
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
    /// Runs the float network over the pictures and sums up every layer's inputs.
    pub fn new(
        graph: &Graph,
        layout: &Layout,
        pictures: &[Vec<u8>],
        care: Care,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Self, FloatError> {
        let layers = layers_of(graph, layout);
        let net = FloatNet::new(graph)?;
        let lanes = in_lanes(LANES, |lane| -> Result<Vec<Moments>, FloatError> {
            let mut moments = fresh(graph, &layers);
            for (n, pixels) in pictures.iter().enumerate().skip(lane).step_by(LANES) {
                let mut values = net.run(pixels)?;
                centre(&mut values[0], &pixel_zero(graph));
                for (m, &(_, conv, x)) in moments.iter_mut().zip(&layers) {
                    m.add_picture(graph, conv, &values[layout.slots[x].node], n, care.patches());
                }
                tick();
            }
            Ok(moments)
        });
        let lanes = lanes.into_iter().collect::<Result<Vec<_>, _>>()?;
        let moments = layers.iter().map(|l| l.1).zip(merge(lanes)).collect();
        Ok(Self { care, moments, known: std::sync::Mutex::default() })
    }

    /// The layer rounded for its input's factors, which go by the number `rule`; none for a layer that
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

/// Replaces the integer weights of every convolution that is small enough by ones that suit the inputs
/// that the quantized network itself makes, and moves the mean error into its bias. Returns how many
/// layers were done.
pub fn round_with_inputs(
    draft: &mut Draft,
    network: &Network,
    pictures: &[Vec<u8>],
    care: Care,
) -> Result<usize, QuantizeError> {
    let layers = layers_of(&draft.graph, &draft.layout);
    let moments = gather(draft, network, &layers, pictures, care)?;
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

/// Pixels minus what stands for zero in their channel.
fn centre(pixels: &mut [f32], zero: &[i8]) {
    for (i, p) in pixels.iter_mut().enumerate() {
        *p -= f32::from(zero[i % zero.len()]) + 128.0;
    }
}

/// The lanes' sums, added in their order.
fn merge(lanes: Vec<Vec<Moments>>) -> Vec<Moments> {
    let mut lanes = lanes.into_iter();
    let mut all = lanes.next().unwrap_or_default();
    for lane in lanes {
        for (a, b) in all.iter_mut().zip(lane) {
            a.count += b.count;
            a.sum.iter_mut().zip(b.sum).for_each(|(a, b)| *a += b);
            a.products.iter_mut().zip(b.products).for_each(|(a, b)| *a += b);
        }
    }
    all
}

/// Streams pictures through the quantized network; moments in units of each input's scale.
fn gather(
    draft: &Draft,
    network: &Network,
    layers: &[(usize, NodeId, usize)],
    pictures: &[Vec<u8>],
    care: Care,
) -> Result<Vec<Moments>, QuantizeError> {
    let lanes = in_lanes(LANES, |lane| -> Result<Vec<Moments>, QuantizeError> {
        let mut moments = fresh(&draft.graph, layers);
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
        for (n, pixels) in pictures.iter().enumerate().skip(lane).step_by(LANES) {
            let mut tensors: Vec<Option<Vec<f32>>> = vec![None; network.tensors.len()];
            let mut values: Vec<f32> = pixels.iter().map(|&p| f32::from(p)).collect();
            centre(&mut values, &network.pixel_zero);
            tensors[PIXELS] = Some(values);
            session.run_traced(pixels, |step, outputs| {
                for (id, values) in network.steps[step].outputs().into_iter().zip(outputs) {
                    let zero = f32::from(network.tensors[id].zero);
                    tensors[id] = Some(values.iter().map(|&v| f32::from(v) - zero).collect());
                }
            });
            for (m, &(_, conv, x)) in moments.iter_mut().zip(layers) {
                if let Some(values) = &tensors[x] {
                    m.add_picture(&draft.graph, conv, values, n, care.patches());
                }
            }
        }
        Ok(moments)
    });
    Ok(merge(lanes.into_iter().collect::<Result<Vec<_>, _>>()?))
}

impl Moments {
    /// Adds patches of one picture's values of the convolution's input.
    fn add_picture(&mut self, graph: &Graph, node: NodeId, x: &[f32], picture: usize, patches: usize) {
        let Op::Conv(conv) = &graph.nodes[node].op else { return };
        let shape: Shape = graph.nodes[graph.nodes[node].inputs[0]].shape;
        let out = graph.nodes[node].shape;
        let window = &conv.window;
        let total = out.pixels();
        let take = patches.min(total);
        let mut patch = vec![0.0f32; self.depth];
        for k in 0..take {
            // Spread over the picture, elsewhere for each picture.
            let at = (k * total / take + picture * 7919) % total;
            let (oy, ox) = (at / out.w, at % out.w);
            patch.fill(0.0);
            for ky in 0..window.kernel[0] {
                for kx in 0..window.kernel[1] {
                    let iy = (oy * window.stride[0] + ky * conv.dilation[0]).wrapping_sub(window.pad[0]);
                    let ix = (ox * window.stride[1] + kx * conv.dilation[1]).wrapping_sub(window.pad[1]);
                    if iy < shape.h && ix < shape.w {
                        let from = (iy * shape.w + ix) * shape.c;
                        patch[(ky * window.kernel[1] + kx) * shape.c..][..shape.c]
                            .copy_from_slice(&x[from..from + shape.c]);
                    }
                }
            }
            self.add(&patch);
        }
    }

    fn add(&mut self, patch: &[f32]) {
        self.count += 1.0;
        for (i, &v) in patch.iter().enumerate() {
            if v != 0.0 {
                self.sum[i] += f64::from(v);
                let row = &mut self.products[i * self.depth..(i + 1) * self.depth];
                row[i..].iter_mut().zip(&patch[i..]).for_each(|(p, &u)| *p += v * u);
            }
        }
    }

    /// The moments of inputs that are each multiplied by a factor.
    fn scaled(&self, factor: &dyn Fn(usize) -> f32) -> Self {
        let mut scaled = self.clone();
        let n = self.depth;
        let factors: Vec<f32> = (0..n).map(factor).collect();
        scaled.sum.iter_mut().zip(&factors).for_each(|(s, &f)| *s *= f64::from(f));
        for (row, &f) in scaled.products.chunks_exact_mut(n).zip(&factors) {
            row.iter_mut().zip(&factors).for_each(|(p, &g)| *p *= f * g);
        }
        scaled
    }

    /// Covariance in the given order.
    fn covariance(&self, order: &[usize]) -> Vec<f64> {
        let n = self.depth;
        let at = |i: usize, j: usize| {
            let (a, b) = (i.min(j), i.max(j));
            f64::from(self.products[a * n + b]) / self.count - self.sum[i] * self.sum[j] / self.count.powi(2)
        };
        let mut c = vec![0.0; n * n];
        for (a, &i) in order.iter().enumerate() {
            for (b, &j) in order.iter().enumerate() {
                c[a * n + b] = at(i, j);
            }
        }
        c
    }
}

/// The covariance dampened by 1 % of its mean diagonal.
fn dampened(covariance: &[f64], n: usize) -> Vec<f64> {
    let mut c = covariance.to_vec();
    let damp = 0.01 * (0..n).map(|i| c[i * n + i]).sum::<f64>() / n as f64 + 1e-9;
    (0..n).for_each(|i| c[i * n + i] += damp);
    c
}

/// Rounds one layer, at the given scales or at the best ones; none where the covariance has no inverse.
fn round_layer(conv: &Conv, moments: &Moments, given: Option<&Packed>, care: Care) -> Option<Rounded> {
    let n = moments.depth;
    if moments.count < 2.0 {
        return None;
    }
    let mean: Vec<f64> = moments.sum.iter().map(|s| s / moments.count).collect();
    let square = |i: usize| f64::from(moments.products[i * n + i]) / moments.count;
    let spread = |i: usize| square(i) - mean[i] * mean[i];
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| spread(b).total_cmp(&spread(a)).then(a.cmp(&b)));
    let covariance = moments.covariance(&order);
    let factor = inverse_factor(&dampened(&covariance, n), n)?;
    let importance: Vec<f32> = (0..n).map(|i| square(i) as f32).collect();
    let floor = importance.iter().copied().fold(0.0, f32::max).max(1e-12) * 1e-6;
    let importance: Vec<f32> = importance.iter().map(|s| s.max(floor)).collect();
    let many = conv.weights.len() * n / 2 <= SCALE_WORK;
    let mut rounded = Rounded {
        packed: Packed { weights: vec![0; conv.weights.len()], scale: Vec::new() },
        shift: Vec::new(),
    };
    for (o, weights) in conv.weights.chunks_exact(n).enumerate() {
        let start = given.map_or_else(|| weights::channel(weights, &importance).1, |p| p.scale[o]);
        let scales = if given.is_none() && many { &SCALES[..] } else { &SCALES[..1] };
        let ordered: Vec<f64> = order.iter().map(|&i| f64::from(weights[i])).collect();
        let (_, q, scale) = scales
            .iter()
            .map(|&part| {
                let scale = start * part;
                let (mut error, mut q) = round_channel(&ordered, f64::from(scale), &factor);
                if care == Care::Settle {
                    error = settle(&ordered, f64::from(scale), &covariance, &mut q);
                }
                (error, q, scale)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        let integers = &mut rounded.packed.weights[o * n..(o + 1) * n];
        order.iter().zip(q).for_each(|(&i, q)| integers[i] = q);
        let lost =
            |(i, &w): (usize, &f32)| mean[i] * (f64::from(w) - f64::from(scale) * f64::from(integers[i]));
        rounded.shift.push(weights.iter().enumerate().map(lost).sum());
        rounded.packed.scale.push(scale);
    }
    Some(rounded)
}

/// One channel's integers, in the factor's order, and the error that is left.
fn round_channel(weights: &[f64], scale: f64, factor: &[f64]) -> (f64, Vec<i8>) {
    let n = weights.len();
    let mut left = weights.to_vec();
    let mut total = 0.0;
    let mut q = Vec::with_capacity(n);
    for i in 0..n {
        let level = (left[i] / scale).round_ties_even().clamp(-127.0, 127.0);
        let row = &factor[i * n..(i + 1) * n];
        let error = (left[i] - level * scale) / row[i];
        left[i + 1..].iter_mut().zip(&row[i + 1..]).for_each(|(w, u)| *w -= error * u);
        total += error * error;
        q.push(level as i8);
    }
    (total, q)
}

/// Moves single weights by one level as long as that makes the error less; the error that is left.
fn settle(weights: &[f64], scale: f64, covariance: &[f64], q: &mut [i8]) -> f64 {
    let n = weights.len();
    let mut errors: Vec<f64> = weights.iter().zip(&*q).map(|(w, &q)| w - scale * f64::from(q)).collect();
    let row = |i: usize| &covariance[i * n..(i + 1) * n];
    let mut slope: Vec<f64> = (0..n).map(|i| row(i).iter().zip(&errors).map(|(c, e)| c * e).sum()).collect();
    for _ in 0..ROUNDS {
        let mut moved = false;
        for i in 0..n {
            // Of the two neighbours only the one that the slope points to can be better.
            let step = if slope[i] > 0.0 { 1 } else { -1 };
            let level = i32::from(q[i]) + step;
            let by = scale * f64::from(step);
            let gain = 2.0 * by * slope[i] - by * by * row(i)[i];
            if level.abs() > 127 || gain <= 1e-9 * by * by * row(i)[i] {
                continue;
            }
            q[i] = level as i8;
            errors[i] -= by;
            slope.iter_mut().zip(row(i)).for_each(|(s, c)| *s -= by * c);
            moved = true;
        }
        if !moved {
            break;
        }
    }
    errors.iter().zip(&slope).map(|(e, s)| e * s).sum()
}

/// The upper factor U with `C⁻¹ = UᵀU`; none if C is not positive definite.
fn inverse_factor(c: &[f64], n: usize) -> Option<Vec<f64>> {
    // C⁻¹ = UᵀU with U upper. With P reversing the order, PCP = LLᵀ gives C = (PLP)(PLP)ᵀ where
    // PLP =: R is upper, so C⁻¹ = R⁻ᵀR⁻¹ and U = R⁻¹.
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let (head_i, head_j) = (&l[i * n..i * n + j], &l[j * n..j * n + j]);
            let dot: f64 = head_i.iter().zip(head_j).map(|(a, b)| a * b).sum();
            let v = c[(n - 1 - i) * n + (n - 1 - j)] - dot;
            if i == j {
                if v.is_nan() || v <= 0.0 {
                    return None;
                }
                l[i * n + i] = v.sqrt();
            } else {
                l[i * n + j] = v / l[j * n + j];
            }
        }
    }
    let r = |i: usize, j: usize| l[(n - 1 - i) * n + (n - 1 - j)];
    // Invert the upper triangular R by back substitution, row by row from the bottom.
    let mut u = vec![0.0; n * n];
    for i in (0..n).rev() {
        let mut row = vec![0.0; n];
        row[i] = 1.0;
        for k in i + 1..n {
            let f = r(i, k);
            if f != 0.0 {
                row[k..].iter_mut().zip(&u[k * n + k..(k + 1) * n]).for_each(|(a, b)| *a -= f * b);
            }
        }
        let d = r(i, i);
        row.iter_mut().for_each(|v| *v /= d);
        u[i * n..(i + 1) * n].copy_from_slice(&row);
    }
    Some(u)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::graph::Window;

    /// A dense layer and moments of inputs that depend on each other.
    fn layer(seed: u32, depth: usize, outputs: usize) -> (Conv, Moments, Vec<Vec<f32>>) {
        let mut state = seed | 1;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let conv = Conv {
            weights: (0..depth * outputs).map(|_| next()).collect(),
            bias: vec![0.0; outputs],
            window: Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] },
            dilation: [1, 1],
            groups: 1,
            pad_value: vec![0.0; depth],
        };
        let mut moments =
            Moments { depth, count: 0.0, sum: vec![0.0; depth], products: vec![0.0; depth * depth] };
        let patches: Vec<Vec<f32>> = (0..200)
            .map(|_| {
                let common = next();
                (0..depth).map(|_| (common + 0.3 * next() + 0.4).max(0.0)).collect()
            })
            .collect();
        patches.iter().for_each(|p| moments.add(p));
        (conv, moments, patches)
    }

    /// Mean square error of the layer's outputs, biases moved by `shift`.
    fn error(conv: &Conv, packed: &Packed, shift: &[f64], patches: &[Vec<f32>]) -> f64 {
        let depth = depth(conv);
        let mut sum = 0.0;
        for x in patches {
            for (o, w) in conv.weights.chunks_exact(depth).enumerate() {
                let q = &packed.weights[o * depth..];
                let lost: f64 = (0..depth)
                    .map(|k| f64::from(x[k]) * f64::from(w[k] - packed.scale[o] * f32::from(q[k])))
                    .sum();
                sum += (lost - shift[o]) * (lost - shift[o]);
            }
        }
        sum / patches.len() as f64
    }

    proptest! {
        #[test]
        fn rounding_by_inputs_makes_less_noise_than_nearest(seed in any::<u32>(), depth in 12usize..40) {
            let (conv, moments, patches) = layer(seed, depth, 6);
            let rounded = round_layer(&conv, &moments, None, Care::Once).unwrap();
            let mut nearest = Packed { weights: Vec::new(), scale: Vec::new() };
            for w in conv.weights.chunks_exact(depth) {
                let (q, scale) = weights::channel(w, &vec![1.0; depth]);
                nearest.weights.extend(q);
                nearest.scale.push(scale);
            }
            let ours = error(&conv, &rounded.packed, &rounded.shift, &patches);
            let theirs = error(&conv, &nearest, &[0.0; 6], &patches);
            prop_assert!(ours < theirs, "{ours} {theirs}");
            let settled = round_layer(&conv, &moments, None, Care::Settle).unwrap();
            let least = error(&conv, &settled.packed, &settled.shift, &patches);
            prop_assert!(least < ours * 1.001, "{least} {ours}");
        }

        #[test]
        fn factors_on_inputs_scale_the_moments(seed in any::<u32>(), factors in prop::collection::vec(0.1f32..8.0, 5)) {
            let (_, moments, patches) = layer(seed, 5, 1);
            let mut direct = Moments { depth: 5, count: 0.0, sum: vec![0.0; 5], products: vec![0.0; 25] };
            for p in &patches {
                direct.add(&p.iter().zip(&factors).map(|(v, f)| v * f).collect::<Vec<_>>());
            }
            let scaled = moments.scaled(&|k| factors[k]);
            for (a, b) in scaled.products.iter().zip(&direct.products) {
                prop_assert!((a - b).abs() <= 1e-3 * b.abs().max(1.0), "{a} {b}");
            }
            prop_assert_eq!(scaled.count, direct.count);
        }
    }

    #[test]
    fn inputs_that_never_vary_are_rounded_all_the_same() {
        let (conv, mut moments, _) = layer(3, 6, 2);
        moments.products.fill(0.0);
        moments.sum.fill(0.0);
        let rounded = round_layer(&conv, &moments, None, Care::Settle).unwrap();
        assert!(rounded.packed.scale.iter().all(|s| *s > 0.0 && s.is_finite()));
        assert!(rounded.shift.iter().all(|s| *s == 0.0));
    }

    #[test]
    fn the_factor_inverts() {
        let c = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
        let u = inverse_factor(&c, 3).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                // (UᵀU·C)[i][j] must be the identity.
                let v: f64 = (0..3)
                    .map(|k| (0..3).map(|m| u[m * 3 + i] * u[m * 3 + k]).sum::<f64>() * c[k * 3 + j])
                    .sum();
                assert!((v - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j} {v}");
            }
        }
        assert!((0..3).all(|i| (0..i).all(|j| u[i * 3 + j] == 0.0)), "upper");
        assert!(inverse_factor(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
