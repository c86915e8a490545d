//! Writes the network as a TFLite file with int8 activations only, for LiteRT, TensorFlow Lite Micro and Arm's
//! Vela.
//!
//! Scales, zero points, weights and biases are the network's own. TFLite adds int8 tensors, so residuals and
//! affine maps must be separate steps ([`crate::quantize::apart`]). The differences from the network, and their
//! reasons:
//! - *The logits are int8*, with the range that they have on images (`logits.rs`). The caller applies the last
//!   function (softmax), in f32.
//! - *Rounding is TFLite's*: a multiplier of 31 bits and halves away from zero, not f32 and halves to even. A
//!   value halfway between two may therefore differ by one.
//! - *Affine maps are depthwise 1×1 convolutions*, whose bias is an integer.
//! - *Sigmoid and tanh have TFLite's own scales* and are converted to ours afterwards.
//!
//! Input: int8 `[1, h, w, c]`, the pixels minus 128, scale 1. Output: int8 `[1, classes]`, or a feature map. Dense
//! layers are convolutions, as in the network: their weights have a scale per channel.

mod builder;
mod channel;
mod logits;
mod metadata;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;

use foldnet_archive::{Affine, Conv, MaxPool, Network, Out, PIXELS, Step, Table, Tensor, TensorId};
use foldnet_kernels::Shape;

use builder::{Builder, Fused, Id, Operator, Padding, Window};
use channel::Channels;
use metadata::Description;

use crate::quantize::apart::Quantization;

pub use logits::range;

/// A step for which TFLite has no operator.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}: TFLite has no operator for the step {kind}: {remedy}")]
pub struct Unsupported {
    layer: String,
    kind: &'static str,
    remedy: &'static str,
}

/// Writes the file. If a convolution writes the logits, they have this scale and zero point (see
/// [`logits::range`]).
pub fn model(network: &Network, logits: Quantization) -> Result<Vec<u8>, Unsupported> {
    write(network, logits, None)
}

/// Writes the same file with metadata: the value of the pixels, and the classes' names behind the model.
pub fn described(network: &Network, logits: Quantization, labels: &[String]) -> Result<Vec<u8>, Unsupported> {
    let mean = f32::from(network.pixel_zero[0]) - f32::from(i8::MIN);
    let description = Description { mean, grey: network.input().c == 1, labels };
    Ok(description.append(write(network, logits, Some(description.table()))?))
}

fn write(network: &Network, logits: Quantization, metadata: Option<Vec<u8>>) -> Result<Vec<u8>, Unsupported> {
    let ids = vec![None; network.tensors.len()];
    let mut writer = Writer { network, logits, out: Builder::default(), ids };
    // All channels have one zero point; if theirs differ, the layer that reads the pixels compensates for it.
    let input = writer.out.int8("pixels", &dims(network.input()), 1.0, network.pixel_zero[0]);
    writer.ids[PIXELS] = Some(input);
    for (i, step) in network.steps.iter().enumerate() {
        writer.step(i, step)?;
    }
    let output = writer.output();
    Ok(writer.out.finish("foldnet", input, output, metadata))
}

/// Returns scale and zero point of the file's output: those given for the logits, or those of the tensor from
/// which the logits are converted to f32.
pub fn output(network: &Network, logits: Quantization) -> Quantization {
    let source = network.steps.iter().find_map(|s| match s {
        Step::Dequantize(d) => Some(&network.tensors[d.x]),
        _ => None,
    });
    source.map_or(logits, |t| Quantization { scale: t.scale, zero: t.zero })
}

/// Returns the dimensions NHWC, with batch 1.
fn dims(shape: Shape) -> [usize; 4] {
    [1, shape.h, shape.w, shape.c]
}

/// A window of one value.
const POINT: Window = Window { padding: Padding::Valid, stride: [1, 1], dilation: [1, 1] };

struct Writer<'a> {
    network: &'a Network,
    logits: Quantization,
    out: Builder,
    /// The network's tensors in the file, if they are already written.
    ids: Vec<Option<Id>>,
}

impl Writer<'_> {
    fn tensor(&self, id: TensorId) -> &Tensor {
        &self.network.tensors[id]
    }

    fn id(&self, id: TensorId) -> Id {
        self.ids[id].expect("a valid network writes a tensor before it reads it")
    }

    /// Returns scale and zero point; for the pixels those in the file.
    fn quantization(&self, id: TensorId) -> Quantization {
        match id {
            PIXELS => Quantization { scale: 1.0, zero: self.network.pixel_zero[0] },
            _ if id == self.network.logits => self.logits,
            _ => Quantization { scale: self.tensor(id).scale, zero: self.tensor(id).zero },
        }
    }

    /// Adds an intermediate tensor with this shape and scale.
    fn between(&mut self, name: String, shape: Shape, range: Quantization) -> Id {
        self.out.int8(&name, &dims(shape), range.scale, range.zero)
    }

    /// Adds an operator that writes a tensor of the network, and then the limits that cannot be fused into it;
    /// with `relu`, a ReLU can be fused.
    fn write(&mut self, to: Out, relu: bool, operator: impl Fn(Fused) -> Operator, inputs: &[Id]) {
        let (name, shape) = (self.tensor(to.tensor).name.clone(), self.tensor(to.tensor).shape);
        let range = self.quantization(to.tensor);
        let fused = match (to.lo, to.hi) {
            (i8::MIN, i8::MAX) => Some(Fused::None),
            (lo, i8::MAX) if relu && lo == range.zero => Some(Fused::Relu),
            _ => None,
        };
        if let Some(fused) = fused {
            let id = self.between(name, shape, range);
            self.out.operator(operator(fused), inputs, id);
            self.ids[to.tensor] = Some(id);
            return;
        }
        let mut from = self.between(format!("{name}/unlimited"), shape, range);
        self.out.operator(operator(Fused::None), inputs, from);
        let (above, below) = (to.lo > i8::MIN, to.hi < i8::MAX);
        let limits = [(above, Operator::Maximum, to.lo, !below), (below, Operator::Minimum, to.hi, true)];
        for (_, operator, value, last) in limits.into_iter().filter(|l| l.0) {
            let key = format!("{name}/limit_{value}");
            let limit = self.out.int8_constant(&key, &[1; 4], range.scale, range.zero, &[value]);
            let result = if last { name.clone() } else { format!("{name}/limited") };
            let result = self.between(result, shape, range);
            self.out.operator(operator, &[from, limit], result);
            from = result;
        }
        self.ids[to.tensor] = Some(from);
    }

    fn step(&mut self, i: usize, step: &Step) -> Result<(), Unsupported> {
        match step {
            Step::Conv(c) if c.skip.is_some() || c.affine.is_some() => {
                return Err(Unsupported {
                    layer: c.name.clone(),
                    kind: "conv with a residual or a second output",
                    remedy: "take the network apart first",
                });
            }
            Step::Conv(c) => self.conv(i, c),
            Step::MaxPool(p) => self.max_pool(i, p),
            Step::AvgPool(p) => {
                let axes = self.out.int32_constant(&format!("axes_{i}"), &[2], &[1, 2]);
                let x = self.id(p.x);
                self.write(p.y, false, |_| Operator::Mean, &[x, axes]);
            }
            Step::Affine(a) => self.affine(i, a),
            Step::Add(a) => {
                let (x, y) = (self.id(a.a.0), self.id(a.b.0));
                self.write(a.y, true, Operator::Add, &[x, y]);
            }
            Step::Scale(s) => {
                let (x, gate) = (self.id(s.x), self.id(s.gate));
                self.write(s.y, true, Operator::Mul, &[x, gate]);
            }
            Step::Table(t) => self.table(t)?,
            Step::Dequantize(d) => self.ids[d.y] = Some(self.id(d.x)),
            other => {
                return Err(Unsupported {
                    layer: other.name().into(),
                    kind: other.kind(),
                    remedy: if matches!(other, Step::Sum(_)) {
                        "it adds up a value of 16 bits; quantize without --max-drop"
                    } else {
                        "TFLite has no such operator; run this network on the CPU"
                    },
                });
            }
        }
        Ok(())
    }

    /// Writes sigmoid and tanh, which are operators; other tables are not supported.
    fn table(&mut self, t: &Table) -> Result<(), Unsupported> {
        let (from, to) = (self.quantization(t.x), self.quantization(t.y));
        let is = |curve: fn(f32) -> f32| {
            (i8::MIN..=i8::MAX).zip(t.table.iter()).all(|(q, &found)| {
                (to.quantize(curve(from.real(q)), i8::MIN, i8::MAX) as i32 - i32::from(found)).abs() <= 1
            })
        };
        let (operator, own) = if is(|x| 1.0 / (1.0 + libm::expf(-x))) {
            (Operator::Logistic, Quantization { scale: 1.0 / 256.0, zero: i8::MIN })
        } else if is(libm::tanhf) {
            (Operator::Tanh, Quantization { scale: 1.0 / 128.0, zero: 0 })
        } else {
            return Err(Unsupported {
                layer: t.name.clone(),
                kind: "table",
                remedy: "its values are neither sigmoid nor tanh; run this network on the CPU",
            });
        };
        let (name, shape, x) = (self.tensor(t.y).name.clone(), self.tensor(t.y).shape, self.id(t.x));
        let y = self.between(name.clone(), shape, to);
        if to == own {
            self.out.operator(operator, &[x], y);
        } else {
            let curve = self.between(format!("{name}/curve"), shape, own);
            self.out.operator(operator, &[x], curve);
            self.out.operator(Operator::Quantize, &[curve], y);
        }
        self.ids[t.y] = Some(y);
        Ok(())
    }

    fn max_pool(&mut self, i: usize, p: &MaxPool) {
        let (x, y) = (self.tensor(p.x).shape, self.tensor(p.y).shape);
        let range = self.quantization(p.x);
        let window = Window { padding: Padding::Valid, stride: p.stride, dilation: [1, 1] };
        let same = padding(x, y, p.kernel, window, p.pad);
        // TFLite's own padding never wins, and neither do values of −128.
        let never_wins = !p.floor_at_zero || range.zero == i8::MIN;
        let (from, padding) = match same {
            Some(padding) if never_wins => (self.id(p.x), padding),
            _ if p.pad == [0; 4] => (self.id(p.x), Padding::Valid),
            _ => {
                let value = if never_wins { i8::MIN } else { range.zero };
                (self.padded(&format!("padded_{i}"), p.x, p.pad, value), Padding::Valid)
            }
        };
        let operator = Operator::MaxPool2D(Window { padding, ..window }, p.kernel);
        self.write(full(p.y), false, |_| operator, &[from]);
    }

    /// Pads a tensor with `value`.
    fn padded(&mut self, key: &str, x: TensorId, pad: [usize; 4], value: i8) -> Id {
        let [top, left, bottom, right] = pad;
        let (x_shape, range, from) = (self.tensor(x).shape, self.quantization(x), self.id(x));
        let by =
            self.out.int32_constant(&format!("{key}/by"), &[4, 2], &[0, 0, top, bottom, left, right, 0, 0]);
        let shape = Shape::new(x_shape.h + top + bottom, x_shape.w + left + right, x_shape.c);
        let to = self.between(key.into(), shape, range);
        if value == range.zero {
            self.out.operator(Operator::Pad, &[from, by], to);
        } else {
            let value =
                self.out.int8_constant(&format!("{key}/value"), &[1], range.scale, range.zero, &[value]);
            self.out.operator(Operator::PadV2, &[from, by, value], to);
        }
        to
    }

    /// Pads the pixels with each channel's own zero, for which there is no operator.
    fn padded_pixels(&mut self, key: &str, pad: [usize; 4]) -> Id {
        let [top, left, bottom, right] = pad;
        let (range, mut shape, mut from) = (self.quantization(PIXELS), self.network.input(), self.id(PIXELS));
        for (axis, before, behind) in [(2, left, right), (1, top, bottom)] {
            if before + behind == 0 {
                continue;
            }
            let mut parts = Vec::new();
            for (side, thick) in [("before", before), ("", 0), ("behind", behind)] {
                if side.is_empty() {
                    parts.push(from);
                } else if thick > 0 {
                    let edge = if axis == 2 {
                        Shape::new(shape.h, thick, shape.c)
                    } else {
                        Shape::new(thick, shape.w, shape.c)
                    };
                    let values: Vec<i8> =
                        self.network.pixel_zero.iter().copied().cycle().take(edge.len()).collect();
                    let name = format!("{key}/{side}_{axis}");
                    parts.push(self.out.int8_constant(&name, &dims(edge), range.scale, range.zero, &values));
                }
            }
            if axis == 2 {
                shape.w += before + behind;
            } else {
                shape.h += before + behind;
            }
            let to = self.between(format!("{key}/axis_{axis}"), shape, range);
            self.out.operator(Operator::Concatenation(axis), &parts, to);
            from = to;
        }
        from
    }

    /// Writes a convolution's weights and bias.
    fn parameters(&mut self, key: &str, shape: [usize; 4], axis: usize, of: &Channels) -> [Id; 2] {
        let weights = self.out.weights(&format!("weights_{key}"), &shape, axis, &of.scale, &of.weights);
        [weights, self.out.bias(&format!("bias_{key}"), &of.bias_scale, &of.bias)]
    }

    /// Writes `x·gain + offset` as a depthwise convolution.
    fn affine(&mut self, i: usize, a: &Affine) {
        let (x, from, to) = (self.id(a.x), self.quantization(a.x), self.quantization(a.y.tensor));
        let channels = Channels::affine(a, from.scale, to.scale);
        let [weights, bias] = self.parameters(&i.to_string(), [1, 1, 1, a.gain.len()], 3, &channels);
        let operator = |fused| Operator::DepthwiseConv2D(POINT, 1, fused);
        self.write(a.y, true, operator, &[x, weights, bias]);
    }

    fn conv(&mut self, i: usize, c: &Conv) {
        let (x_shape, from) = (self.tensor(c.x).shape, self.quantization(c.x));
        let y = c.y.expect("a valid convolution without a second output has a first one");
        let shape = self.tensor(y.tensor).shape;
        let window = Window { padding: Padding::Valid, stride: c.stride, dilation: c.dilation };
        let zeros_differ = c.x == PIXELS && self.network.pixel_zero.iter().any(|&z| z != from.zero);
        let (x, padding) = match padding(x_shape, shape, c.kernel, window, c.pad) {
            Some(padding) if !zeros_differ || c.pad == [0; 4] => (self.id(c.x), padding),
            _ if zeros_differ => (self.padded_pixels(&format!("padded_{i}"), c.pad), Padding::Valid),
            _ => (self.padded(&format!("padded_{i}"), c.x, c.pad, from.zero), Padding::Valid),
        };
        let window = Window { padding, ..window };
        let zeros: &[i8] = if zeros_differ { &self.network.pixel_zero } else { &[] };
        // Logits have scale 1 in the network.
        let unit = self.tensor(y.tensor).scale;
        let channels = Channels::conv(c, x_shape.c, from, unit, zeros);
        let depthwise = c.groups == x_shape.c && c.groups > 1;
        let [kh, kw] = c.kernel;
        let key = i.to_string();
        let [weights, bias] = if depthwise {
            self.parameters(&key, [1, kh, kw, shape.c], 3, &channels.channels_last())
        } else {
            self.parameters(&key, [shape.c, kh, kw, x_shape.c / c.groups], 0, &channels)
        };
        let operator = |fused| match depthwise {
            true => Operator::DepthwiseConv2D(window, shape.c / x_shape.c, fused),
            false => Operator::Conv2D(window, c.groups > 1, fused),
        };
        let y = if y.tensor == self.network.logits { full(y.tensor) } else { y };
        self.write(y, true, operator, &[x, weights, bias]);
    }

    /// Returns the logits as `[1, classes]`; a feature map keeps its shape.
    fn output(&mut self) -> Id {
        let (from, shape) = (self.id(self.network.logits), self.tensor(self.network.logits).shape);
        if shape.h * shape.w > 1 {
            return from;
        }
        let range = output(self.network, self.logits);
        let to = self.out.int8("output", &[1, shape.c], range.scale, range.zero);
        let flat = self.out.int32_constant("output/shape", &[2], &[1, shape.c]);
        self.out.operator(Operator::Reshape, &[from, flat], to);
        to
    }
}

/// Returns the full int8 range.
fn full(tensor: TensorId) -> Out {
    Out { tensor, lo: i8::MIN, hi: i8::MAX }
}

/// Returns the equivalent padding of TFLite, if there is one.
fn padding(x: Shape, y: Shape, kernel: [usize; 2], window: Window, pad: [usize; 4]) -> Option<Padding> {
    if pad == [0; 4] {
        return Some(Padding::Valid);
    }
    let same = |axis: usize, x: usize, y: usize| {
        let reach = (kernel[axis] - 1) * window.dilation[axis] + 1;
        let total = ((y - 1) * window.stride[axis] + reach).saturating_sub(x);
        // Anything beyond the last window does not matter.
        y == x.div_ceil(window.stride[axis]) && pad[axis] == total / 2
    };
    (same(0, x.h, y.h) && same(1, x.w, y.w)).then_some(Padding::Same)
}
