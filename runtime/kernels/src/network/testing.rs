//! Small networks for tests, which together have every operator, and their execution by the definitions.

use alloc::boxed::Box;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::{Activation, Network, Out, PIXELS, Tensor, TensorId};
use crate::op::add::Add;
use crate::op::affine::Affine;
use crate::op::avg_pool::AvgPool;
use crate::op::conv::{Conv, SecondOutput};
use crate::op::dequantize::Dequantize;
use crate::op::max_pool::MaxPool;
use crate::op::scale::Scale;
use crate::op::sum::{Sum, Term};
use crate::op::table::Table;
use crate::op::{Kind, Step};
use crate::shape::Shape;

/// The values of a network's tensors.
pub struct Values {
    /// The int8 tensors, NHWC; empty for the logits.
    pub tensors: Vec<Vec<i8>>,
    /// The logits.
    pub logits: Vec<f32>,
}

impl Values {
    /// Computes a tensor from others.
    pub fn map(&mut self, x: &[TensorId], y: TensorId, make: impl FnOnce(&[&[i8]], &mut [i8])) {
        let mut made = core::mem::take(&mut self.tensors[y]);
        let x: Vec<&[i8]> = x.iter().map(|&x| self.tensors[x].as_slice()).collect();
        make(&x, &mut made);
        self.tensors[y] = made;
    }
}

/// Runs a valid network step by step with the operators' definitions.
pub fn interpret(network: &Network, pixels: &[u8]) -> Values {
    let mut tensors: Vec<Vec<i8>> = network.tensors.iter().map(|t| vec![0; t.shape.len()]).collect();
    tensors[PIXELS] = pixels.iter().map(|&p| (p ^ 0x80) as i8).collect();
    let mut values = Values { tensors, logits: vec![0.0; network.classes()] };
    network.steps.iter().for_each(|step| step.interpret(network, &mut values));
    values
}

/// Returns networks that together have every operator. Code that handles all steps should be tested on all of
/// these.
pub fn networks() -> Vec<Network> {
    let examples = Kind::ALL.iter().filter_map(|kind| kind.example());
    [every_step(), every_step_without_a_dense_layer(), every_step_with_a_sum()]
        .into_iter()
        .chain(examples)
        .collect()
}

/// Ends a network whose last tensor is the output.
pub fn end(mut network: Network) -> Network {
    let x = network.tensors.len() - 1;
    let tensor = Tensor { name: "logits".into(), scale: 1.0, zero: 0, ..network.tensors[x].clone() };
    network.tensors.push(tensor);
    network.steps.push(Step::Dequantize(Dequantize { name: "out".into(), x, y: x + 1 }));
    network.logits = x + 1;
    network.activation = Activation::None;
    network
}

/// Returns the start of [`every_step`]: pixels, a convolution, and its output.
pub fn begin() -> Network {
    let mut network = every_step();
    network.steps.truncate(1);
    network.tensors.truncate(2);
    network
}

/// Returns a network with the operators of ordinary ResNets.
pub fn every_step() -> Network {
    let t = |name: &str, h, w, c, scale, zero| Tensor {
        name: name.into(),
        shape: Shape::new(h, w, c),
        scale,
        zero,
    };
    let values = |n: usize| (0..n).map(|i| (i * 37 % 255) as i32 - 127).collect::<Vec<_>>();
    let conv = |name: &str, x, c_in: usize, c: usize, k: usize, pad: [usize; 4]| Conv {
        name: name.into(),
        x,
        weights: values(c * k * k * c_in).iter().map(|&v| v as i8).collect(),
        bias: values(c).iter().map(|v| v * 11).collect(),
        weight_scale: values(c).iter().map(|&v| (v + 200) as f32 * 1e-4).collect(),
        multiplier: values(c).iter().map(|&v| (v + 200) as f32 * 1.7e-5).collect(),
        kernel: [k, k],
        stride: [1, 1],
        dilation: [1, 1],
        pad,
        groups: 1,
        skip: None,
        y: None,
        affine: None,
    };
    let out = |tensor| Some(Out { tensor, lo: -128, hi: 127 });
    let per = |c: usize, f: f32| values(c).iter().map(|&v| v as f32 * f).collect::<Vec<f32>>();
    let second = |tensor, c| SecondOutput {
        gain: per(c, 0.011),
        offset: per(c, 0.2),
        out: Out { tensor, lo: -128, hi: 127 },
    };
    Network {
        tensors: vec![
            t("pixels", 9, 8, 3, 1.0, 0),
            t("stem", 9, 8, 5, 0.02, -128),
            t("pooled", 5, 4, 5, 0.02, -128),
            t("pre", 5, 4, 5, 0.031, -128),
            t("sum", 5, 4, 5, 0.05, 3),
            t("pre2", 5, 4, 5, 0.04, -128),
            t("only", 5, 4, 5, 0.04, -120),
            t("added", 5, 4, 5, 0.07, 5),
            t("mean", 1, 1, 5, 0.03, -7),
            t("logits", 1, 1, 4, 1.0, 0),
        ],
        pixel_zero: vec![-5, 0, 3],
        steps: vec![
            Step::Conv(Box::new(Conv { y: out(1), ..conv("in/conv:0", 0, 3, 5, 3, [1, 1, 1, 1]) })),
            Step::MaxPool(MaxPool {
                name: "pool".into(),
                x: 1,
                y: 2,
                kernel: [3, 3],
                stride: [2, 2],
                pad: [1, 1, 1, 0],
                floor_at_zero: false,
            }),
            Step::Affine(Affine {
                name: "bn".into(),
                x: 2,
                y: Out { tensor: 3, lo: -128, hi: 127 },
                gain: per(5, 0.013),
                offset: per(5, 0.1),
            }),
            Step::Conv(Box::new(Conv {
                skip: Some((2, 0.4)),
                y: out(4),
                affine: Some(second(5, 5)),
                ..conv("b1", 3, 5, 5, 3, [1, 1, 1, 1])
            })),
            Step::Conv(Box::new(Conv {
                affine: Some(SecondOutput { out: Out { tensor: 6, lo: -120, hi: 127 }, ..second(6, 5) }),
                ..conv("b2", 5, 5, 5, 1, [0; 4])
            })),
            Step::Add(Add {
                name: "add".into(),
                a: (4, 0.71),
                b: (6, 0.57),
                y: Out { tensor: 7, lo: 5, hi: 127 },
            }),
            Step::AvgPool(AvgPool {
                name: "gap".into(),
                x: 7,
                y: Out { tensor: 8, lo: -128, hi: 127 },
                multiplier: 0.1166,
            }),
            Step::Conv(Box::new(Conv { y: out(9), ..conv("fc", 8, 5, 4, 1, [0; 4]) })),
        ],
        logits: 9,
        activation: Activation::Softmax,
    }
}

/// Returns a network with squeeze-and-excitation and lookup tables that ends in a feature map.
pub fn every_step_without_a_dense_layer() -> Network {
    let mut network = every_step();
    let t = |name: &str, h, w, c, scale, zero| Tensor {
        name: name.into(),
        shape: Shape::new(h, w, c),
        scale,
        zero,
    };
    network.steps.truncate(7);
    network.tensors.truncate(9);
    network.tensors.extend([
        t("gate", 1, 1, 5, 1.0 / 256.0, -128),
        t("gated", 5, 4, 5, 0.04, 11),
        t("bent", 5, 4, 5, 1.0 / 128.0, 0),
        t("logits", 5, 4, 5, 1.0, 0),
    ]);
    let curve = |f: fn(i32) -> i32| Box::new(core::array::from_fn(|i| f(i as i32 - 128) as i8));
    network.steps.extend([
        Step::Table(Table { name: "sigmoid".into(), x: 8, y: 9, table: curve(|q| q / 2 + q % 7) }),
        Step::Scale(Scale {
            name: "excite".into(),
            x: 7,
            gate: 9,
            multiplier: 0.07 / 256.0 / 0.04,
            y: Out { tensor: 10, lo: -128, hi: 127 },
        }),
        Step::Table(Table { name: "tanh".into(), x: 10, y: 11, table: curve(|q| q * q % 251 - 125) }),
        Step::Dequantize(Dequantize { name: "out".into(), x: 11, y: 12 }),
    ]);
    network.logits = 12;
    network.activation = Activation::None;
    network
}

/// Returns a network with a 16-bit value: quotient, remainder by 256, and the steps that read both.
pub fn every_step_with_a_sum() -> Network {
    let mut network = every_step();
    let shape = network.tensors[7].shape;
    let tensor = |name: &str, scale, zero| Tensor { name: name.into(), shape, scale, zero };
    let (rest, wide) = (8, 9);
    network.tensors.splice(8..8, [tensor("added_rest", 0.07 / 256.0, -128), tensor("wide", 0.05, 9)]);
    let out = |tensor, lo| Out { tensor, lo, hi: 127 };
    let term = |x, zero, multiplier| Term { x, zero, multiplier };
    let rest_terms = vec![term(4, 3.5, 0.71 * 256.0), term(6, -120.0, 0.57 * 256.0), term(7, 5.0, -256.0)];
    let wide_terms = vec![term(7, 5.0, 1.4), term(rest, -128.0, 1.4 / 256.0), term(4, 3.0, -0.25)];
    let Some(Step::Conv(fc)) = network.steps.pop() else { unreachable!("it ends in a dense layer") };
    network.steps.splice(
        6..,
        [
            Step::Sum(Sum { name: "rest".into(), terms: rest_terms, y: out(rest, -128) }),
            Step::Sum(Sum { name: "both".into(), terms: wide_terms, y: out(wide, 9) }),
            Step::AvgPool(AvgPool { name: "gap".into(), x: wide, y: out(10, -128), multiplier: 0.1166 }),
            Step::Conv(Box::new(Conv { x: 10, y: Some(out(11, -128)), ..*fc })),
        ],
    );
    network.logits = 11;
    network
}

/// Returns a network with the shapes of MLPerf Tiny's ResNet-8 and arbitrary weights, for sizes and layouts.
pub fn resnet8() -> Network {
    let mut network = Network {
        tensors: vec![Tensor { name: "pixels".into(), shape: Shape::new(32, 32, 3), scale: 1.0, zero: -128 }],
        pixel_zero: vec![-128; 3],
        steps: Vec::new(),
        logits: 0,
        activation: Activation::Softmax,
    };
    let mut seed = 1u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as i32 - 128
    };
    // Adds a convolution (input, output channels, kernel, stride, residual) and returns its output.
    let mut conv = |network: &mut Network, x: usize, c: usize, k: usize, s: usize, skip: Option<usize>| {
        let from = network.tensors[x].shape;
        let (tensor, depth) = (network.tensors.len(), k * k * from.c);
        let shape = Shape::new(from.h.div_ceil(s), from.w.div_ceil(s), c);
        let name = format!("t{tensor}");
        network.tensors.push(Tensor { name: name.clone(), shape, scale: 0.05, zero: -128 });
        // TensorFlow's "same" puts the odd one at the end.
        let pad = k.saturating_sub(s);
        network.steps.push(Step::Conv(Box::new(Conv {
            name,
            x,
            weights: (0..c * depth).map(|_| noise().max(-127) as i8).collect(),
            bias: (0..c).map(|_| noise() * 40).collect(),
            weight_scale: vec![0.01; c],
            multiplier: (0..c).map(|_| (noise() + 300) as f32 / (depth * 3000) as f32).collect(),
            kernel: [k, k],
            stride: [s, s],
            dilation: [1, 1],
            pad: [pad / 2, pad / 2, pad - pad / 2, pad - pad / 2],
            groups: 1,
            skip: skip.map(|t| (t, 0.6)),
            y: Some(Out { tensor, lo: -128, hi: 127 }),
            affine: None,
        })));
        tensor
    };
    let mut x = conv(&mut network, PIXELS, 16, 3, 1, None);
    for (c, stride) in [(16, 1), (32, 2), (64, 2)] {
        let inner = conv(&mut network, x, c, 3, stride, None);
        let skip = if stride == 1 { x } else { conv(&mut network, x, c, 1, stride, None) };
        x = conv(&mut network, inner, c, 3, 1, Some(skip));
    }
    let mean = network.tensors.len();
    network.tensors.push(Tensor {
        name: "mean".into(),
        shape: Shape::new(1, 1, 64),
        scale: 0.05,
        zero: -128,
    });
    network.steps.push(Step::AvgPool(AvgPool {
        name: "mean".into(),
        x,
        y: Out { tensor: mean, lo: -128, hi: 127 },
        multiplier: 1.0 / 64.0,
    }));
    network.logits = conv(&mut network, mean, 10, 1, 1, None);
    network.tensors[network.logits].scale = 1.0;
    network
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RECORD;

    #[test]
    fn every_operator_is_in_a_network() {
        let networks = networks();
        for kind in Kind::ALL {
            let has = |n: &Network| n.steps.iter().any(|s| s.operator() == *kind);
            let word = kind.word();
            assert!(networks.iter().any(has), "no test network has `{word}`: give it an `Operator::example`");
            assert_eq!(Kind::of(word), Some(*kind), "two operators are called `{word}`");
        }
        for network in networks {
            network.validate().unwrap();
        }
    }

    #[test]
    fn every_step_gives_away_all_of_its_tensors() {
        for network in networks() {
            for step in &network.steps {
                let mut moved = step.clone();
                moved.renumber(&|t| t + 100);
                let plus = |tensors: Vec<usize>| tensors.into_iter().map(|t| t + 100).collect::<Vec<_>>();
                assert_eq!(moved.inputs(), plus(step.inputs()), "{}", step.kind());
                assert_eq!(moved.outputs(), plus(step.outputs()), "{}", step.kind());
                assert!(step.replaceable().iter().all(|t| step.inputs().contains(t)), "{}", step.kind());
            }
        }
    }

    #[test]
    fn every_record_survives_its_bytes() {
        use crate::network::Compiler;
        use crate::record::Blob;

        for network in networks() {
            for step in &network.steps {
                let mut scratch = 0;
                let record = step.compile(&mut Compiler {
                    network: &network,
                    set: &crate::Portable,
                    stripes: None,
                    offset: &|t| 64 * t as u32,
                    constants: &mut |bytes| Blob { at: 4096, len: bytes.len() as u32 },
                    scratch: &mut scratch,
                });
                let mut bytes = [0xff; RECORD];
                record.write(&mut bytes);
                assert_eq!(crate::op::Record::read(&bytes), Some(record), "{}", step.kind());
                let outline = record.outline();
                let reads = step.inputs().into_iter().filter(|&t| t != PIXELS).map(|t| 64 * t as u32);
                let writes = step.outputs().into_iter().map(|t| (64 * t as u32, network.shape(t)));
                assert_eq!(outline.reads, reads.collect::<Vec<_>>(), "{}", outline.what);
                let wrote: Vec<_> = outline.writes.iter().map(|w| (w.at, w.shape)).collect();
                assert_eq!(wrote, writes.collect::<Vec<_>>(), "{}", outline.what);
            }
        }
    }
}
