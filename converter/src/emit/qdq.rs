//! The network as ONNX in QDQ form, opset 13.
//!
//! Every int8 tensor is a QuantizeLinear/DequantizeLinear pair. Weights are int8 initializers, followed by a
//! DequantizeLinear per output channel (axis 0); biases are int32 initializers at scale `s_x·s_w[c]`. A fused step
//! has no pair inside, for example between a convolution and the addition after it. An engine that keeps f32 in
//! between therefore rounds as often as our kernels.
//!
//! Input: `image`, f32 `[1, c, h, w]`, RGB, 0…255. The subtraction of the preimage of zero is a node of the graph,
//! so that padding has the same meaning as in our kernels. Output: `output`, with softmax or sigmoid applied if
//! the network has one.

use crate::onnx::tensor_proto::DataType;
use foldnet_archive::{Activation, Conv, Network, Out, PIXELS, Step, Sum, Tensor, TensorId, oihw};

use super::onnx::{Builder, int, ints};

/// Returns the file's bytes.
pub fn model(network: &Network, labels: &[String]) -> Vec<u8> {
    let mut writer = Writer { network, onnx: Builder::default() };
    writer.input();
    for (i, step) in network.steps.iter().enumerate() {
        writer.step(i, step);
    }
    writer.output();
    writer.onnx.finish(labels)
}

struct Writer<'a> {
    network: &'a Network,
    onnx: Builder,
}

impl Writer<'_> {
    fn name(&self, id: TensorId) -> String {
        self.network.tensors[id].name.clone()
    }

    /// Adds a pair for a tensor from the value `from`; the result has the tensor's name.
    fn pair(&mut self, from: &str, out: Out) {
        let tensor = &self.network.tensors[out.tensor];
        let name = tensor.name.clone();
        let (scale, zero) = (tensor.scale, tensor.zero);
        let mut from = from.to_owned();
        // The range is narrower than int8's, and not because of a ReLU's zero point.
        if out.lo > i8::MIN || out.hi < i8::MAX {
            let real = |q: i8| (f32::from(q) - f32::from(zero)) * scale;
            let lo = self.onnx.floats(&format!("{name}/lo"), &[], &[real(out.lo)]);
            let hi = self.onnx.floats(&format!("{name}/hi"), &[], &[real(out.hi)]);
            let clipped = format!("{name}/clip");
            self.onnx.node("Clip", &[&from, &lo, &hi], &clipped, vec![]);
            from = clipped;
        }
        let s = self.onnx.floats(&format!("{name}/scale"), &[], &[scale]);
        let z = self.onnx.int8s(&format!("{name}/zero"), &[], &[zero]);
        let q = format!("{name}/q");
        self.onnx.node("QuantizeLinear", &[&from, &s, &z], &q, vec![]);
        self.onnx.node("DequantizeLinear", &[&q, &s, &z], &name, vec![]);
    }

    fn input(&mut self) {
        let shape = self.network.input();
        self.onnx.input("image", &[1, shape.c, shape.h, shape.w]);
        // The pixels minus the preimage of zero are −255…255 in steps of one. They are uint8 with the preimage as
        // zero point if it is the same for all channels; otherwise they stay f32, exactly.
        let zero: Vec<f32> = self.network.pixel_zero.iter().map(|&z| f32::from(z) + 128.0).collect();
        let zero = self.onnx.floats("pixels/preimage", &[1, shape.c, 1, 1], &zero);
        self.onnx.node("Sub", &["image", &zero], "pixels", vec![]);
    }

    fn output(&mut self) {
        let logits = self.name(self.network.logits);
        let classes = self.network.classes();
        let flat = self.flatten(&logits, "logits/flat");
        match self.network.activation {
            Activation::None => self.onnx.node("Identity", &[&flat], "output", vec![]),
            Activation::Softmax => self.onnx.node("Softmax", &[&flat], "output", vec![int("axis", 1)]),
            Activation::Sigmoid => self.onnx.node("Sigmoid", &[&flat], "output", vec![]),
        }
        self.onnx.output("output", &[1, classes]);
    }

    fn flatten(&mut self, from: &str, to: &str) -> String {
        self.onnx.node("Flatten", &[from], to, vec![int("axis", 1)]);
        to.into()
    }

    fn step(&mut self, i: usize, step: &Step) {
        match step {
            Step::Conv(c) => self.conv(i, c),
            Step::MaxPool(p) => {
                let (x, y) = (self.name(p.x), self.name(p.y));
                let window = |pads: &[usize; 4]| {
                    vec![ints("kernel_shape", &p.kernel), ints("strides", &p.stride), ints("pads", pads)]
                };
                if p.floor_at_zero && p.pad != [0; 4] {
                    let padded = format!("padded_{i}");
                    self.onnx.pad(&x, p.pad, &padded);
                    self.onnx.node("MaxPool", &[&padded], &y, window(&[0; 4]));
                } else {
                    self.onnx.node("MaxPool", &[&x], &y, window(&p.pad));
                }
            }
            Step::AvgPool(p) => {
                let (x, v) = (self.name(p.x), format!("v_{i}"));
                self.onnx.node("GlobalAveragePool", &[&x], &v, vec![]);
                self.pair(&v, p.y);
            }
            Step::Affine(a) => {
                // The step's gain converts from input units to output units.
                let (from, to) = (self.network.tensors[a.x].scale, self.network.tensors[a.y.tensor].scale);
                let gain: Vec<f32> = a.gain.iter().map(|g| g * to / from).collect();
                let offset: Vec<f32> = a.offset.iter().map(|o| o * to).collect();
                let x = self.name(a.x);
                let v = self.affine(i, &x, &gain, &offset);
                self.pair(&v, a.y);
            }
            Step::Add(a) => {
                let (x, y, v) = (self.name(a.a.0), self.name(a.b.0), format!("v_{i}"));
                self.onnx.node("Add", &[&x, &y], &v, vec![]);
                self.pair(&v, a.y);
            }
            Step::Sum(s) => self.sum(i, s),
            Step::Table(t) => self.table(i, t.x, t.y, &t.table[..]),
            Step::ChannelTable(t) => self.table(i, t.x, t.y, t.tables.as_flattened()),
            Step::Scale(s) => {
                let (x, gate, v) = (self.name(s.x), self.name(s.gate), format!("v_{i}"));
                self.onnx.node("Mul", &[&x, &gate], &v, vec![]);
                self.pair(&v, s.y);
            }
            Step::Dequantize(d) => {
                let (x, y) = (self.name(d.x), self.name(d.y));
                self.onnx.node("Transpose", &[&x], &y, vec![ints("perm", &[0, 2, 3, 1])]);
            }
        }
    }

    /// See [`foldnet_archive::Sum`]; the difference between the terms' zeros and their tensors' zero points is a
    /// constant.
    fn sum(&mut self, i: usize, s: &Sum) {
        let (unit, mut constant, mut all) = (self.scale(s.y.tensor), 0.0, String::new());
        for (k, term) in s.terms.iter().enumerate() {
            let zero = f32::from(self.network.tensors[term.x].zero);
            constant += (zero - term.zero) * term.multiplier * unit;
            let factor = term.multiplier * unit / self.scale(term.x);
            let x = self.times(&format!("part_{i}_{k}"), term.x, factor);
            all = if k == 0 {
                x
            } else {
                let sum = format!("sum_{i}_{k}");
                self.onnx.node("Add", &[&all, &x], &sum, vec![]);
                sum
            };
        }
        let constant = self.onnx.floats(&format!("constant_{i}"), &[], &[constant]);
        let v = format!("v_{i}");
        self.onnx.node("Add", &[&all, &constant], &v, vec![]);
        self.pair(&v, s.y);
    }

    fn scale(&self, id: TensorId) -> f32 {
        self.network.tensors[id].scale
    }

    /// Multiplies a tensor by a factor, which is 1 except for rounding, or if a part is subtracted.
    fn times(&mut self, key: &str, id: TensorId, factor: f32) -> String {
        let x = self.name(id);
        if (factor - 1.0).abs() < 1e-5 {
            return x;
        }
        let factor = self.onnx.floats(&format!("{key}/factor"), &[], &[factor]);
        self.onnx.node("Mul", &[&x, &factor], key, vec![]);
        key.into()
    }

    /// The int8 values look up their results in one table or in each channel's, with the same bits as the step.
    fn table(&mut self, i: usize, from: TensorId, to: TensorId, table: &[i8]) {
        let (x, y) = (self.name(from), self.name(to));
        let mut constants = |id: TensorId, at: &str| {
            let Tensor { scale, zero, .. } = self.network.tensors[id];
            let s = self.onnx.floats(&format!("table_{i}/{at}_scale"), &[], &[scale]);
            (s, self.onnx.int8s(&format!("table_{i}/{at}_zero"), &[], &[zero]))
        };
        let (x_scale, x_zero) = constants(from, "x");
        let (y_scale, y_zero) = constants(to, "y");
        // The position of the value 0 in each channel's table, or in the only one.
        let middles: Vec<u8> =
            (0..table.len() / 256).flat_map(|c| (256 * c as i32 + 128).to_le_bytes()).collect();
        let dims = [1, table.len() / 256, 1, 1];
        let dims = if table.len() == 256 { &[][..] } else { &dims };
        let middle = self.onnx.tensor(&format!("table_{i}/middle"), dims, DataType::Int32, middles);
        let values = self.onnx.int8s(&format!("table_{i}/values"), &[table.len()], table);
        let stage = |name: &str| format!("table_{i}/{name}");
        let (q, wide, index, found) = (stage("q"), stage("wide"), stage("index"), stage("found"));
        self.onnx.node("QuantizeLinear", &[&x, &x_scale, &x_zero], &q, vec![]);
        self.onnx.node("Cast", &[&q], &wide, vec![int("to", DataType::Int32 as i64)]);
        self.onnx.node("Add", &[&wide, &middle], &index, vec![]);
        self.onnx.node("Gather", &[&values, &index], &found, vec![int("axis", 0)]);
        self.onnx.node("DequantizeLinear", &[&found, &y_scale, &y_zero], &y, vec![]);
    }

    fn affine(&mut self, i: usize, x: &str, gain: &[f32], offset: &[f32]) -> String {
        let c = gain.len();
        let gain = self.onnx.floats(&format!("gain_{i}"), &[1, c, 1, 1], gain);
        let offset = self.onnx.floats(&format!("offset_{i}"), &[1, c, 1, 1], offset);
        let (scaled, v) = (format!("scaled_{i}"), format!("affine_{i}"));
        self.onnx.node("Mul", &[x, &gain], &scaled, vec![]);
        self.onnx.node("Add", &[&scaled, &offset], &v, vec![]);
        v
    }

    fn conv(&mut self, i: usize, c: &Conv) {
        let channels = c.bias.len();
        let x_scale = if c.x == PIXELS { 1.0 } else { self.network.tensors[c.x].scale };
        let per_group = self.network.tensors[c.x].shape.c / c.groups;
        let [kh, kw] = c.kernel;
        let oihw = oihw(&c.weights, c.kernel, per_group);
        let weights = self.onnx.int8s(&format!("weights_{i}"), &[channels, per_group, kh, kw], &oihw);
        let scale = self.onnx.floats(&format!("weight_scale_{i}"), &[channels], &c.weight_scale);
        let zeros = self.onnx.int8s(&format!("weight_zero_{i}"), &[channels], &vec![0; channels]);
        let w = format!("w_{i}");
        self.onnx.node("DequantizeLinear", &[&weights, &scale, &zeros], &w, vec![int("axis", 0)]);
        let raw = c.bias.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bias = self.onnx.tensor(&format!("bias_{i}"), &[channels], DataType::Int32, raw);
        let bias_scale: Vec<f32> = c.weight_scale.iter().map(|s| s * x_scale).collect();
        let bias_scale = self.onnx.floats(&format!("bias_scale_{i}"), &[channels], &bias_scale);
        let zeros = vec![0; 4 * channels];
        let bias_zero = self.onnx.tensor(&format!("bias_zero_{i}"), &[channels], DataType::Int32, zeros);
        let b = format!("b_{i}");
        self.onnx.node("DequantizeLinear", &[&bias, &bias_scale, &bias_zero], &b, vec![int("axis", 0)]);
        let x = self.name(c.x);
        let logits = c.y.is_some_and(|y| y.tensor == self.network.logits);
        let mut v = if logits { self.name(self.network.logits) } else { format!("v_{i}") };
        self.onnx.node(
            "Conv",
            &[&x, &w, &b],
            &v,
            vec![
                ints("kernel_shape", &c.kernel),
                ints("strides", &c.stride),
                ints("dilations", &c.dilation),
                ints("pads", &c.pad),
                int("group", c.groups as i64),
            ],
        );
        if logits {
            return;
        }
        if let Some((skip, by)) = c.skip {
            let unit = c.y.or(c.affine.as_ref().map(|a| a.out)).map_or(1.0, |o| self.scale(o.tensor));
            let factor = by * unit / self.scale(skip);
            let (skip, sum) = (self.times(&format!("skip_{i}"), skip, factor), format!("sum_{i}"));
            self.onnx.node("Add", &[&v, &skip], &sum, vec![]);
            v = sum;
        }
        if let Some(y) = c.y {
            self.pair(&v, y);
        }
        if let Some(second) = &c.affine {
            // In real units, `v` is `unit` times the step's.
            let to = self.network.tensors[second.out.tensor].scale;
            let unit = c.y.map_or(to, |y| self.network.tensors[y.tensor].scale);
            let gain: Vec<f32> = second.gain.iter().map(|g| g * to / unit).collect();
            let offset: Vec<f32> = second.offset.iter().map(|o| o * to).collect();
            let v = self.affine(i, &v, &gain, &offset);
            self.pair(&v, second.out);
        }
    }
}
