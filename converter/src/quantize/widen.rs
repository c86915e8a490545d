//! Values and weights of 16 bits, made of int8 steps.
//!
//! A value is held in two tensors, quotient and remainder by 256, and weights are two sets of int8:
//!
//! ```text
//! x = s·(hi − z) + s/256·(lo + 128)      hi = ⌊x/s⌋ + z     lo = rne(256·(x/s − ⌊x/s⌋)) − 128
//! w = s_w·q + s_w/254·r                  q = rne(w/s_w)     r = rne(254·(w/s_w − q))
//! ```
//! (rounding down, so that a ReLU leaves no remainder below zero). What reads them is linear, so a
//! convolution becomes convolutions of the parts:
//!
//! ```text
//! f  = lo∗q + hi∗r                       small, so that eight bits are enough
//! y  = hi∗q + f                          the residual of an ordinary convolution, where it has no other
//! ```
//! and where it has one, or its result is of 16 bits itself, `hi∗q` is held in two tensors, too, the second by
//! convolving once more with 256 times the multiplier and −256 times the first as residual; a
//! [`foldnet_archive::Sum`] adds everything up and rounds it. An affine map behind such a sum is a depthwise
//! convolution of its parts. So what is kept runs in the kernels that everything else runs in, on every kernel
//! set, and costs two to four times the layer's products.
//!
//! Scales of the parts are found by running: a first guess, then by the largest value on pictures.

use std::collections::{BTreeMap, BTreeSet};

use foldnet::Session;
use foldnet_archive as archive;
use foldnet_archive::{Network, Out, PIXELS, Step, Tensor, TensorId, Term};
use foldnet_kernels::Shape;

use super::QuantizeError;
use super::build::{Draft, effective_bias};
use super::fuse::{Layer, Layout, SlotId};
use super::weights;
use crate::graph::{Graph, NodeId, Op};

/// What is kept in 16 bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Convolutions whose weights are.
    pub weights: BTreeSet<NodeId>,
    /// Tensors that are.
    pub values: BTreeSet<SlotId>,
}

/// Everything that can be kept: weights of all convolutions but the one that makes the logits, and tensors
/// that a convolution or addition writes and another reads.
pub fn eligible(layout: &Layout) -> Kept {
    let mut all = Kept::default();
    for layer in &layout.layers {
        if let Layer::Conv { conv, .. } = *layer
            && !makes_logits(layout, layer)
        {
            all.weights.insert(conv);
        }
        let written = match *layer {
            Layer::Conv { y, second, .. } => y.into_iter().chain(second.map(|s| s.slot)).collect(),
            Layer::Add { y, .. } => vec![y],
            _ => Vec::new(),
        };
        let read = |slot: &SlotId| layout.layers.iter().any(|l| takes_wide(layout, l, *slot));
        all.values.extend(written.into_iter().filter(|slot| *slot != layout.logits).filter(read));
    }
    all
}

fn makes_logits(layout: &Layout, layer: &Layer) -> bool {
    matches!(*layer, Layer::Conv { y, .. } if y == Some(layout.logits))
}

/// The slots that a layer reads.
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

/// Whether the layer reads the slot and can do so in two parts.
fn takes_wide(layout: &Layout, layer: &Layer, slot: SlotId) -> bool {
    let able = match layer {
        Layer::Conv { .. } => !makes_logits(layout, layer),
        Layer::Add { .. } => true,
        _ => false,
    };
    able && reads(layer).contains(&slot)
}

/// The draft's network with some of it in 16 bits. `exact` is the float graph in the draft's units, without
/// what rounding and bias correction moved; `pictures` are what scales are found on.
pub fn network(
    draft: &Draft,
    exact: &Graph,
    kept: &Kept,
    pictures: &[Vec<u8>],
) -> Result<Network, QuantizeError> {
    const ROUNDS: usize = 8;
    let mut scales = BTreeMap::new();
    for _ in 0..ROUNDS {
        let (network, measured) = Widener::new(draft, exact, kept, &scales)?.build()?;
        if pictures.is_empty() || !adjust(&network, &measured, pictures, &mut scales)? {
            return Ok(without_unwritten(network));
        }
    }
    Ok(without_unwritten(Widener::new(draft, exact, kept, &scales)?.build()?.0))
}

/// Leaves out tensors that no step writes any more.
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

/// A part whose scale is found by running.
#[derive(Clone, Copy, Debug)]
struct Measured {
    tensor: TensorId,
    /// Where its largest distance from the zero point should come to lie, and how far it can go.
    goal: f32,
    most: f32,
}

/// Moves scales to where the largest values want them; false when all are near enough.
fn adjust(
    network: &Network,
    measured: &[Measured],
    pictures: &[Vec<u8>],
    scales: &mut BTreeMap<String, f32>,
) -> Result<bool, QuantizeError> {
    let mut largest = vec![0i32; network.tensors.len()];
    let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 0)?;
    for pixels in pictures {
        session.run_traced(pixels, |step, outputs| {
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
        // A part that is always zero must not shrink away.
        scales.insert(tensor.name.clone(), (tensor.scale * factor).max(1e-25));
    }
    Ok(moved)
}

/// An input: one tensor, or quotient and remainder.
#[derive(Clone, Copy, Debug)]
enum Value {
    Narrow(TensorId),
    Wide(TensorId, TensorId),
}

/// A convolution in real numbers and its integers.
struct Spec<'a> {
    name: &'a str,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 4],
    groups: usize,
    x: Value,
    /// OHWI, and their scale per output channel.
    q: Vec<i8>,
    scale: Vec<f32>,
    /// The rest of each weight in steps of a 254th of that scale.
    rest: Option<Vec<i8>>,
    /// Bias at scale `s_x·s_w[c]`.
    bias: Vec<i32>,
}

/// The tensors that together hold a sum.
type Parts = Vec<TensorId>;

struct Widener<'a> {
    draft: &'a Draft,
    exact: &'a Graph,
    kept: &'a Kept,
    scales: &'a BTreeMap<String, f32>,
    network: Network,
    wide: BTreeMap<SlotId, (TensorId, TensorId)>,
    measured: Vec<Measured>,
}

impl<'a> Widener<'a> {
    fn new(
        draft: &'a Draft,
        exact: &'a Graph,
        kept: &'a Kept,
        scales: &'a BTreeMap<String, f32>,
    ) -> Result<Self, QuantizeError> {
        let network = Network { steps: Vec::new(), ..draft.network()? };
        Ok(Self { draft, exact, kept, scales, network, wide: BTreeMap::new(), measured: Vec::new() })
    }

    fn build(mut self) -> Result<(Network, Vec<Measured>), QuantizeError> {
        for layer in &self.draft.layout.layers {
            self.layer(layer)?;
        }
        self.network.validate()?;
        Ok((self.network, self.measured))
    }

    fn layer(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let wide = |slot: SlotId| self.wide.contains_key(&slot);
        let kept = |slot: SlotId| self.kept.values.contains(&slot);
        let layout = &self.draft.layout;
        match *layer {
            Layer::Conv { conv, x, skip, y, second, .. } if !makes_logits(layout, layer) => {
                let outputs = [y, second.map(|s| s.slot)];
                let results = outputs.into_iter().flatten().any(kept);
                let rounded_once = skip.is_some() || results;
                if !self.kept.weights.contains(&conv) && !wide(x) && !skip.is_some_and(wide) && !results {
                    self.network.steps.push(self.draft.step(layer)?);
                } else if rounded_once {
                    self.conv_in_parts(layer)?;
                } else {
                    self.conv_with_rest(layer)?;
                }
            }
            Layer::Add { node, a, b, y } if wide(a) || wide(b) || kept(y) => {
                let parts = self.value(a).parts().chain(self.value(b).parts()).collect();
                let name = self.draft.graph.nodes[node].name.clone();
                self.write(&name, &parts, y);
            }
            _ => self.network.steps.push(self.draft.step(layer)?),
        }
        Ok(())
    }

    /// Without residual and with results of 8 bits: the small part is the residual.
    fn conv_with_rest(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let Layer::Conv { conv, x, .. } = *layer else { unreachable!("called for convolutions") };
        let spec = self.spec(conv, x)?;
        let archive::Step::Conv(ordinary) = self.draft.step(layer)? else {
            unreachable!("a convolution gives one")
        };
        let out = ordinary.y.or(ordinary.affine.as_ref().map(|a| a.out)).expect("it writes something");
        let unit = self.network.tensors[out.tensor].scale;
        let mut step = self.product(&spec, spec.x.main(), &spec.q, &spec.scale, unit, &spec.bias);
        if let Some(small) = self.small(&spec, unit) {
            step.skip = Some((small, self.network.tensors[small].scale / unit));
        }
        (step.y, step.affine) = (ordinary.y, ordinary.affine);
        self.network.steps.push(Step::Conv(Box::new(step)));
        Ok(())
    }

    /// Everything in tensors, and their sum rounded.
    fn conv_in_parts(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let Layer::Conv { conv, x, skip, y, second, .. } = *layer else {
            unreachable!("called for convolutions")
        };
        let spec = self.spec(conv, x)?;
        let name = spec.name.to_owned();
        let first = y.or(second.map(|s| s.slot)).expect("it writes something");
        let unit = self.draft.quantization(first).0;
        let shape = self.draft.layout.slots[first].shape;
        let mut parts = self.parts(&spec, shape, unit);
        parts.extend(skip.map(|s| self.value(s)).into_iter().flat_map(Value::parts));
        if let Some(y) = y {
            self.write(&name, &parts, y);
        }
        let Some(second) = second else { return Ok(()) };
        let (Some(affine), Op::Affine { gain, offset }) =
            (second.affine, &self.draft.graph.nodes[second.affine.unwrap_or(0)].op)
        else {
            self.write(&name, &parts, second.slot);
            return Ok(());
        };
        let sum = match y.and_then(|y| self.wide.get(&y)) {
            Some(&(hi, lo)) => (hi, lo),
            None => self.pair(
                &name,
                &format!("{}_sum", self.tensor_name(second.slot)),
                &parts,
                shape,
                unit,
                false,
            ),
        };
        // A gain of zero has any scale.
        let scale: Vec<f32> = gain.iter().map(|g| (g.abs() / 127.0).max(1e-20)).collect();
        let s_x = f64::from(self.network.tensors[sum.0].scale);
        let bias = offset.iter().zip(&scale);
        let map = Spec {
            name: &self.draft.graph.nodes[affine].name,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0; 4],
            groups: gain.len(),
            x: Value::Wide(sum.0, sum.1),
            q: gain.iter().map(|&g| if g == 0.0 { 0 } else { 127 * g.signum() as i8 }).collect(),
            rest: None,
            bias: bias.map(|(&o, &s)| integer(f64::from(o) / (s_x * f64::from(s)))).collect(),
            scale,
        };
        let unit = self.draft.quantization(second.slot).0;
        if self.kept.values.contains(&second.slot) {
            let parts = self.parts(&map, shape, unit);
            self.write(map.name, &parts, second.slot);
            return Ok(());
        }
        let mut step = self.product(&map, sum.0, &map.q, &map.scale, unit, &map.bias);
        if let Some(small) = self.small(&map, unit) {
            step.skip = Some((small, self.network.tensors[small].scale / unit));
        }
        step.y = Some(self.draft.out(second.slot));
        self.network.steps.push(Step::Conv(Box::new(step)));
        Ok(())
    }

    /// A convolution of the draft, its weights in 16 bits if they are kept.
    fn spec(&self, node: NodeId, x: SlotId) -> Result<Spec<'a>, QuantizeError> {
        let wide = self.kept.weights.contains(&node);
        let graph = if wide { self.exact } else { &self.draft.graph };
        let (Op::Conv(c), Some(packed)) = (&graph.nodes[node].op, &self.draft.packed[node]) else {
            unreachable!("every convolution is packed")
        };
        let name = &self.draft.graph.nodes[node].name;
        let x_slot = self.value(x);
        let s_x = if x == 0 { 1.0 } else { f64::from(self.network.tensors[x_slot.main()].scale) };
        let filter = c.weights.len() / c.bias.len();
        let mut spec = Spec {
            name,
            kernel: c.window.kernel,
            stride: c.window.stride,
            dilation: c.dilation,
            pad: c.window.pad,
            groups: c.groups,
            x: x_slot,
            q: Vec::with_capacity(c.weights.len()),
            scale: Vec::with_capacity(c.bias.len()),
            rest: wide.then(Vec::new),
            bias: Vec::with_capacity(c.bias.len()),
        };
        for (channel, bias) in effective_bias(graph, node, c).into_iter().enumerate() {
            let span = channel * filter..(channel + 1) * filter;
            let real = &c.weights[span.clone()];
            let (mut q, mut scale) = (packed.weights[span].to_vec(), packed.scale[channel]);
            if wide {
                let largest = real.iter().fold(0.0f32, |m, w| m.max(w.abs()));
                scale = if largest > 1e-28 { largest / 127.0 } else { scale };
                q = weights::with_scale(real, scale);
            }
            // The accumulator must hold the bias and every sum of products.
            let mut steps = bias / (s_x * f64::from(scale));
            while steps.abs() + q.iter().map(|w| f64::from(w.unsigned_abs()) * 256.0).sum::<f64>()
                >= f64::from(i32::MAX)
            {
                scale *= 2.0;
                if !scale.is_finite() {
                    return Err(QuantizeError::NotFinite { node: name.clone(), channel });
                }
                q = weights::with_scale(real, scale);
                steps = bias / (s_x * f64::from(scale));
            }
            if let Some(rest) = &mut spec.rest {
                let left: Vec<f32> = real.iter().zip(&q).map(|(w, &q)| w - f32::from(q) * scale).collect();
                rest.extend(weights::with_scale(&left, scale / 254.0));
            }
            spec.q.extend(q);
            spec.scale.push(scale);
            spec.bias.push(integer(steps));
        }
        Ok(spec)
    }

    /// `x∗q` in units of `unit`; whoever calls says what is added and written.
    fn product(
        &self,
        spec: &Spec<'_>,
        x: TensorId,
        q: &[i8],
        scale: &[f32],
        unit: f32,
        bias: &[i32],
    ) -> archive::Conv {
        let s_x = if x == PIXELS { 1.0 } else { f64::from(self.network.tensors[x].scale) };
        let per_unit = s_x / f64::from(unit);
        archive::Conv {
            name: spec.name.to_owned(),
            x,
            weights: q.to_vec(),
            bias: bias.to_vec(),
            weight_scale: scale.to_vec(),
            multiplier: scale.iter().map(|&s| (f64::from(s) * per_unit) as f32).collect(),
            kernel: spec.kernel,
            stride: spec.stride,
            dilation: spec.dilation,
            pad: spec.pad,
            groups: spec.groups,
            skip: None,
            y: None,
            affine: None,
        }
    }

    /// The remainder of the input times the weights, and the input times the rest of the weights; none
    /// where both are whole.
    fn small(&mut self, spec: &Spec<'_>, unit: f32) -> Option<TensorId> {
        let mut sum = None;
        let shape = self.output(spec);
        let none = vec![0; spec.bias.len()];
        if let Value::Wide(_, lo) = spec.x {
            let to = self.part(&format!("{}_of_rest", clean(spec.name)), shape, unit / 64.0, 90.0);
            let mut step =
                self.product(spec, lo, &spec.q, &spec.scale, self.network.tensors[to].scale, &none);
            step.y = Some(full(to));
            self.network.steps.push(Step::Conv(Box::new(step)));
            sum = Some(to);
        }
        if let Some(rest) = &spec.rest {
            let to = self.part(&format!("{}_rest", clean(spec.name)), shape, unit / 64.0, 90.0);
            let unit = self.network.tensors[to].scale;
            let scale: Vec<f32> = spec.scale.iter().map(|s| s / 254.0).collect();
            let mut step = self.product(spec, spec.x.main(), rest, &scale, unit, &none);
            step.skip = sum.map(|before| (before, self.network.tensors[before].scale / unit));
            step.y = Some(full(to));
            self.network.steps.push(Step::Conv(Box::new(step)));
            sum = Some(to);
        }
        sum
    }

    /// The tensors that add up to the convolution.
    fn parts(&mut self, spec: &Spec<'_>, shape: Shape, unit: f32) -> Parts {
        let name = clean(spec.name);
        let hi = self.part(&format!("{name}_product"), shape, unit, 64.0);
        let unit = self.network.tensors[hi].scale;
        let lo = self.tensor(&format!("{name}_product_lo"), shape, unit / 256.0, 0);
        for (to, skip, unit) in [(hi, None, unit), (lo, Some((hi, -256.0)), unit / 256.0)] {
            let mut step = self.product(spec, spec.x.main(), &spec.q, &spec.scale, unit, &spec.bias);
            (step.skip, step.y) = (skip, Some(full(to)));
            self.network.steps.push(Step::Conv(Box::new(step)));
        }
        [hi, lo].into_iter().chain(self.small(spec, unit)).collect()
    }

    /// Adds the parts up into a slot, in 16 bits if it is kept, in 8 if somebody wants that.
    fn write(&mut self, name: &str, parts: &Parts, slot: SlotId) {
        let layout = &self.draft.layout;
        if self.kept.values.contains(&slot) {
            let Tensor { shape, scale, .. } = self.network.tensors[slot].clone();
            let relu = layout.slots[slot].relu;
            let pair = self.pair(name, &format!("{}_hi", self.tensor_name(slot)), parts, shape, scale, relu);
            self.wide.insert(slot, pair);
            let narrow = |l: &Layer| reads(l).contains(&slot) && !takes_wide(layout, l, slot);
            if !layout.layers.iter().any(narrow) {
                return;
            }
        }
        let unit = self.network.tensors[slot].scale;
        let terms = parts.iter().map(|&x| self.term(x, unit)).collect();
        let y = self.draft.out(slot);
        self.network.steps.push(Step::Sum(archive::Sum { name: name.into(), terms, y }));
    }

    /// Quotient and remainder of a sum.
    fn pair(
        &mut self,
        name: &str,
        tensor: &str,
        parts: &Parts,
        shape: Shape,
        scale: f32,
        relu: bool,
    ) -> (TensorId, TensorId) {
        let tensor = &self.unique(tensor);
        let scale = self.scales.get(tensor).copied().unwrap_or(scale);
        let zero = if relu { i8::MIN } else { 0 };
        let hi = self.tensor(tensor, shape, scale, zero);
        let (goal, most) = if relu { (200.0, 255.0) } else { (100.0, 127.0) };
        self.measured.push(Measured { tensor: hi, goal, most });
        let lo = self.tensor(&format!("{tensor}_rest"), shape, scale / 256.0, i8::MIN);
        let mut terms: Vec<Term> = parts.iter().map(|&x| self.term(x, scale)).collect();
        // Half a step less, so that rounding to the nearest rounds down.
        terms[0].zero += 0.5 / terms[0].multiplier;
        let y = Out { tensor: hi, lo: i8::MIN, hi: i8::MAX };
        self.network.steps.push(Step::Sum(archive::Sum { name: name.into(), terms, y }));
        let mut terms: Vec<Term> = parts.iter().map(|&x| self.term(x, scale / 256.0)).collect();
        terms.push(self.term(hi, scale / 256.0));
        if let Some(last) = terms.last_mut() {
            last.multiplier = -256.0;
        }
        self.network.steps.push(Step::Sum(archive::Sum { name: name.into(), terms, y: full(lo) }));
        (hi, lo)
    }

    fn term(&self, x: TensorId, unit: f32) -> Term {
        let Tensor { scale, zero, .. } = self.network.tensors[x];
        Term { x, zero: f32::from(zero), multiplier: scale / unit }
    }

    fn value(&self, slot: SlotId) -> Value {
        self.wide.get(&slot).map_or(Value::Narrow(slot), |&(hi, lo)| Value::Wide(hi, lo))
    }

    fn tensor_name(&self, slot: SlotId) -> String {
        self.network.tensors[slot].name.clone()
    }

    fn output(&self, spec: &Spec<'_>) -> Shape {
        let x = self.network.tensors[spec.x.main()].shape;
        let side = |n: usize, a: usize| {
            let reach = (spec.kernel[a] - 1) * spec.dilation[a] + 1;
            (n + spec.pad[a] + spec.pad[a + 2] - reach) / spec.stride[a] + 1
        };
        Shape::new(side(x.h, 0), side(x.w, 1), spec.bias.len())
    }

    /// A signed part whose scale is found by running.
    fn part(&mut self, name: &str, shape: Shape, guess: f32, goal: f32) -> TensorId {
        let name = &self.unique(name);
        let scale = self.scales.get(name).copied().unwrap_or(guess);
        let tensor = self.tensor(name, shape, scale, 0);
        self.measured.push(Measured { tensor, goal, most: 127.0 });
        tensor
    }

    /// A name that no tensor has.
    fn unique(&self, name: &str) -> String {
        let taken = |name: &String| self.network.tensors.iter().any(|t| t.name == *name);
        let numbered = (2..).map(|n| format!("{name}_{n}"));
        std::iter::once(name.to_owned()).chain(numbered).find(|n| !taken(n)).unwrap_or_default()
    }

    fn tensor(&mut self, name: &str, shape: Shape, scale: f32, zero: i8) -> TensorId {
        let name = self.unique(name);
        self.network.tensors.push(Tensor { name, shape, scale, zero });
        self.network.tensors.len() - 1
    }
}

impl Value {
    fn main(self) -> TensorId {
        match self {
            Self::Narrow(x) | Self::Wide(x, _) => x,
        }
    }

    fn parts(self) -> impl Iterator<Item = TensorId> {
        let (first, second) = match self {
            Self::Narrow(x) => (x, None),
            Self::Wide(hi, lo) => (hi, Some(lo)),
        };
        std::iter::once(first).chain(second)
    }
}

/// A name in the letters that tensors' names have.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn full(tensor: TensorId) -> Out {
    Out { tensor, lo: i8::MIN, hi: i8::MAX }
}

fn integer(v: f64) -> i32 {
    v.round_ties_even() as i32
}

#[cfg(test)]
mod tests {
    use foldnet_backends::tract::Stock;

    use super::*;
    use crate::float::FloatNet;
    use crate::graph::Node;
    use crate::quantize::recipe::{Effort, Options, Silent, quantize};
    use crate::quantize::tests::{pictures, residual};
    use crate::quantize::{Outcome, equalize};

    /// The preactivated kind: a sum that is read as it is and behind an affine map with its ReLU.
    fn preactivated() -> Graph {
        let mut graph = residual();
        // stem ─┬─ affine ─ relu ─ a ─ relu ─ b ─┬─ sum ─ affine ─ relu ─ pool ─ dense
        let c = graph.nodes[1].shape.c;
        graph.nodes[2].op = Op::Affine {
            gain: (0..c).map(|i| 0.6 - 0.25 * i as f32).collect(),
            offset: (0..c).map(|i| 0.1 * i as f32 - 0.3).collect(),
        };
        let affine = graph.nodes[2].op.clone();
        let shape = graph.nodes[2].shape;
        let node = |name: &str, op, input| Node { name: name.into(), op, inputs: vec![input], shape };
        graph.nodes[2].inputs = vec![1];
        graph.nodes.insert(3, node("pre", Op::Relu, 2));
        for n in &mut graph.nodes[4..] {
            n.inputs.iter_mut().filter(|i| **i >= 3).for_each(|i| *i += 1);
        }
        graph.nodes[4].inputs = vec![3];
        graph.nodes[7].inputs = vec![6, 1];
        graph.nodes.insert(8, node("affine", affine, 7));
        for n in &mut graph.nodes[9..] {
            n.inputs.iter_mut().filter(|i| **i >= 8).for_each(|i| *i += 1);
        }
        graph.nodes[9].inputs = vec![8];
        graph.output += 2;
        graph
    }

    fn quantized(graph: &Graph) -> (Outcome, Graph) {
        let options = Options { effort: Effort::Low, bias: false, ..Options::default() };
        let outcome = quantize(graph, &pictures(24), options, &Silent).unwrap();
        let exact = equalize::apply(&outcome.graph, &outcome.factors);
        (outcome, exact)
    }

    /// The real values of a tensor that is held in two, on a picture.
    fn held(network: &Network, hi: &str, pixels: &[u8]) -> Vec<f32> {
        let mut sum: Vec<f32> = Vec::new();
        Session::new(network, foldnet_kernels::dispatch::best(), 1).unwrap().run_traced(pixels, |i, out| {
            for (id, values) in network.steps[i].outputs().into_iter().zip(out) {
                let t = &network.tensors[id];
                if t.name == hi || t.name == format!("{hi}_rest") {
                    let real = |&q: &i8| (f32::from(q) - f32::from(t.zero)) * t.scale;
                    sum = if t.name == hi {
                        values.iter().map(real).collect()
                    } else {
                        sum.iter().zip(values.iter().map(real)).map(|(a, b)| a + b).collect()
                    };
                }
            }
        });
        sum
    }

    #[test]
    fn with_everything_kept_the_trunk_is_as_in_float() {
        for graph in [residual(), preactivated()] {
            let (outcome, exact) = quantized(&graph);
            let kept = eligible(&outcome.draft.layout);
            assert!(kept.weights.len() == 3 && kept.values.len() >= 2, "{kept:?}");
            let network = network(&outcome.draft, &exact, &kept, &pictures(24)).unwrap();
            let narrow = &outcome.network;
            assert_eq!(network.tensors.iter().filter(|t| t.scale <= 0.0).count(), 0);
            assert!(network.macs() > 2 * narrow.macs());
            let float = FloatNet::new(&exact).unwrap();
            for picture in &pictures(40)[30..] {
                let truth = float.run(picture).unwrap();
                for &slot in &kept.values {
                    let name = format!("{}_hi", narrow.tensors[slot].name);
                    let ours = held(&network, &name, picture);
                    let node = outcome.draft.layout.slots[slot].node;
                    let most = truth[node].iter().fold(0.0f32, |m, v| m.max(v.abs()));
                    for (a, b) in truth[node].iter().zip(&ours) {
                        assert!((a - b).abs() < most / 1500.0, "{name}: {a} became {b} of {most}");
                    }
                    assert_eq!(truth[node].len(), ours.len());
                }
            }
        }
    }

    #[test]
    fn every_kernel_set_and_stock_tract_have_the_same_bits() {
        for graph in [residual(), preactivated()] {
            let (outcome, exact) = quantized(&graph);
            let kept = eligible(&outcome.draft.layout);
            let network = network(&outcome.draft, &exact, &kept, &pictures(12)).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("kept.nnef.tgz");
            let mut manifest = archive::testing::manifest();
            let shape = network.input();
            manifest.input = archive::Input { height: shape.h, width: shape.w, ..manifest.input };
            foldnet_archive::write(&path, &network, &manifest).unwrap();
            let (read, _) = foldnet_archive::read(&path).unwrap();
            let mut tract = Stock::load(&path, network.input()).unwrap();
            for picture in &pictures(3) {
                let expected = tract.logits(picture).unwrap().to_vec();
                for entry in foldnet_kernels::dispatch::REGISTRY {
                    let Some(set) = (entry.get)() else { continue };
                    let mut session = Session::new(&read, set, 1).unwrap();
                    assert_eq!(session.run(picture), expected, "{}", set.name());
                }
            }
        }
    }

    #[test]
    fn nothing_kept_is_the_draft_itself() {
        let (outcome, exact) = quantized(&residual());
        let network = network(&outcome.draft, &exact, &Kept::default(), &pictures(3)).unwrap();
        assert_eq!(network, outcome.network);
    }

    #[test]
    fn every_part_alone_makes_a_sound_network_that_is_nearer_to_float() {
        for graph in [residual(), preactivated()] {
            let (outcome, exact) = quantized(&graph);
            let float = FloatNet::new(&exact).unwrap();
            let truth: Vec<_> =
                pictures(16).iter().map(|p| float.run(p).unwrap()[exact.output].clone()).collect();
            let sqnr = |network: &Network| {
                let answers = crate::quantize::score::logits(network, &pictures(16)).unwrap();
                crate::quantize::score::Distance::between(&truth, &answers, outcome.measure).sqnr
            };
            let all = eligible(&outcome.draft.layout);
            let single = |weights: Option<NodeId>, values: Option<SlotId>| Kept {
                weights: weights.into_iter().collect(),
                values: values.into_iter().collect(),
            };
            let parts = all.weights.iter().map(|&w| single(Some(w), None));
            let before = sqnr(&outcome.network);
            for kept in parts.chain(all.values.iter().map(|&v| single(None, Some(v)))) {
                let network = network(&outcome.draft, &exact, &kept, &pictures(16)).unwrap();
                assert!(sqnr(&network) > before - 1.0, "{kept:?}: {before} became {}", sqnr(&network));
            }
            let everything = sqnr(&network(&outcome.draft, &exact, &all, &pictures(16)).unwrap());
            assert!(everything > before, "{before} became {everything}");
        }
    }
}
