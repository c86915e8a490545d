//! Builds a network in which some values and weights are pairs of int8, see the parent module.

use std::collections::BTreeMap;

use foldnet_archive as archive;
use foldnet_archive::{Network, Out, PIXELS, Step, Tensor, TensorId, Term};
use foldnet_kernels::Shape;

use super::{Kept, Measured, makes_logits, reads, takes_wide};
use crate::graph::{Graph, NodeId, Op};
use crate::quantize::QuantizeError;
use crate::quantize::build::{Draft, effective_bias};
use crate::quantize::fuse::{Layer, SlotId};
use crate::quantize::weights;

/// The representation of an input: one tensor, or quotient and remainder.
#[derive(Clone, Copy, Debug)]
enum Width {
    Narrow(TensorId),
    Wide(TensorId, TensorId),
}

/// A convolution in real numbers, and its integers.
struct Spec<'a> {
    name: &'a str,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 4],
    groups: usize,
    x: Width,
    /// The weights, OHWI, and their scale per output channel.
    q: Vec<i8>,
    scale: Vec<f32>,
    /// The remainder of each weight in steps of a 254th of that scale.
    rest: Option<Vec<i8>>,
    /// The bias at scale `s_x·s_w[c]`.
    bias: Vec<i32>,
}

/// The tensors whose sum is the value.
type Parts = Vec<TensorId>;

/// The network under construction.
pub struct Widener<'a> {
    draft: &'a Draft,
    exact: &'a Graph,
    kept: &'a Kept,
    scales: &'a BTreeMap<String, f32>,
    network: Network,
    wide: BTreeMap<SlotId, (TensorId, TensorId)>,
    measured: Vec<Measured>,
}

impl<'a> Widener<'a> {
    pub fn new(
        draft: &'a Draft,
        exact: &'a Graph,
        kept: &'a Kept,
        scales: &'a BTreeMap<String, f32>,
    ) -> Result<Self, QuantizeError> {
        let network = Network { steps: Vec::new(), ..draft.network()? };
        Ok(Self { draft, exact, kept, scales, network, wide: BTreeMap::new(), measured: Vec::new() })
    }

    pub fn build(mut self) -> Result<(Network, Vec<Measured>), QuantizeError> {
        for layer in &self.draft.fusion.layers {
            self.layer(layer)?;
        }
        self.network.validate()?;
        Ok((self.network, self.measured))
    }

    fn layer(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let wide = |slot: SlotId| self.wide.contains_key(&slot);
        let kept = |slot: SlotId| self.kept.values.contains(&slot);
        let fusion = &self.draft.fusion;
        match *layer {
            Layer::Conv { conv, x, skip, y, second, .. } if !makes_logits(fusion, layer) => {
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

    /// Adds a convolution without residual and with 8-bit results: the small part is its residual.
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

    /// Adds a convolution with all parts in tensors, and rounds their sum.
    fn conv_in_parts(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let Layer::Conv { conv, x, skip, y, second, .. } = *layer else {
            unreachable!("called for convolutions")
        };
        let spec = self.spec(conv, x)?;
        let name = spec.name.to_owned();
        let first = y.or(second.map(|s| s.slot)).expect("it writes something");
        let unit = self.draft.quantization(first).0;
        let shape = self.draft.fusion.slots[first].shape;
        let mut parts = self.parts(&spec, shape, unit);
        parts.extend(skip.map(|s| self.value(s)).into_iter().flat_map(Width::parts));
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
        // A gain of zero may have any scale.
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
            x: Width::Wide(sum.0, sum.1),
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

    /// Returns a convolution of the draft, with its weights in 16 bits if they are kept.
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
            // The accumulator must be able to represent the bias and every sum of products.
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

    /// Adds `x∗q` in units of `unit`; the caller specifies the residual and the output.
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

    /// Returns the remainder of the input times the weights plus the input times the remainder of the weights, or
    /// `None` if neither has a remainder.
    /// where both are whole.
    fn small(&mut self, spec: &Spec<'_>, unit: f32) -> Option<TensorId> {
        let mut sum = None;
        let shape = self.output(spec);
        let none = vec![0; spec.bias.len()];
        if let Width::Wide(_, lo) = spec.x {
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

    /// Returns the tensors that add up to the convolution.
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

    /// Adds the parts up into a slot: in 16 bits if it is kept, in 8 if a reader needs that.
    fn write(&mut self, name: &str, parts: &Parts, slot: SlotId) {
        let fusion = &self.draft.fusion;
        if self.kept.values.contains(&slot) {
            let Tensor { shape, scale, .. } = self.network.tensors[slot].clone();
            let relu = fusion.slots[slot].bounds.is_some();
            let pair = self.pair(name, &format!("{}_hi", self.tensor_name(slot)), parts, shape, scale, relu);
            self.wide.insert(slot, pair);
            let narrow = |l: &Layer| reads(l).contains(&slot) && !takes_wide(fusion, l, slot);
            if !fusion.layers.iter().any(narrow) {
                return;
            }
        }
        let unit = self.network.tensors[slot].scale;
        let terms = parts.iter().map(|&x| self.term(x, unit)).collect();
        let y = self.draft.out(slot);
        self.network.steps.push(Step::Sum(archive::Sum { name: name.into(), terms, y }));
    }

    /// Adds quotient and remainder of a sum.
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
        // Subtracts half a step, so that rounding to nearest rounds down.
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

    fn value(&self, slot: SlotId) -> Width {
        self.wide.get(&slot).map_or(Width::Narrow(slot), |&(hi, lo)| Width::Wide(hi, lo))
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

    /// Adds a signed part whose scale is measured by running.
    fn part(&mut self, name: &str, shape: Shape, guess: f32, goal: f32) -> TensorId {
        let name = &self.unique(name);
        let scale = self.scales.get(name).copied().unwrap_or(guess);
        let tensor = self.tensor(name, shape, scale, 0);
        self.measured.push(Measured { tensor, goal, most: 127.0 });
        tensor
    }

    /// Returns a name that no tensor has.
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

impl Width {
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

/// Converts a name to the letters that tensors' names may have.
fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn full(tensor: TensorId) -> Out {
    Out { tensor, lo: i8::MIN, hi: i8::MAX }
}

fn integer(v: f64) -> i32 {
    v.round_ties_even() as i32
}
