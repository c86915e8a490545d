use std::collections::HashMap;

use foldnet_archive::Activation;

use super::*;
use crate::graph::{Conv, Node, Op, Window};
use crate::import::BatchNorm;

/// Returns CIFAR's photographs, 32×32, from the built-in images.
fn photographs() -> Vec<Vec<[f64; 3]>> {
    let records = include_bytes!("../../assets/calibration.bin").chunks_exact(3073);
    let pixels = |r: &[u8]| (0..1024).map(|p| [1, 1025, 2049].map(|plane| f64::from(r[plane + p]))).collect();
    records.map(pixels).collect()
}

/// Returns uniform numbers between −1 and 1.
fn numbers(seed: u32) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    }
}

const CHANNELS: usize = 32;

/// The normalization at the start of a network.
enum Normalized {
    /// A batch normalization trained on photographs, separate from the convolution.
    Apart,
    /// The same normalization, folded into the convolution.
    Folded,
    /// A batch normalization of random numbers.
    Random,
}

/// Returns a network whose first layer was trained on photographs after a preprocessing `(p − mean)/deviation`.
fn network(mean: f64, deviation: f64, how: Normalized, seed: u32) -> Imported {
    let mut random = numbers(seed);
    // Some filters detect edges, others brightness.
    let mut weights: Vec<f64> = (0..CHANNELS * 27).map(|_| random()).collect();
    for (i, filter) in weights.chunks_exact_mut(27).enumerate() {
        let average = filter.iter().sum::<f64>() / 27.0;
        let keep = if i % 2 == 0 { 0.1 } else { 1.0 };
        filter.iter_mut().for_each(|w| *w = (*w - average) + keep * average);
    }
    let images = photographs();
    let outputs = |filter: &[f64]| {
        let mut all = Vec::new();
        for image in &images {
            for (y, x) in (0..30).step_by(5).flat_map(|y| (0..30).step_by(5).map(move |x| (y, x))) {
                let tap = |i: usize| (image[(y + i / 9) * 32 + x + i / 3 % 3][i % 3] - mean) / deviation;
                all.push(filter.iter().enumerate().map(|(i, w)| w * tap(i)).sum::<f64>());
            }
        }
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        (mean, all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64)
    };
    let measured: Vec<(f64, f64)> = match how {
        Normalized::Random => (0..CHANNELS).map(|_| (0.2 * random(), 1.0 + 0.5 * random())).collect(),
        _ => weights.chunks_exact(27).map(outputs).collect(),
    };
    let gain: Vec<f64> = measured.iter().map(|(_, v)| (0.3 + 0.2 * random()) / v.sqrt()).collect();
    let offset: Vec<f64> = measured.iter().zip(&gain).map(|((m, _), g)| 0.2 * random() - m * g).collect();
    let folded = matches!(how, Normalized::Folded);
    let floats = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let window = Window { kernel: [3, 3], stride: [1, 1], pad: [1; 4] };
    let shape = Shape::new(32, 32, CHANNELS);
    let scaled: Vec<f64> = weights.iter().enumerate().map(|(i, w)| w * gain[i / 27]).collect();
    let conv = Conv {
        weights: floats(if folded { &scaled } else { &weights }),
        bias: if folded { floats(&offset) } else { vec![0.0; CHANNELS] },
        window,
        dilation: [1, 1],
        groups: 1,
        pad_value: vec![0.0; 3],
    };
    let node = |name: &str, op, inputs, shape| Node { name: name.into(), op, inputs, shape };
    let mut nodes = vec![
        node("input", Op::Input, vec![], Shape::new(32, 32, 3)),
        node("conv", Op::Conv(conv), vec![0], shape),
    ];
    let mut norms = HashMap::new();
    if !folded {
        nodes.push(node("norm", Op::Affine { gain: floats(&gain), offset: floats(&offset) }, vec![1], shape));
        let (mean, variance): (Vec<f64>, Vec<f64>) = measured.into_iter().unzip();
        norms.insert("norm".to_owned(), BatchNorm { mean: floats(&mean), variance: floats(&variance) });
    }
    nodes.push(node("relu", Op::Relu, vec![nodes.len() - 1], shape));
    imported(nodes, norms)
}

fn imported(nodes: Vec<Node>, norms: HashMap<String, BatchNorm>) -> Imported {
    let output = nodes.len() - 1;
    Imported {
        normalized: false,
        graph: Graph { nodes, output, activation: Activation::None, given: HashMap::new() },
        nodes: 3,
        producer: "pytorch 2.15.0".into(),
        external: Vec::new(),
        metadata: HashMap::new(),
        norms,
        tensors: Vec::new(),
        input_grid: None,
        notes: Vec::new(),
    }
}

fn candidates(evidence: &Evidence) -> Vec<&str> {
    match evidence {
        Evidence::One(reading) => vec![&reading.preprocess],
        Evidence::Several { candidates, .. } => candidates.iter().map(String::as_str).collect(),
    }
}

#[test]
fn a_trained_first_layer_tells_the_range_of_its_input() {
    for seed in 1..6 {
        let weigh = |mean, deviation| weigh(&network(mean, deviation, Normalized::Apart, seed));
        assert_eq!(candidates(&weigh(0.0, 1.0)), ["none"]);
        assert_eq!(candidates(&weigh(0.0, 255.0)), ["0-1"]);
        assert_eq!(candidates(&weigh(113.0, 1.0)), ["caffe"]);
        // These two are close, and both remain possible if the photographs' contrast does not decide.
        for (mean, deviation, name) in [(127.5, 127.5, "tf"), (117.0, 57.0, "torch")] {
            let evidence = weigh(mean, deviation);
            let fits = candidates(&evidence);
            assert!(fits.contains(&name), "{name}: {fits:?}");
            assert!(fits.iter().all(|fit| ["tf", "torch"].contains(fit)), "{name}: {fits:?}");
        }
    }
}

#[test]
fn folded_biases_tell_an_input_that_is_not_centred() {
    for seed in 1..6 {
        let weigh = |mean, deviation| weigh(&network(mean, deviation, Normalized::Folded, seed));
        assert_eq!(candidates(&weigh(0.0, 1.0)), ["none"]);
        assert_eq!(candidates(&weigh(0.0, 255.0)), ["0-1"]);
        // A centred input leaves no trace.
        for (mean, deviation) in [(127.5, 127.5), (117.0, 57.0)] {
            assert!(candidates(&weigh(mean, deviation)).len() > 2);
        }
    }
}

#[test]
fn a_network_that_nobody_trained_tells_nothing_and_is_asked_about() {
    for seed in 1..20 {
        let evidence = weigh(&network(0.0, 255.0, Normalized::Random, seed));
        assert_eq!(
            candidates(&evidence),
            ["0-1", "torch", "tf", "none", "caffe", "125.3,123,113.9/63,62.1,66.7"]
        );
    }
}

#[test]
fn a_published_network_is_recognized_unless_its_numbers_contradict() {
    let vision = |mut imported: Imported| {
        imported.graph.nodes[0].shape = Shape::new(224, 224, 3);
        imported.tensors = vec!["layer1.0.conv1.weight".into()];
        imported
    };
    let weigh = |mean, deviation, how| weigh(&vision(network(mean, deviation, how, 3)));
    let evidence = weigh(117.0, 57.0, Normalized::Folded);
    assert_eq!(candidates(&evidence), ["torch"]);
    assert_eq!(candidates(&weigh(117.0, 57.0, Normalized::Apart)), ["torch"]);
    assert_eq!(candidates(&weigh(0.0, 1.0, Normalized::Random)), ["torch"]);
    // It was trained on pixels 0…1 in spite of its names.
    for how in [Normalized::Folded, Normalized::Apart] {
        let evidence = weigh(0.0, 255.0, how);
        assert_eq!(candidates(&evidence), ["torch", "0-1"]);
        assert!(matches!(&evidence, Evidence::Several { why, .. } if why.contains("torchvision")));
    }
}

#[test]
fn the_exporter_is_no_evidence() {
    let mut imported = network(0.0, 255.0, Normalized::Random, 1);
    imported.graph.nodes[0].shape = Shape::new(64, 64, 3);
    assert!(matches!(weigh(&imported), Evidence::Several { .. }));
}

#[test]
fn normalization_in_the_network_decides() {
    let begins = |gain: [f32; 3], offset: [f32; 3]| {
        let mut imported = network(0.0, 1.0, Normalized::Folded, 1);
        let nodes = &mut imported.graph.nodes;
        nodes.iter_mut().for_each(|node| node.inputs.iter_mut().for_each(|i| *i += 1));
        let op = Op::Affine { gain: gain.to_vec(), offset: offset.to_vec() };
        let shape = nodes[0].shape;
        nodes[0] = Node { name: "map".into(), op, inputs: vec![0], shape };
        nodes.insert(0, Node { name: "input".into(), op: Op::Input, inputs: vec![], shape });
        imported.graph.output += 1;
        weigh(&imported)
    };
    let imagenet =
        begins([1.0 / 0.229, 1.0 / 0.224, 1.0 / 0.225], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]);
    assert_eq!(candidates(&imagenet), ["0-1"]);
    assert_eq!(candidates(&begins([1.0 / 127.5; 3], [-1.0; 3])), ["none"]);
    assert_eq!(candidates(&begins([1.0 / 255.0; 3], [0.0; 3])), ["none"]);
    assert!(candidates(&begins([0.3; 3], [-7.0; 3])).len() > 2);
}

#[test]
fn one_rule_fits_images() {
    let at = |side| Shape::new(side, side, 3);
    assert_eq!(resize("torch", at(224)), Resize::Crop { short_side: 256 });
    assert_eq!(resize("torch", at(64)), Resize::Crop { short_side: 73 });
    assert_eq!(resize("torch", at(32)), Resize::Stretch);
    assert_eq!(resize("tf", at(224)), Resize::Stretch);
}
