//! Random small networks are written, read back and run: every operator gives the same result as our kernels.

use foldnet::Session;
use foldnet_archive::testing::{every_step, every_step_with_a_sum, every_step_without_a_dense_layer};
use foldnet_archive::{Activation, Add, AvgPool, Dequantize, OutputKind, Scale};
use foldnet_kernels::dispatch;
use proptest::prelude::*;

use super::reader::Model;
use super::*;
use crate::image::Pixels;
use crate::quantize::apart::{Ranges, apart};
use crate::quantize::score::Measure;

/// The movement of a window.
#[derive(Clone, Copy)]
struct Moves {
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 4],
}

/// One value at a time.
const POINTWISE: Moves = Moves { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pad: [0; 4] };

/// A source of random numbers, and a network under construction.
struct Random {
    state: u64,
    network: Network,
}

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % n
    }

    fn between(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * self.below(10_000) as f32 / 10_000.0
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn tensor(&mut self, shape: Shape) -> TensorId {
        let tensors = self.network.tensors.len();
        let (scale, zero) = (self.between(0.01, 0.1), self.below(256) as i32 - 128);
        let zero = if self.one_in(2) { i8::MIN } else { zero as i8 };
        self.network.tensors.push(Tensor { name: format!("t{tensors}"), shape, scale, zero });
        tensors
    }

    fn out(&mut self, shape: Shape) -> Out {
        let tensor = self.tensor(shape);
        let zero = self.network.tensors[tensor].zero;
        let (lo, hi) = match self.below(4) {
            0 | 1 => (i8::MIN, i8::MAX),
            2 => (zero, i8::MAX),
            _ => (zero.min(20), zero.saturating_add(90).max(21)),
        };
        Out { tensor, lo, hi }
    }

    fn shape(&self, id: TensorId) -> Shape {
        self.network.tensors[id].shape
    }

    fn ratio(&self, from: TensorId, to: TensorId) -> f32 {
        self.network.tensors[from].scale / self.network.tensors[to].scale
    }

    /// Returns a window that fits the input, and the rows and columns of the output.
    fn window(&mut self, x: Shape, dilate: bool) -> (Moves, [usize; 2]) {
        let pick = |r: &mut Self, n: usize| [0; 2].map(|_| 1 + r.below(n));
        let dilation = if dilate && self.one_in(3) { pick(self, 2) } else { [1, 1] };
        let (kernel, stride) = (pick(self, 3), pick(self, 2));
        let reach = [0, 1].map(|a| (kernel[a] - 1) * dilation[a] + 1);
        let size = [x.h, x.w];
        let mut pad = [0; 4];
        for axis in 0..2 {
            // Either TFLite's own padding or any other.
            let total = ((size[axis].div_ceil(stride[axis]) - 1) * stride[axis] + reach[axis])
                .saturating_sub(size[axis]);
            let any = [self.below(reach[axis]), self.below(reach[axis])];
            let own = [total / 2, total - total / 2];
            [pad[axis], pad[axis + 2]] = if self.one_in(2) { own } else { any };
            if size[axis] + pad[axis] + pad[axis + 2] < reach[axis] {
                pad[axis] = reach[axis] - 1;
            }
        }
        let out = [0, 1].map(|a| (size[a] + pad[a] + pad[a + 2] - reach[a]) / stride[a] + 1);
        (Moves { kernel, stride, dilation, pad }, out)
    }

    fn conv(&mut self, x: TensorId, skip: Option<TensorId>) -> TensorId {
        let from = self.shape(x);
        let (mut moves, [h, w]) = self.window(from, true);
        let mut groups = match self.below(3) {
            _ if x == PIXELS => 1,
            0 => from.c,
            1 if from.c.is_multiple_of(2) => 2,
            _ => 1,
        };
        let times = 1 + self.below(if groups == 1 { 8 } else { 16_usize.div_ceil(groups) });
        let mut shape = Shape::new(h, w, groups * times);
        if skip.is_some() {
            (moves, shape, groups) = (POINTWISE, from, 1);
        }
        let y = self.out(shape);
        self.conv_to(x, y, moves, groups, skip);
        y.tensor
    }

    fn conv_to(&mut self, x: TensorId, y: Out, moves: Moves, groups: usize, skip: Option<TensorId>) {
        let Moves { kernel, stride, dilation, pad } = moves;
        let (from, to) = (self.shape(x), self.shape(y.tensor));
        let depth = kernel[0] * kernel[1] * from.c / groups;
        let weights = (0..depth * to.c).map(|_| (self.below(255) as i32 - 127) as i8).collect();
        let bias = (0..to.c).map(|_| self.below(20_001) as i32 - 10_000).collect();
        let least = 0.3 / (depth as f32).sqrt() / 127.0;
        let multiplier: Vec<f32> = (0..to.c).map(|_| self.between(least, 3.0 * least)).collect();
        let skip = skip.map(|s| (s, self.ratio(s, y.tensor)));
        self.network.steps.push(Step::Conv(Box::new(Conv {
            name: format!("conv{x}"),
            x,
            weights,
            bias,
            weight_scale: multiplier.clone(),
            multiplier,
            kernel,
            stride,
            dilation,
            pad,
            groups,
            skip,
            y: Some(y),
            affine: None,
        })));
    }

    fn pool(&mut self, x: TensorId) -> TensorId {
        let (Moves { kernel, stride, pad, .. }, [h, w]) = self.window(self.shape(x), false);
        let (shape, Tensor { scale, zero, .. }) = (self.shape(x), self.network.tensors[x].clone());
        let y = self.tensor(Shape::new(h, w, shape.c));
        (self.network.tensors[y].scale, self.network.tensors[y].zero) = (scale, zero);
        let floor_at_zero = self.one_in(2);
        let name = format!("pool{x}");
        self.network.steps.push(Step::MaxPool(MaxPool { name, x, y, kernel, stride, pad, floor_at_zero }));
        y
    }

    fn affine(&mut self, x: TensorId) -> TensorId {
        let y = self.out(self.shape(x));
        let c = self.shape(x).c;
        let gain = (0..c).map(|_| if self.one_in(8) { 0.0 } else { self.between(-2.0, 2.0) }).collect();
        let offset = (0..c).map(|_| self.between(-50.0, 50.0)).collect();
        self.network.steps.push(Step::Affine(Affine { name: format!("affine{x}"), x, y, gain, offset }));
        y.tensor
    }

    fn mean(&mut self, x: TensorId) -> TensorId {
        let (from, y) = (self.shape(x), self.out(Shape::new(1, 1, self.shape(x).c)));
        let multiplier = self.ratio(x, y.tensor) / from.pixels() as f32;
        self.network.steps.push(Step::AvgPool(AvgPool { name: format!("mean{x}"), x, y, multiplier }));
        y.tensor
    }

    /// Adds squeeze, a curve, excite.
    fn excite(&mut self, x: TensorId) -> TensorId {
        let mean = self.mean(x);
        let gate = self.tensor(self.shape(mean));
        let sigmoid = self.one_in(2);
        let (own, other) =
            if sigmoid { ((1.0 / 256.0, -128), (0.006, -100)) } else { ((1.0 / 128.0, 0), (0.01, 3)) };
        let (scale, zero) = if self.one_in(2) { own } else { other };
        (self.network.tensors[gate].scale, self.network.tensors[gate].zero) = (scale, zero);
        let Tensor { scale: s, zero: z, .. } = self.network.tensors[mean];
        let table = std::array::from_fn(|i| {
            let x = (i as f64 - 128.0 - f64::from(z)) * f64::from(s);
            let y = if sigmoid { 1.0 / (1.0 + libm::exp(-x)) } else { libm::tanh(x) };
            ((y / f64::from(scale)).round_ties_even() + f64::from(zero)).clamp(-128.0, 127.0) as i8
        });
        let name = format!("curve{x}");
        self.network.steps.push(Step::Table(Table { name, x: mean, y: gate, table: Box::new(table) }));
        let y = self.out(self.shape(x));
        let (a, b) = (&self.network.tensors[x], &self.network.tensors[gate]);
        let multiplier = a.scale * b.scale / self.network.tensors[y.tensor].scale;
        self.network.steps.push(Step::Scale(Scale { name: format!("excite{x}"), x, gate, multiplier, y }));
        y.tensor
    }
}

/// Returns a network with a valid sequence of steps, chosen by the seed.
fn random(seed: u64) -> Network {
    let pixels = Tensor { name: "pixels".into(), shape: Shape::new(1, 1, 1), scale: 1.0, zero: 0 };
    let network = Network {
        tensors: vec![pixels],
        pixel_zero: vec![],
        steps: vec![],
        logits: 0,
        activation: Activation::None,
    };
    let mut r = Random { state: seed, network };
    let shape = Shape::new(2 + r.below(9), 2 + r.below(9), 1 + r.below(4));
    r.network.tensors[PIXELS].shape = shape;
    let (zero, differ) = (r.below(256), r.one_in(2));
    r.network.pixel_zero =
        (0..shape.c).map(|_| ((if differ { r.below(256) } else { zero }) as i32 - 128) as i8).collect();
    let mut x = r.conv(PIXELS, None);
    for _ in 0..1 + r.below(5) {
        x = match r.below(7) {
            0 | 1 => r.conv(x, None),
            2 => r.pool(x),
            3 => r.affine(x),
            4 => r.excite(x),
            5 => r.conv(x, Some(x)),
            _ => {
                let (other, y) = (r.affine(x), r.out(r.shape(x)));
                let (a, b) = ((x, r.ratio(x, y.tensor)), (other, r.ratio(other, y.tensor)));
                r.network.steps.push(Step::Add(Add { name: format!("add{x}"), a, b, y }));
                y.tensor
            }
        };
    }
    let name = "logits".to_owned();
    let shape = if r.one_in(3) { r.shape(x) } else { Shape::new(1, 1, 2 + r.below(4)) };
    if shape == r.shape(x) {
        r.network.tensors.push(Tensor { name, shape, scale: 1.0, zero: 0 });
        r.network.logits = r.network.tensors.len() - 1;
        let y = r.network.logits;
        r.network.steps.push(Step::Dequantize(Dequantize { name: "out".into(), x, y }));
    } else {
        let mean = r.mean(x);
        r.network.tensors.push(Tensor { name, shape, scale: 1.0, zero: 0 });
        r.network.logits = r.network.tensors.len() - 1;
        let y = full(r.network.logits);
        r.conv_to(mean, y, POINTWISE, 1, None);
    }
    r.network
}

fn image(network: &Network, seed: u64) -> Pixels {
    let mut state = seed | 1;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let values: Vec<u8> = (0..network.input().len()).map(next).collect();
    Pixels::new(network.input(), values).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_file_computes_what_the_network_does(seed: u64) {
        let network = random(seed);
        network.validate().unwrap();
        let image = image(&network, seed);
        let some = std::slice::from_ref(&image);
        let parts = apart(&network, &Ranges::measure(&network, some).unwrap());
        let logits = range(&parts, some, Measure::new(OutputKind::Numbers)).unwrap();
        let model = Model::read(&model(&parts, logits).unwrap());
        prop_assert_eq!(model.version, 3);
        let mut session = Session::new(&parts, dispatch::best(), 1).unwrap();
        let mut ours = vec![None; parts.tensors.len()];
        let answer = session.run_traced(image.values(), |step, outputs| {
            for (id, values) in parts.steps[step].outputs().into_iter().zip(outputs) {
                ours[id] = Some(values);
            }
        });
        let pixels: Vec<i8> = image.values().iter().map(|&p| (i16::from(p) - 128) as i8).collect();
        let mut seen = 0;
        let output = model.run(&pixels, |tensor, values| {
            let Some(id) = parts.tensors.iter().position(|t| t.name == tensor.name) else { return };
            let (Some(expected), true) = (&ours[id], id != PIXELS) else { return };
            seen += 1;
            let (scale, zero) = (parts.tensors[id].scale, parts.tensors[id].zero);
            assert_eq!((&tensor.scale[..], &tensor.zero[..]), (&[scale][..], &[i64::from(zero)][..]));
            // A curve is rounded a second time, from TFLite's own scale.
            let curve = parts.steps.iter().any(|s| matches!(s, Step::Table(t) if t.y == id));
            let far = |(&a, &b): (&i8, &i8)| a.abs_diff(b) > 1 + u8::from(curve);
            let wrong = values.iter().zip(expected).position(far);
            assert!(wrong.is_none(), "{} at {wrong:?}: {values:?}, not {expected:?}", tensor.name);
            values.clone_from(expected);
        });
        prop_assert_eq!(seen, ours.iter().flatten().count());
        let out = super::output(&parts, logits);
        prop_assert_eq!(output.len(), answer.len());
        for (&q, &real) in output.iter().zip(answer) {
            prop_assert!((out.real(q) - real).abs() <= 0.51 * out.scale + 1e-4 * real.abs(), "{real}, not {q}");
        }
    }
}

/// Returns the network with its steps apart, with the ranges of one grey image.
fn apart_of(network: &Network) -> Network {
    let grey = Pixels::new(network.input(), vec![100; network.input().len()]).unwrap();
    apart(network, &Ranges::measure(network, &[grey]).unwrap())
}

#[test]
fn a_step_that_tflite_has_not_is_named_with_what_to_do() {
    let logits = Quantization { scale: 1.0, zero: 0 };
    let said = |network: &Network| model(&apart_of(network), logits).err().unwrap().to_string();
    let sum = said(&every_step_with_a_sum());
    assert!(sum.contains("layer rest") && sum.contains("step sum") && sum.contains("--max-drop"), "{sum}");
    let table = said(&every_step_without_a_dense_layer());
    assert!(table.contains("layer sigmoid") && table.contains("neither sigmoid nor tanh"), "{table}");
    let whole = model(&every_step(), logits).err().unwrap().to_string();
    assert!(whole.contains("layer b1") && whole.contains("apart"), "{whole}");
}

#[test]
fn names_and_the_value_of_pixels_are_read_back() {
    let network = apart_of(&every_step());
    let range = Quantization { scale: 0.1, zero: 0 };
    let classes = network.tensors[network.logits].shape.len();
    let labels: Vec<String> = (0..classes).map(|i| format!("class é {i}")).collect();
    let plain = model(&network, range).unwrap();
    let described = described(&network, range, &labels).unwrap();
    assert_eq!(described, super::described(&network, range, &labels).unwrap());
    let imported = crate::import::read(&described, std::path::Path::new("")).unwrap();
    assert_eq!(imported.metadata["labels"].lines().collect::<Vec<_>>(), labels);
    // Other readers see the same model.
    let (with, without) = (Model::read(&described), Model::read(&plain));
    assert_eq!(with.operators.len(), without.operators.len());
    let unnamed = super::described(&network, range, &[]).unwrap();
    assert!(
        !crate::import::read(&unnamed, std::path::Path::new("")).unwrap().metadata.contains_key("labels")
    );
}
