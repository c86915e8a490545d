//! Network → `graph.nnef` and its tensor files.
//!
//! Each step becomes a few statements in the words of [`crate::vocabulary`]. Identifiers: `t_<name>` is
//! an int8 tensor, `<kind>_<step>` everything else. The convolution that reads the pixels is written
//! with its padding made explicit and its zero points moved into the bias, since tract's convolution
//! knows one zero point, not one per channel; reading undoes both.

use std::fmt::Write;

use crate::dat::{Values, encode};
use crate::network::{Activation, Conv, Network, Out, PIXELS, Step};
use crate::vocabulary::PREAMBLE;

/// The text and the files, in the order in which they stand in the archive.
pub(crate) fn write_graph(network: &Network) -> (String, Vec<(String, Vec<u8>)>) {
    let input = network.input();
    let mut w = Writer { network, text: PREAMBLE.to_owned(), files: Vec::new() };
    w.text.push_str("graph network(pixels) -> (output)\n{\n");
    w.line(&format!(
        "pixels = tract_core_external(shape = [1, {}, {}, {}], datum_type = \"u8\")",
        input.c, input.h, input.w
    ));
    let zero = network.pixel_zero.iter().map(|&z| f32::from(z) + 128.0).collect();
    w.variable("pixel_zero", &[1, input.c, 1, 1], Values::F32(zero));
    let mut logits = String::new();
    for (i, step) in network.steps.iter().enumerate() {
        if let Some(v) = w.step(i, step) {
            logits = v;
        }
    }
    if let Some(Step::Dequantize(_)) = network.steps.last() {
        w.line(&format!("rows = foldnet_rows({logits})"));
        w.line(&format!("logits = reshape(rows, shape = [1, {}])", network.classes()));
    } else {
        w.line(&format!("logits = squeeze({logits}, axes = [2, 3])"));
    }
    w.line(match network.activation {
        Activation::None => "output = copy(logits)",
        Activation::Softmax => "output = softmax(logits, axes = [1])",
        Activation::Sigmoid => "output = sigmoid(logits)",
    });
    w.text.push_str("}\n");
    (w.text, w.files)
}

struct Writer<'a> {
    network: &'a Network,
    text: String,
    files: Vec<(String, Vec<u8>)>,
}

/// A float that NNEF and `f32::from_str` read back exactly.
fn float(v: f32) -> String {
    let text = format!("{v}");
    if text.contains('.') { text } else { text + ".0" }
}

fn pads(top: usize, left: usize, bottom: usize, right: usize) -> String {
    format!("({top},{bottom}), ({left},{right})")
}

/// A string literal; what NNEF cannot hold becomes an underscore.
fn quoted(name: &str) -> String {
    let clean: String =
        name.chars().map(|c| if c == '"' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    format!("\"{clean}\"")
}

impl Writer<'_> {
    fn line(&mut self, statement: &str) {
        writeln!(self.text, "    {statement};").expect("writing to a string");
    }

    fn variable(&mut self, id: &str, dims: &[usize], values: Values) {
        self.line(&format!("{id} = variable<scalar>(label = '{id}', shape = {dims:?})"));
        self.files.push((id.into(), encode(dims, &values)));
    }

    fn tensor(&self, id: usize) -> String {
        if id == PIXELS { "pixels".into() } else { format!("t_{}", self.network.tensors[id].name) }
    }

    fn zero(&self, id: usize) -> String {
        float(f32::from(self.network.tensors[id].zero))
    }

    fn per_channel(&mut self, id: &str, values: &[f32]) {
        self.variable(id, &[1, values.len(), 1, 1], Values::F32(values.to_vec()));
    }

    fn round(&mut self, v: &str, out: Out) {
        let t = &self.network.tensors[out.tensor];
        let (zero, lo, hi) = (f32::from(t.zero), f32::from(out.lo), f32::from(out.hi));
        self.line(&format!(
            "{} = foldnet_round({v}, zero = {}, lo = {}, hi = {}, scale = {})",
            self.tensor(out.tensor),
            float(zero),
            float(lo),
            float(hi),
            float(t.scale)
        ));
    }

    /// Writes one step; the result is the identifier of the logits, if this step makes them.
    fn step(&mut self, i: usize, step: &Step) -> Option<String> {
        let name = quoted(step.name());
        let v = format!("v_{i}");
        match step {
            Step::Conv(c) => return self.conv(i, c),
            Step::MaxPool(p) => {
                let [top, left, bottom, right] = p.pad;
                let pad_value = if p.floor_at_zero { self.zero(p.x) } else { float(f32::from(i8::MIN)) };
                self.line(&format!(
                    "{} = foldnet_max_pool({}, name = {name}, size = [1, 1, {}, {}], stride = [1, 1, {}, {}], \
                     padding = [(0,0), (0,0), {}], pad_value = {pad_value})",
                    self.tensor(p.y),
                    self.tensor(p.x),
                    p.kernel[0],
                    p.kernel[1],
                    p.stride[0],
                    p.stride[1],
                    pads(top, left, bottom, right)
                ));
            }
            Step::AvgPool(p) => {
                let x = &self.network.tensors[p.x];
                let offset = x.shape.pixels() as f32 * f32::from(x.zero);
                self.line(&format!(
                    "{v} = foldnet_mean({}, name = {name}, offset = {}, multiplier = {})",
                    self.tensor(p.x),
                    float(offset),
                    float(p.multiplier)
                ));
                self.round(&v, p.y);
            }
            Step::Affine(a) => {
                self.per_channel(&format!("gain_{i}"), &a.gain);
                self.per_channel(&format!("offset_{i}"), &a.offset);
                self.line(&format!(
                    "scaled_{i} = foldnet_scaled({}, name = {name}, zero = {}, multiplier = 1.0)",
                    self.tensor(a.x),
                    self.zero(a.x)
                ));
                self.line(&format!("{v} = foldnet_affine(scaled_{i}, gain_{i}, offset_{i})"));
                self.round(&v, a.y);
            }
            Step::Add(a) => {
                self.line(&format!(
                    "scaled_{i} = foldnet_scaled({}, name = {name}, zero = {}, multiplier = {})",
                    self.tensor(a.a.0),
                    self.zero(a.a.0),
                    float(a.a.1)
                ));
                self.line(&format!(
                    "{v} = foldnet_residual(scaled_{i}, {}, zero = {}, multiplier = {})",
                    self.tensor(a.b.0),
                    self.zero(a.b.0),
                    float(a.b.1)
                ));
                self.round(&v, a.y);
            }
            Step::Sum(s) => {
                let mut sum = String::new();
                for (k, term) in s.terms.iter().enumerate() {
                    let (x, zero, by) = (self.tensor(term.x), float(term.zero), float(term.multiplier));
                    let to = if k + 1 == s.terms.len() { v.clone() } else { format!("part_{i}_{k}") };
                    self.line(&if k == 0 {
                        format!("{to} = foldnet_scaled({x}, name = {name}, zero = {zero}, multiplier = {by})")
                    } else {
                        format!("{to} = foldnet_residual({sum}, {x}, zero = {zero}, multiplier = {by})")
                    });
                    sum = to;
                }
                self.round(&v, s.y);
            }
            Step::Table(t) => {
                self.variable(&format!("table_{i}"), &[256], Values::I8(t.table.to_vec()));
                self.line(&format!(
                    "{} = foldnet_table({}, table_{i}, name = {name}, scale = {}, zero = {})",
                    self.tensor(t.y),
                    self.tensor(t.x),
                    float(self.network.tensors[t.y].scale),
                    self.zero(t.y)
                ));
            }
            Step::Scale(s) => {
                self.line(&format!(
                    "{v} = foldnet_gated({}, {}, name = {name}, zero = {}, gate_zero = {}, multiplier = {})",
                    self.tensor(s.x),
                    self.tensor(s.gate),
                    self.zero(s.x),
                    self.zero(s.gate),
                    float(s.multiplier)
                ));
                self.round(&v, s.y);
            }
            Step::Dequantize(d) => {
                self.line(&format!(
                    "{v} = foldnet_scaled({}, name = {name}, zero = {}, multiplier = {})",
                    self.tensor(d.x),
                    self.zero(d.x),
                    float(self.network.tensors[d.x].scale)
                ));
                return Some(v);
            }
        }
        None
    }

    fn conv(&mut self, i: usize, c: &Conv) -> Option<String> {
        let channels = c.bias.len();
        let per_group = self.network.tensors[c.x].shape.c / c.groups;
        let [kh, kw] = c.kernel;
        let taps = kh * kw;
        let mut oihw = Vec::with_capacity(c.weights.len());
        for filter in c.weights.chunks_exact(taps * per_group) {
            for input in 0..per_group {
                oihw.extend((0..taps).map(|tap| filter[tap * per_group + input]));
            }
        }
        self.variable(&format!("weights_{i}"), &[channels, per_group, kh, kw], Values::I8(oihw));
        let [top, left, bottom, right] = c.pad;
        let mut bias = c.bias.clone();
        let (x, x_zero, padding) = if c.x == PIXELS {
            for (b, sum) in
                bias.iter_mut().zip(pixel_zero_sums(&c.weights, &self.network.pixel_zero, channels))
            {
                *b = b.wrapping_sub(sum);
            }
            self.line(&format!(
                "x_{i} = foldnet_pixels(pixels, pixel_zero, padding = [(0,0), (0,0), {}])",
                pads(top, left, bottom, right)
            ));
            (format!("x_{i}"), 0, pads(0, 0, 0, 0))
        } else {
            (self.tensor(c.x), self.network.tensors[c.x].zero, pads(top, left, bottom, right))
        };
        self.variable(&format!("bias_{i}"), &[channels], Values::I32(bias));
        self.per_channel(&format!("multiplier_{i}"), &c.multiplier);
        self.per_channel(&format!("weight_scale_{i}"), &c.weight_scale);
        let mut v = format!("v_{i}");
        self.line(&format!(
            "{v} = foldnet_conv({x}, weights_{i}, bias_{i}, multiplier_{i}, weight_scale_{i}, name = {}, \
             x_zero = {x_zero}, stride = {:?}, dilation = {:?}, padding = [{padding}], groups = {})",
            quoted(&c.name),
            c.stride,
            c.dilation,
            c.groups
        ));
        if let Some((skip, multiplier)) = c.skip {
            self.line(&format!(
                "sum_{i} = foldnet_residual({v}, {}, zero = {}, multiplier = {})",
                self.tensor(skip),
                self.zero(skip),
                float(multiplier)
            ));
            v = format!("sum_{i}");
        }
        if let Some(out) = c.y {
            if out.tensor == self.network.logits {
                return Some(v);
            }
            self.round(&v, out);
        }
        if let Some(second) = &c.affine {
            self.per_channel(&format!("gain_{i}"), &second.gain);
            self.per_channel(&format!("offset_{i}"), &second.offset);
            self.line(&format!("affine_{i} = foldnet_affine({v}, gain_{i}, offset_{i})"));
            self.round(&format!("affine_{i}"), second.out);
        }
        None
    }
}

/// Σ zero[i]·w over each filter (OHWI): what the zero points of the pixels add to the sum when padding
/// is explicit.
pub(crate) fn pixel_zero_sums(weights: &[i8], zero: &[i8], channels: usize) -> Vec<i32> {
    weights
        .chunks_exact(weights.len() / channels.max(1))
        .map(|filter| {
            filter.iter().enumerate().map(|(k, &w)| i32::from(w) * i32::from(zero[k % zero.len()])).sum()
        })
        .collect()
}
