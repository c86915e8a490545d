//! Writes the network for Rockchip's toolkit: QDQ ONNX in which every value has a pair.
//!
//! The differences from [`super::qdq`], and their reasons:
//! - *No value between two layers lacks a pair.* The toolkit converts a convolution without a pair at its output
//!   to f16. So residuals and affine maps must be separate steps ([`crate::quantize::apart`]). The last layer is
//!   f16, because it is small and the logits matter most.
//! - *The pixels are already `p − 128`.* The toolkit folds a mean and a deviation into the conversion from u8, so
//!   that camera bytes are used unchanged; see [`Model::mean`].
//! - *Affine maps are depthwise 1×1 convolutions*, which the NPU supports natively: gain `±127·(|g|/127)` is
//!   exact.
//! - *The caller applies the last function (softmax)*, in f32.

mod kept;
pub mod toolkit;

use crate::onnx::tensor_proto::DataType;
use foldnet_archive::{Affine, Conv, Network, Out, PIXELS, Step, TensorId, oihw};

use super::onnx::{Builder, int, ints};
use crate::quantize::apart::AFFINE_WEIGHT;

pub use kept::weights_kept;

/// The output; no tensor of a network has a name with a slash.
const LOGITS: &str = "logits/f16";

/// The model, and the values that the toolkit needs besides.
pub struct Model {
    /// ONNX. Input `pixels`, f32 `[1, c, h, w]`: `p − mean[c]`. Output: the logits, `[1, classes, 1, 1]`.
    pub onnx: Vec<u8>,
    /// The values per channel that the toolkit subtracts from the pixels.
    pub mean: Vec<f32>,
    /// The tensors that can be compared with ours, in the order of the probe's outputs.
    pub tensors: Vec<TensorId>,
}

/// A step that the NPU cannot compute.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer}: NPUs have no operator for the step {kind}; run this network on the CPU")]
pub struct Unsupported {
    layer: String,
    kind: &'static str,
}

/// Writes the model of a network whose residuals and affine maps are separate steps; with `probe`, every tensor is
/// an output, to be compared.
pub fn model(network: &Network, probe: bool) -> Result<Model, Unsupported> {
    let zero: Vec<f32> = network.pixel_zero.iter().map(|&z| f32::from(z)).collect();
    let (lowest, highest) = zero.iter().fold((f32::MAX, f32::MIN), |(l, h), &z| (l.min(z), h.max(z)));
    // One scale for all channels: 1 if their zeros are equal, a little more if they differ.
    let input_scale = (255.0 + highest - lowest) / 255.0;
    let input_zero = if highest == lowest {
        network.pixel_zero[0]
    } else {
        (-128.0 - (-128.0 - highest) / input_scale).round_ties_even().clamp(-128.0, 127.0) as i8
    };
    let mut writer = Writer { network, onnx: Builder::default(), input: (input_scale, input_zero) };
    let shape = network.input();
    writer.onnx.input("pixels", &[1, shape.c, shape.h, shape.w]);
    writer.quantized("pixels", "pixels/pair", input_scale, input_zero);
    for (i, step) in network.steps.iter().enumerate() {
        writer.step(i, step)?;
    }
    writer.onnx.output(LOGITS, &[1, network.classes(), 1, 1]);
    let tensors: Vec<TensorId> = (0..network.tensors.len())
        .filter(|&t| t != PIXELS && t != network.logits)
        .filter(|&t| network.steps.iter().any(|s| s.outputs().contains(&t)))
        .collect();
    if probe {
        for &t in &tensors {
            let shape = network.tensors[t].shape;
            // The toolkit removes the pair of an output, which changes its value, so a copy becomes the output.
            let (from, copy) = (writer.name(t), format!("{}/copy", writer.name(t)));
            writer.onnx.node("MaxPool", &[&from], &copy, vec![ints("kernel_shape", &[1, 1])]);
            let to = format!("{from}/probe");
            writer.quantized(&copy, &to, network.tensors[t].scale, network.tensors[t].zero);
            writer.onnx.output(&to, &[1, shape.c, shape.h, shape.w]);
        }
    }
    Ok(Model { onnx: writer.onnx.finish(&[]), mean: zero.iter().map(|z| z + 128.0).collect(), tensors })
}

struct Writer<'a> {
    network: &'a Network,
    onnx: Builder,
    /// Scale and zero point of the pixels.
    input: (f32, i8),
}

impl Writer<'_> {
    fn name(&self, id: TensorId) -> String {
        if id == PIXELS { "pixels/pair".into() } else { self.network.tensors[id].name.clone() }
    }

    fn quantized(&mut self, from: &str, to: &str, scale: f32, zero: i8) {
        let s = self.onnx.floats(&format!("{to}/scale"), &[], &[scale]);
        let z = self.onnx.int8s(&format!("{to}/zero"), &[], &[zero]);
        let q = format!("{to}/q");
        self.onnx.node("QuantizeLinear", &[from, &s, &z], &q, vec![]);
        self.onnx.node("DequantizeLinear", &[&q, &s, &z], to, vec![]);
    }

    /// Adds a pair for a tensor of the network.
    fn pair(&mut self, from: &str, out: Out) {
        let tensor = &self.network.tensors[out.tensor];
        let (name, scale, zero) = (tensor.name.clone(), tensor.scale, tensor.zero);
        let mut from = from.to_owned();
        if out.lo > i8::MIN || out.hi < i8::MAX {
            let real = |q: i8| (f32::from(q) - f32::from(zero)) * scale;
            let lo = self.onnx.floats(&format!("{name}/lo"), &[], &[real(out.lo)]);
            let hi = self.onnx.floats(&format!("{name}/hi"), &[], &[real(out.hi)]);
            let clipped = format!("{name}/clip");
            self.onnx.node("Clip", &[&from, &lo, &hi], &clipped, vec![]);
            from = clipped;
        }
        self.quantized(&from, &name, scale, zero);
    }

    fn step(&mut self, i: usize, step: &Step) -> Result<(), Unsupported> {
        match step {
            Step::Conv(c) if c.skip.is_some() || c.affine.is_some() => {
                return Err(Unsupported { layer: c.name.clone(), kind: "conv with more than its own sum" });
            }
            Step::Conv(c) => self.conv(i, c),
            Step::MaxPool(p) => {
                let (mut x, v) = (self.name(p.x), format!("v_{i}"));
                let input = &self.network.tensors[p.x];
                let (scale, zero, mut pad) = (input.scale, input.zero, p.pad);
                // Padding never wins on the NPU. If it counts as zero and values may be smaller, as in Keras's V2
                // whose stem has no ReLU, zeros are added first.
                if p.floor_at_zero && zero > i8::MIN && pad != [0; 4] {
                    let around = format!("around_{i}");
                    self.onnx.pad(&x, pad, &around);
                    x = format!("{around}/pair");
                    self.quantized(&around, &x, scale, zero);
                    pad = [0; 4];
                }
                let window =
                    vec![ints("kernel_shape", &p.kernel), ints("strides", &p.stride), ints("pads", &pad)];
                self.onnx.node("MaxPool", &[&x], &v, window);
                self.pair(&v, Out { tensor: p.y, lo: i8::MIN, hi: i8::MAX });
            }
            Step::AvgPool(p) => {
                let (x, v) = (self.name(p.x), format!("v_{i}"));
                self.onnx.node("GlobalAveragePool", &[&x], &v, vec![]);
                self.pair(&v, p.y);
            }
            Step::Affine(a) => {
                let v = self.affine(i, a);
                self.pair(&v, a.y);
            }
            Step::Add(a) => {
                let (x, y, v) = (self.name(a.a.0), self.name(a.b.0), format!("v_{i}"));
                self.onnx.node("Add", &[&x, &y], &v, vec![]);
                self.pair(&v, a.y);
            }
            _ => {
                return Err(Unsupported { layer: step.name().into(), kind: step.kind() });
            }
        }
        Ok(())
    }

    /// Writes weights (OIHW), their scale per channel, and the bias at scale `x_scale` · that.
    fn weights(
        &mut self,
        key: &str,
        dims: &[usize],
        q: &[i8],
        scale: &[f32],
        bias: &[f32],
        x_scale: f32,
    ) -> [String; 2] {
        let channels = scale.len();
        let weights = self.onnx.int8s(&format!("weights_{key}"), dims, q);
        let s = self.onnx.floats(&format!("weight_scale_{key}"), &[channels], scale);
        let z = self.onnx.int8s(&format!("weight_zero_{key}"), &[channels], &vec![0; channels]);
        let w = format!("w_{key}");
        self.onnx.node("DequantizeLinear", &[&weights, &s, &z], &w, vec![int("axis", 0)]);
        let bias_scale: Vec<f32> = scale.iter().map(|s| s * x_scale).collect();
        let steps = bias
            .iter()
            .zip(&bias_scale)
            .map(|(b, s)| (f64::from(*b) / f64::from(*s)).round_ties_even() as i32);
        let raw = steps.flat_map(i32::to_le_bytes).collect();
        let q = self.onnx.tensor(&format!("bias_{key}"), &[channels], DataType::Int32, raw);
        let s = self.onnx.floats(&format!("bias_scale_{key}"), &[channels], &bias_scale);
        let z = self.onnx.tensor(
            &format!("bias_zero_{key}"),
            &[channels],
            DataType::Int32,
            vec![0; 4 * channels],
        );
        let b = format!("b_{key}");
        self.onnx.node("DequantizeLinear", &[&q, &s, &z], &b, vec![int("axis", 0)]);
        [w, b]
    }

    /// Writes `x·gain + offset` as a depthwise convolution.
    fn affine(&mut self, i: usize, a: &Affine) -> String {
        let (x_scale, to) = (self.network.tensors[a.x].scale, self.network.tensors[a.y.tensor].scale);
        let c = a.gain.len();
        let gain: Vec<f32> = a.gain.iter().map(|g| g * to / x_scale).collect();
        let bias: Vec<f32> = a.offset.iter().map(|o| o * to).collect();
        let weights = gain.iter().zip(&bias).map(|(&g, &b)| affine_weight(g, b, x_scale));
        let (q, scale): (Vec<i8>, Vec<f32>) = weights.unzip();
        let key = format!("affine_{i}");
        let [w, b] = self.weights(&key, &[c, 1, 1, 1], &q, &scale, &bias, x_scale);
        let (x, v) = (self.name(a.x), format!("v_{i}"));
        let attributes = vec![ints("kernel_shape", &[1, 1]), int("group", c as i64)];
        self.onnx.node("Conv", &[&x, &w, &b], &v, attributes);
        v
    }

    fn conv(&mut self, i: usize, c: &Conv) {
        let channels = c.bias.len();
        let per_group = self.network.tensors[c.x].shape.c / c.groups;
        let [kh, kw] = c.kernel;
        let oihw = oihw(&c.weights, c.kernel, per_group);
        let x_unit = if c.x == PIXELS { 1.0 } else { self.network.tensors[c.x].scale };
        let x_scale = if c.x == PIXELS { self.input.0 } else { x_unit };
        let bias: Vec<f32> =
            c.bias.iter().zip(&c.weight_scale).map(|(&b, s)| b as f32 * s * x_unit).collect();
        let [w, b] = self.weights(
            &i.to_string(),
            &[channels, per_group, kh, kw],
            &oihw,
            &c.weight_scale,
            &bias,
            x_scale,
        );
        let logits = is_logits(self.network, c);
        let (x, v) = (self.name(c.x), if logits { LOGITS.into() } else { format!("v_{i}") });
        let attributes = vec![
            ints("kernel_shape", &c.kernel),
            ints("strides", &c.stride),
            ints("dilations", &c.dilation),
            ints("pads", &c.pad),
            int("group", c.groups as i64),
        ];
        self.onnx.node("Conv", &[&x, &w, &b], &v, attributes);
        if logits {
            return;
        }
        if let Some(y) = c.y {
            self.pair(&v, y);
        }
    }
}

fn is_logits(network: &Network, c: &Conv) -> bool {
    c.y.is_some_and(|y| y.tensor == network.logits)
}

/// Returns a depthwise weight with this gain, and its scale, at which the bias is an int32: if the gain is nearly
/// zero, the bias determines the scale.
fn affine_weight(gain: f32, bias: f32, x_scale: f32) -> (i8, f32) {
    let least = (bias.abs() / x_scale / 1e9).max(f32::MIN_POSITIVE);
    let scale = (gain.abs() / f32::from(AFFINE_WEIGHT)).max(least);
    ((gain / scale).round() as i8, scale)
}

#[cfg(test)]
mod tests {
    use crate::onnx as pb;
    use foldnet_archive::MaxPool;
    use prost::Message;

    use super::*;

    #[test]
    fn a_channel_without_gain_keeps_its_bias() {
        let x_scale = 0.05;
        for (gain, bias) in [(0.7, 1.5), (-0.7, 1.5), (0.0, 1.5), (0.0, 0.0), (1e-30, -3.0), (-2e-9, 40.0)] {
            let (q, scale) = affine_weight(gain, bias, x_scale);
            let steps = f64::from(bias) / f64::from(scale * x_scale);
            assert!(steps.abs() < f64::from(i32::MAX), "{gain} {bias}: {steps}");
            assert!((f32::from(q) * scale - gain).abs() <= gain.abs() * 1e-6 + scale, "{gain} {bias}: {q}");
        }
        assert_eq!([affine_weight(0.7, 0.0, 1.0).0, affine_weight(-0.3, 0.0, 1.0).0], [127, -127]);
    }

    #[test]
    fn padding_that_may_win_is_put_around_the_values() {
        let mut network = foldnet_archive::testing::every_step();
        let mut steps = network.steps.iter();
        let pool = steps.find_map(|s| if let Step::MaxPool(p) = s { Some(p.clone()) } else { None });
        let pool = pool.expect("there is one");
        let (x, pad) = (pool.x, pool.pad);
        let step = |floor_at_zero: bool, pad| MaxPool { floor_at_zero, pad, ..pool.clone() };
        let cases = [
            (step(true, pad), -3, vec!["Pad", "QuantizeLinear", "DequantizeLinear", "MaxPool"]),
            (step(true, pad), i8::MIN, vec!["MaxPool"]),
            (step(false, pad), -3, vec!["MaxPool"]),
            (step(true, [0; 4]), -3, vec!["MaxPool"]),
        ];
        for (step, zero, expected) in cases {
            network.tensors[x].zero = zero;
            let mut writer = Writer { network: &network, onnx: Builder::default(), input: (1.0, 0) };
            writer.step(1, &Step::MaxPool(step)).unwrap();
            let model = pb::ModelProto::decode(&*writer.onnx.finish(&[])).unwrap();
            let kinds: Vec<String> = model.graph.unwrap().node.into_iter().map(|n| n.op_type).collect();
            assert_eq!(kinds[..expected.len()], expected, "the rest is the result's pair");
            assert_eq!(kinds.len(), expected.len() + 2);
        }
    }
}
