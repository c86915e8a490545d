//! Activation functions in the spellings that exporters use: the imported graph computes the function's formula, and
//! int8 follows it. The formulas here are written from the functions' definitions, not from the operators'.

#![allow(clippy::disallowed_methods, reason = "these results are compared with a tolerance")]
#![allow(missing_docs)]

mod common;

use std::path::Path;

use common::Attribute::{Float, Int, Ints, Word};
use common::Onnx;
use foldnet_archive::Step;
use foldnet_converter::float::FloatNet;
use foldnet_converter::graph::{Graph, Op};
use foldnet_converter::image::Pixels;
use foldnet_converter::import::read;
use foldnet_converter::pass::fold;
use foldnet_converter::quantize::recipe::Silent;
use foldnet_converter::quantize::{Effort, Options, quantize};
use foldnet_kernels::Shape;

const CHANNELS: usize = 4;

/// Images of 6×6 pixels, a convolution, then what `body` makes of its output `x`, in an output `y`.
fn model(opset: i64, body: &dyn Fn(Onnx) -> Onnx) -> Graph {
    let start = Onnx::new(opset, &[1, 3, 6, 6])
        .floats("mean", &[1], &[128.0])
        .floats("deviation", &[1], &[50.0])
        .node("Sub", "image mean", "centred", &[])
        .node("Div", "centred deviation", "scaled", &[])
        .conv("scaled", "x", [CHANNELS as i64, 3, 3, 3], &[("pads", Ints(&[1; 4]))]);
    let mut model = body(start);
    model.graph().input[0].name = "image".into();
    let model = model.output("y", &[1, CHANNELS as i64, 6, 6]);
    let mut graph = read(&model.bytes(), Path::new("")).unwrap().graph;
    fold(&mut graph);
    graph
}

fn images() -> Vec<Pixels> {
    let pixel = |k: usize, i: usize| (i * (89 + 14 * k) + i * i * 3 + 41 * k) % 256;
    let shape = Shape::new(6, 6, 3);
    let values = |k| (0..shape.len()).map(|i| pixel(k, i) as u8).collect::<Vec<_>>();
    (0..16).map(|k| Pixels::new(shape, values(k)).unwrap()).collect()
}

fn values(graph: &Graph) -> Vec<Vec<f32>> {
    let net = FloatNet::new(graph);
    images().iter().map(|i| net.run(i).unwrap().swap_remove(graph.output)).collect()
}

/// The convolution's output alone, and the graph's: one must be `expected` of the other.
fn check(name: &str, opset: i64, body: &dyn Fn(Onnx) -> Onnx, expected: &dyn Fn(f64, usize) -> f64) -> Graph {
    let plain = values(&model(opset, &|m| m.node("Identity", "x", "y", &[])));
    let graph = model(opset, body);
    for (x, y) in
        plain.iter().flatten().zip(values(&graph).iter().flatten()).enumerate().map(|(i, (x, y))| {
            let wanted = expected(f64::from(*x), i % CHANNELS);
            (wanted, f64::from(*y))
        })
    {
        assert!((x - y).abs() <= 1e-4 * (1.0 + x.abs()), "{name}: {y}, expected {x}");
    }
    graph
}

/// As [`check`], and in int8 the noise is at least `least` dB below the values.
fn check_int8(
    name: &str,
    opset: i64,
    body: &dyn Fn(Onnx) -> Onnx,
    expected: &dyn Fn(f64, usize) -> f64,
    least: f64,
) {
    let graph = check(name, opset, body, expected);
    let options = Options { effort: Effort::Low, ..Options::default() };
    let outcome = quantize(&graph, &images(), options, &Silent).unwrap();
    let sqnr = outcome.distance.sqnr;
    assert!(sqnr >= least, "{name}: int8 at {sqnr:.1} dB");
    let functions = graph.nodes.iter().filter(|n| matches!(n.op, Op::Curve(_))).count();
    let table = |s: &&Step| matches!(s, Step::Table(_) | Step::ChannelTable(_));
    let tables = outcome.network.steps.iter().filter(table).count();
    assert_eq!(functions, tables, "{name}: each function is one table");
    assert!(functions <= 1, "{name}: {functions} functions, though all of it is one");
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn gelu(x: f64) -> f64 {
    // Φ by Simpson's rule: the definition, and slow enough for a test alone.
    let (steps, end) = (2000, x.abs().min(8.0));
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let h = end / f64::from(steps);
    let sum: f64 = (0..=steps)
        .map(|i| {
            let weight = if i == 0 || i == steps { 1.0 } else { f64::from(2 + i % 2 * 2) };
            weight * density(f64::from(i) * h)
        })
        .sum();
    let half = sum * h / 3.0;
    x * (0.5 + half.copysign(x))
}

#[test]
fn clips() {
    let clip = |lo: f32, hi: f32| {
        move |m: Onnx| m.floats("lo", &[], &[lo]).floats("hi", &[], &[hi]).node("Clip", "x lo hi", "y", &[])
    };
    for (lo, hi) in [(0.0, 6.0), (0.0, 1.0), (-1.0, 1.0), (-0.3, 1.7), (0.5, 2.0), (-3.0, -1.0)] {
        let body = clip(lo, hi);
        let expected = |x: f64, _| x.clamp(f64::from(lo), f64::from(hi));
        check_int8(&format!("clip {lo} {hi}"), 13, &body, &expected, 30.0);
    }
    check_int8(
        "clip by attributes",
        9,
        &|m| m.node("Clip", "x", "y", &[("min", Float(0.0)), ("max", Float(6.0))]),
        &|x, _| x.clamp(0.0, 6.0),
        30.0,
    );
    check_int8(
        "without an upper bound",
        13,
        &|m| m.floats("lo", &[], &[-0.5]).node("Clip", "x lo", "y", &[]),
        &|x, _| x.max(-0.5),
        30.0,
    );
    check_int8(
        "without a lower bound",
        13,
        &|m| m.floats("hi", &[], &[0.5]).node("Clip", "x - hi", "y", &[]),
        &|x, _| x.min(0.5),
        25.0,
    );
}

#[test]
fn relu6_is_part_of_the_convolution() {
    let constants = |m: Onnx| m.floats("zero", &[], &[0.0]).floats("six", &[], &[6.0]);
    let spellings: [(&str, &dyn Fn(Onnx) -> Onnx); 4] = [
        ("Clip", &|m| constants(m).node("Clip", "x zero six", "y", &[])),
        ("Min of ReLU", &|m| constants(m).node("Relu", "x", "r", &[]).node("Min", "six r", "y", &[])),
        ("Min of Max", &|m| constants(m).node("Max", "x zero", "r", &[]).node("Min", "r six", "y", &[])),
        ("Max of Min", &|m| constants(m).node("Min", "x six", "r", &[]).node("Max", "r zero", "y", &[])),
    ];
    for (name, body) in spellings {
        let graph = check(name, 13, body, &|x, _| x.clamp(0.0, 6.0));
        let options = Options { effort: Effort::Low, ..Options::default() };
        let network = quantize(&graph, &images(), options, &Silent).unwrap().network;
        let kinds: Vec<&str> = network.steps.iter().map(Step::kind).collect();
        assert_eq!(kinds, ["conv", "dequantize"], "{name}");
    }
}

#[test]
fn a_bound_that_the_values_reach_is_the_highest_level() {
    let body =
        |m: Onnx| m.floats("lo", &[], &[0.0]).floats("hi", &[], &[1.0]).node("Clip", "x lo hi", "y", &[]);
    let graph = model(13, &body);
    let options = Options { effort: Effort::Low, ..Options::default() };
    let network = quantize(&graph, &images(), options, &Silent).unwrap().network;
    let Step::Conv(conv) = &network.steps[0] else { panic!("the convolution comes first") };
    let out = conv.y.unwrap();
    let tensor = &network.tensors[out.tensor];
    let real = |q: i8| (f32::from(q) - f32::from(tensor.zero)) * tensor.scale;
    assert_eq!(real(out.lo), 0.0);
    assert!((real(out.hi) - 1.0).abs() <= tensor.scale, "{} is the highest", real(out.hi));
}

#[test]
fn leaky_relus() {
    let expected = |slope: f64| move |x: f64, _: usize| if x < 0.0 { slope * x } else { x };
    check_int8(
        "LeakyRelu",
        13,
        &|m| m.node("LeakyRelu", "x", "y", &[("alpha", Float(0.1))]),
        &expected(0.1),
        30.0,
    );
    check_int8(
        "max(x, a·x)",
        13,
        &|m| m.floats("a", &[], &[0.2]).node("Mul", "x a", "s", &[]).node("Max", "x s", "y", &[]),
        &expected(0.2),
        30.0,
    );
    check_int8(
        "relu(x) − a·relu(−x)",
        13,
        &|m| {
            m.floats("a", &[1], &[0.25])
                .node("Relu", "x", "p", &[])
                .node("Neg", "x", "n", &[])
                .node("Relu", "n", "q", &[])
                .node("Mul", "q a", "s", &[])
                .node("Sub", "p s", "y", &[])
        },
        &expected(0.25),
        30.0,
    );
    check_int8(
        "where(x > 0, x, a·x)",
        13,
        &|m| {
            m.floats("a", &[1], &[0.3])
                .floats("zero", &[], &[0.0])
                .node("Greater", "x zero", "c", &[])
                .node("Mul", "x a", "s", &[])
                .node("Where", "c x s", "y", &[])
        },
        &expected(0.3),
        30.0,
    );
    check_int8(
        "PRelu with one slope",
        16,
        &|m| m.floats("a", &[1, 1, 1], &[0.25]).node("PRelu", "x a", "y", &[]),
        &expected(0.25),
        30.0,
    );
    check_int8(
        "ThresholdedRelu",
        13,
        &|m| m.node("ThresholdedRelu", "x", "y", &[("alpha", Float(0.7))]),
        &|x, _| if x > 0.7 { x } else { 0.0 },
        20.0,
    );
}

#[test]
fn slopes_per_channel() {
    let slopes = [0.25, -0.5, 0.9, 0.0];
    let expected = |x: f64, c: usize| if x < 0.0 { f64::from(slopes[c]) * x } else { x };
    check_int8(
        "PRelu",
        16,
        &|m| m.floats("a", &[4, 1, 1], &slopes).node("PRelu", "x a", "y", &[]),
        &expected,
        30.0,
    );
    check_int8(
        "relu(x) − a·relu(−x)",
        13,
        &|m| {
            m.floats("a", &[1, 4, 1, 1], &slopes)
                .node("Relu", "x", "p", &[])
                .node("Neg", "x", "n", &[])
                .node("Relu", "n", "q", &[])
                .node("Mul", "q a", "s", &[])
                .node("Sub", "p s", "y", &[])
        },
        &expected,
        30.0,
    );
}

#[test]
fn sigmoid_gates_on_themselves() {
    let swish = |x: f64, _: usize| x * sigmoid(x);
    check_int8(
        "x·Sigmoid(x)",
        13,
        &|m| m.node("Sigmoid", "x", "s", &[]).node("Mul", "s x", "y", &[]),
        &swish,
        25.0,
    );
    check_int8(
        "x/(1 + Exp(−x))",
        13,
        &|m| {
            m.floats("one", &[], &[1.0])
                .node("Neg", "x", "n", &[])
                .node("Exp", "n", "e", &[])
                .node("Add", "e one", "d", &[])
                .node("Div", "x d", "y", &[])
        },
        &swish,
        25.0,
    );
    check_int8(
        "x·Reciprocal(1 + Exp(−x))",
        13,
        &|m| {
            m.floats("one", &[], &[1.0])
                .node("Neg", "x", "n", &[])
                .node("Exp", "n", "e", &[])
                .node("Add", "one e", "d", &[])
                .node("Reciprocal", "d", "s", &[])
                .node("Mul", "x s", "y", &[])
        },
        &swish,
        25.0,
    );
    check_int8(
        "x·Sigmoid(β·x)",
        13,
        &|m| {
            m.floats("beta", &[], &[1.702])
                .node("Mul", "x beta", "b", &[])
                .node("Sigmoid", "b", "s", &[])
                .node("Mul", "x s", "y", &[])
        },
        &|x, _| x * sigmoid(1.702 * x),
        25.0,
    );
    let hard = |x: f64, _: usize| x * (x + 3.0).clamp(0.0, 6.0) / 6.0;
    check_int8("HardSwish", 14, &|m| m.node("HardSwish", "x", "y", &[]), &hard, 25.0);
    check_int8(
        "x·HardSigmoid(x)",
        13,
        &|m| m.node("HardSigmoid", "x", "s", &[("alpha", Float(1.0 / 6.0))]).node("Mul", "x s", "y", &[]),
        &hard,
        25.0,
    );
    check_int8(
        "x·Clip(x + 3)/6",
        13,
        &|m| {
            m.floats("three", &[], &[3.0])
                .floats("zero", &[], &[0.0])
                .floats("six", &[], &[6.0])
                .node("Add", "x three", "a", &[])
                .node("Clip", "a zero six", "c", &[])
                .node("Mul", "x c", "p", &[])
                .node("Div", "p six", "y", &[])
        },
        &hard,
        25.0,
    );
    let mish = |x: f64, _: usize| x * (1.0 + x.exp()).ln().tanh();
    check_int8("Mish", 18, &|m| m.node("Mish", "x", "y", &[]), &mish, 25.0);
    check_int8(
        "x·Tanh(Softplus(x))",
        13,
        &|m| m.node("Softplus", "x", "p", &[]).node("Tanh", "p", "t", &[]).node("Mul", "x t", "y", &[]),
        &mish,
        25.0,
    );
}

#[test]
fn gelus() {
    let exact = |x: f64, _: usize| gelu(x);
    check_int8(
        "by Erf",
        13,
        &|m| {
            m.floats("root", &[], &[std::f32::consts::SQRT_2])
                .floats("one", &[], &[1.0])
                .floats("half", &[], &[0.5])
                .node("Div", "x root", "d", &[])
                .node("Erf", "d", "e", &[])
                .node("Add", "e one", "a", &[])
                .node("Mul", "x a", "p", &[])
                .node("Mul", "p half", "y", &[])
        },
        &exact,
        25.0,
    );
    check_int8("Gelu", 20, &|m| m.node("Gelu", "x", "y", &[]), &exact, 25.0);
    let tanh = |x: f64, _: usize| {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
    };
    check_int8(
        "Gelu, by tanh",
        20,
        &|m| m.node("Gelu", "x", "y", &[("approximate", Word("tanh"))]),
        &tanh,
        25.0,
    );
    check_int8(
        "by Pow and Tanh",
        13,
        &|m| {
            m.floats("three", &[], &[3.0])
                .floats("a", &[], &[0.044_715])
                .floats("b", &[], &[0.797_884_6])
                .floats("one", &[], &[1.0])
                .floats("half", &[], &[0.5])
                .node("Pow", "x three", "cube", &[])
                .node("Mul", "cube a", "c", &[])
                .node("Add", "x c", "d", &[])
                .node("Mul", "d b", "e", &[])
                .node("Tanh", "e", "t", &[])
                .node("Add", "t one", "f", &[])
                .node("Mul", "x f", "g", &[])
                .node("Mul", "g half", "y", &[])
        },
        &tanh,
        25.0,
    );
}

#[test]
fn exponential_units() {
    let elu = |alpha: f64| move |x: f64, _: usize| if x < 0.0 { alpha * (x.exp() - 1.0) } else { x };
    check_int8("Elu", 13, &|m| m.node("Elu", "x", "y", &[]), &elu(1.0), 25.0);
    check_int8("Elu with α", 13, &|m| m.node("Elu", "x", "y", &[("alpha", Float(0.5))]), &elu(0.5), 25.0);
    check_int8(
        "Selu",
        13,
        &|m| m.node("Selu", "x", "y", &[]),
        &|x, c| 1.050_701 * elu(1.673_263_2)(x, c),
        25.0,
    );
    check_int8(
        "Celu",
        13,
        &|m| m.node("Celu", "x", "y", &[("alpha", Float(0.7))]),
        &|x, _| if x < 0.0 { 0.7 * ((x / 0.7).exp() - 1.0) } else { x },
        25.0,
    );
    check_int8("Softplus", 13, &|m| m.node("Softplus", "x", "y", &[]), &|x, _| (1.0 + x.exp()).ln(), 25.0);
    check_int8("Softsign", 13, &|m| m.node("Softsign", "x", "y", &[]), &|x, _| x / (1.0 + x.abs()), 25.0);
}

#[test]
fn other_functions() {
    check_int8("Tanh", 13, &|m| m.node("Tanh", "x", "y", &[]), &|x, _| x.tanh(), 25.0);
    check_int8("Sigmoid", 13, &|m| m.node("Sigmoid", "x", "y", &[]), &|x, _| sigmoid(x), 25.0);
    check_int8(
        "HardSigmoid",
        13,
        &|m| m.node("HardSigmoid", "x", "y", &[]),
        &|x, _| (0.2 * x + 0.5).clamp(0.0, 1.0),
        25.0,
    );
    check_int8("Abs", 13, &|m| m.node("Abs", "x", "y", &[]), &|x, _| x.abs(), 25.0);
    check_int8("x·x", 13, &|m| m.node("Mul", "x x", "y", &[]), &|x, _| x * x, 15.0);
    check_int8(
        "Pow 2",
        13,
        &|m| m.floats("two", &[], &[2.0]).node("Pow", "x two", "y", &[]),
        &|x, _| x * x,
        15.0,
    );
    check_int8(
        "√|x|",
        13,
        &|m| m.node("Abs", "x", "a", &[]).node("Sqrt", "a", "y", &[]),
        &|x, _| x.abs().sqrt(),
        20.0,
    );
    check_int8("Neg", 13, &|m| m.node("Neg", "x", "y", &[]), &|x, _| -x, 25.0);
    check_int8(
        "ln(1 + ReLU)",
        13,
        &|m| {
            m.floats("one", &[], &[1.0]).node("Relu", "x", "r", &[]).node("Add", "r one", "a", &[]).node(
                "Log",
                "a",
                "y",
                &[],
            )
        },
        &|x, _| x.max(0.0).ln_1p(),
        25.0,
    );
}

/// A gate of 1×1 pixels, made of each function, on the channels that it was made of.
#[test]
fn gates_of_squeeze_and_excitation() {
    type Body<'b> = &'b dyn Fn(Onnx) -> Onnx;
    let gates: [(&str, Body<'_>); 4] = [
        ("Sigmoid", &|m| m.node("Sigmoid", "s", "g", &[])),
        ("HardSigmoid", &|m| m.node("HardSigmoid", "s", "g", &[("alpha", Float(1.0 / 6.0))])),
        ("Clip(s + 3)/6", &|m| {
            m.floats("three", &[], &[3.0])
                .floats("zero", &[], &[0.0])
                .floats("six", &[], &[6.0])
                .node("Add", "s three", "a", &[])
                .node("Clip", "a zero six", "c", &[])
                .node("Div", "c six", "g", &[])
        }),
        ("1 + Tanh", &|m| {
            m.floats("one", &[], &[1.0]).node("Tanh", "s", "t", &[]).node("Add", "t one", "g", &[])
        }),
    ];
    for (name, gate) in gates {
        let graph = model(13, &|m| {
            let m = m.node("GlobalAveragePool", "x", "p", &[]).conv("p", "s", [4, 4, 1, 1], &[]);
            gate(m).node("Mul", "x g", "y", &[])
        });
        let options = Options { effort: Effort::Low, ..Options::default() };
        let outcome = quantize(&graph, &images(), options, &Silent).unwrap();
        assert!(outcome.distance.sqnr >= 25.0, "{name}: {:.1} dB", outcome.distance.sqnr);
        assert!(
            graph.nodes.iter().all(|n| !matches!(n.op, Op::Affine { .. })),
            "{name}: affine maps fold away"
        );
    }
}

#[test]
fn functions_of_two_tensors_are_refused_by_name() {
    let model = Onnx::new(13, &[1, 3, 6, 6])
        .conv("x", "a", [4, 3, 3, 3], &[("pads", Ints(&[1; 4]))])
        .conv("x", "b", [4, 3, 3, 3], &[("pads", Ints(&[1; 4])), ("group", Int(1))])
        .node("Max", "a b", "y", &[])
        .output("y", &[1, 4, 6, 6]);
    let error = read(&model.bytes(), Path::new("")).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("y_node") && error.contains("Max"), "{error}");
}
