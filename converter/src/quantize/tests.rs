//! Tests the whole quantization on small graphs: decisions are kept, and bad numbers end in an error or a valid
//! network.

use foldnet_kernels::Shape;

use super::fuse::{Layer, fuse};
use super::recipe::{Effort, Options, Silent, quantize};
use super::score::{Distance, logits};
use super::{QuantizeError, equalize, sensitivity};
use crate::calibrate::{Method, observe};
use crate::float::FloatNet;
use crate::graph::{Conv, Given, Graph, Node, NodeId, Op, Window};
use crate::image::Pixels;
use crate::pass::testing::Build;

/// Returns a residual network: stem, block with identity, pooling, dense.
pub(super) fn residual() -> Graph {
    let mut state = 7u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut nodes =
        vec![Node { name: "pixels".into(), op: Op::Input, inputs: vec![], shape: Shape::new(8, 8, 3) }];
    let mut push = |name: &str, op: Op, inputs: &[NodeId], shape: Shape| {
        nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), shape });
        nodes.len() - 1
    };
    let mut conv = |inputs: usize, outputs: usize, side: usize, unit: f32| {
        Op::Conv(Conv {
            // The channels differ greatly in size, so that equalization helps.
            weights: (0..outputs * side * side * inputs)
                .map(|k| next() * unit * (1.0 + (k / (side * side * inputs) % 4) as f32 * 3.0))
                .collect(),
            bias: (0..outputs).map(|_| next() * 0.1).collect(),
            window: Window { kernel: [side, side], stride: [1, 1], pad: [side / 2; 4] },
            dilation: [1, 1],
            groups: 1,
            pad_value: vec![0.0; inputs],
        })
    };
    let wide = Shape::new(8, 8, 8);
    let stem = push("stem", conv(3, 8, 3, 0.002), &[0], wide);
    let stem = push("stem_relu", Op::Relu, &[stem], wide);
    let a = push("a", conv(8, 8, 3, 0.05), &[stem], wide);
    let a = push("a_relu", Op::Relu, &[a], wide);
    let b = push("b", conv(8, 8, 3, 0.05), &[a], wide);
    let sum = push("sum", Op::Add, &[b, stem], wide);
    let sum = push("sum_relu", Op::Relu, &[sum], wide);
    let pool = push("pool", Op::GlobalAvgPool, &[sum], Shape::new(1, 1, 8));
    let output = push("dense", conv(8, 5, 1, 0.3), &[pool], Shape::new(1, 1, 5));
    Graph { nodes, output, activation: foldnet_archive::Activation::Softmax, given: Default::default() }
}

pub(super) fn images(n: usize) -> Vec<Pixels> {
    let mut state = 99u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let shape = Shape::new(8, 8, 3);
    let mut image = || (0..shape.len()).map(|_| next()).collect::<Vec<u8>>();
    (0..n).map(|_| Pixels::new(shape, image()).unwrap()).collect()
}

pub(super) fn conv(graph: &mut Graph, node: NodeId) -> &mut Conv {
    match &mut graph.nodes[node].op {
        Op::Conv(conv) => conv,
        _ => panic!("node {node} is no convolution"),
    }
}

fn distance(graph: &Graph, outcome: &super::Outcome, images: &[Pixels]) -> Distance {
    let net = FloatNet::new(graph);
    let truth: Vec<_> = images.iter().map(|p| net.run(p).unwrap()[graph.output].clone()).collect();
    Distance::between(&truth, &logits(&outcome.network, images).unwrap(), outcome.measure)
}

#[test]
fn equalization_keeps_the_function() {
    let graph = residual();
    let watch: Vec<NodeId> = (0..graph.nodes.len()).collect();
    let none: equalize::Factors = vec![None; graph.nodes.len()];
    let seen = observe(&graph, &watch, &images(4), std::slice::from_ref(&none), &|| ()).unwrap();
    let classes = equalize::classes(&graph);
    assert!(classes.len() >= 2, "{classes:?}");
    for rule in equalize::RULES {
        let mut factors = none.clone();
        for class in &classes {
            let of_class = equalize::factors(&graph, class, rule, &seen);
            class.nodes.iter().for_each(|&n| factors[n] = Some(of_class.clone()));
        }
        let other = equalize::apply(&graph, &factors);
        let run = |g: &Graph| FloatNet::new(g).run(&images(1)[0]).unwrap()[g.output].clone();
        for (a, b) in run(&graph).iter().zip(run(&other)) {
            assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{rule:?}: {a} became {b}");
        }
    }
}

#[test]
fn an_addition_is_computed_with_the_convolution_that_was_not_rounded_before() {
    let one = |build: Build| build.conv(4, [1, 1], [0; 4]);
    let mut graph = one(one(one(Build::new(4, 4, 3)).relu())).add(3).done();
    graph.nodes[4].inputs = vec![2];
    let fused = |graph: &Graph| {
        let layers = fuse(graph).unwrap().layers;
        layers.iter().find(|l| matches!(l, Layer::Conv { sum: 5, .. })).map(Layer::node)
    };
    assert_eq!(fused(&graph), Some(4), "the later one");
    graph.given.insert("4".into(), Given { scale: 0.1, zero: 0, read_exactly: false });
    assert_eq!(fused(&graph), Some(3));
}

#[test]
fn every_method_and_effort_gives_a_close_network() {
    let graph = residual();
    for method in [Method::Auto, Method::Minmax, Method::Percentile, Method::Mse, Method::Entropy] {
        let options = Options { method, effort: Effort::Low, ..Options::default() };
        let outcome = quantize(&graph, &images(24), options, &Silent).unwrap();
        let d = distance(&graph, &outcome, &images(40)[24..]);
        assert!(d.sqnr > 20.0, "{method:?}: {d:?}");
    }
}

#[test]
fn passes_that_are_kept_lower_the_noise_and_hold_on_other_images() {
    let graph = residual();
    let low = Options { effort: Effort::Low, bias: false, ..Options::default() };
    let low = quantize(&graph, &images(60), low, &Silent).unwrap();
    let normal = quantize(&graph, &images(60), Options::default(), &Silent).unwrap();
    assert!(normal.distance.sqnr >= low.distance.sqnr);
    // The last one changes no decision: it measures again on the deciding images.
    for d in normal.decisions.iter().filter(|d| d.pass != "final fit") {
        let before = d.before.unwrap();
        assert!(d.after >= before && d.kept == (d.after > before), "{d:?}");
    }
    let others = &images(120)[60..];
    let (low, normal) = (distance(&graph, &low, others), distance(&graph, &normal, others));
    assert!(normal.sqnr > low.sqnr + 1.0, "{low:?} {normal:?}");
}

#[test]
fn the_same_input_gives_the_same_network() {
    let run = || quantize(&residual(), &images(30), Options::default(), &Silent).unwrap().network;
    assert_eq!(run(), run());
}

#[test]
fn shares_of_the_noise_are_small_and_most_are_some() {
    let graph = residual();
    let outcome = quantize(&graph, &images(24), Options::default(), &Silent).unwrap();
    let exact = equalize::apply(&outcome.graph, &outcome.factors);
    let shares = sensitivity::shares(&exact, &outcome.draft, &images(8), outcome.measure, &|| ()).unwrap();
    assert_eq!(shares.len(), sensitivity::parts(&outcome.draft));
    assert!(shares.iter().all(|s| s.sqnr > 20.0), "{shares:?}");
    assert!(shares.iter().filter(|s| s.sqnr < 120.0).count() > shares.len() / 2, "{shares:?}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut graph = residual();
        let k = conv(&mut graph, 5).weights.len() / 8 * 3;
        conv(&mut graph, 5).weights[k] = bad;
        let error = quantize(&graph, &images(4), Options::default(), &Silent).err().unwrap();
        assert!(matches!(&error, QuantizeError::NotFinite { node, channel: 3 } if node == "b"), "{error}");
    }
}

#[test]
fn weights_that_overflow_the_float_network_are_an_error() {
    let mut graph = residual();
    conv(&mut graph, 3).weights.iter_mut().for_each(|w| *w *= 1e38);
    conv(&mut graph, 5).weights.iter_mut().for_each(|w| *w *= 1e38);
    let error = quantize(&graph, &images(4), Options::default(), &Silent).err().unwrap();
    assert!(matches!(error, QuantizeError::NoValue { .. } | QuantizeError::NotFinite { .. }), "{error}");
}

#[test]
fn large_weights_are_only_large() {
    let mut graph = residual();
    conv(&mut graph, 3).weights.iter_mut().for_each(|w| *w *= 1e6);
    conv(&mut graph, 5).weights.iter_mut().for_each(|w| *w *= 1e-6);
    let outcome = quantize(&graph, &images(24), Options::default(), &Silent).unwrap();
    assert!(distance(&graph, &outcome, &images(8)).sqnr > 20.0);
}

#[test]
fn layers_without_weights_and_constant_tensors_are_sound() {
    // All weights of `a` are zero: its outputs are constant, or zero after the ReLU.
    let mut graph = residual();
    conv(&mut graph, 3).weights.fill(0.0);
    let outcome = quantize(&graph, &images(24), Options::default(), &Silent).unwrap();
    assert!(distance(&graph, &outcome, &images(8)).sqnr > 20.0);
    // Without biases, too, every value there is zero.
    conv(&mut graph, 3).bias.fill(0.0);
    let outcome = quantize(&graph, &images(24), Options::default(), &Silent).unwrap();
    assert!(distance(&graph, &outcome, &images(8)).sqnr > 20.0);
    // One channel never varies.
    let mut graph = residual();
    let filter = conv(&mut graph, 3).weights.len() / 8;
    conv(&mut graph, 3).weights[..filter].fill(0.0);
    let outcome = quantize(&graph, &images(24), Options::default(), &Silent).unwrap();
    assert!(distance(&graph, &outcome, &images(8)).sqnr > 20.0);
}

#[test]
fn one_black_image_gives_a_network_that_runs() {
    let black = [Pixels::new(Shape::new(8, 8, 3), [0; 192]).unwrap()];
    for effort in [Effort::Low, Effort::Normal] {
        let options = Options { effort, ..Options::default() };
        let outcome = quantize(&residual(), &black, options, &Silent).unwrap();
        let answers = logits(&outcome.network, &images(3)).unwrap();
        assert!(answers.iter().flatten().all(|v| v.is_finite()));
        assert!(distance(&residual(), &outcome, &black).sqnr > 10.0);
    }
}
