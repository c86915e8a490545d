//! TFLite files against LiteRT's answers. `tflite/generate.py` writes small ones; MLPerf Tiny's ResNet-8 lies beside
//! the repository.
#![allow(missing_docs)]

mod stories;

use std::path::{Path, PathBuf};

use foldnet::Session;
use foldnet_converter::float::FloatNet;
use foldnet_converter::graph::Graph;
use foldnet_converter::image::Pixels;
use foldnet_converter::import::{Imported, read};
use foldnet_converter::pass::{Preprocess, fold, prepend};
use foldnet_converter::pixels::{Evidence, weigh};
use foldnet_converter::quantize::recipe::Silent;
use foldnet_converter::quantize::{Options, quantize};
use foldnet_kernels::{Shape, dispatch};
use serde::Deserialize;
use stories::stories;

/// What LiteRT answers.
#[derive(Deserialize)]
struct Story {
    /// In front of the last function, for the first images.
    logits: Vec<Vec<f64>>,
    /// Of the logits; 0 where they are floats.
    step: f64,
}

/// The image that the generator makes.
fn image(number: usize) -> Pixels {
    const SIDE: usize = 24;
    let pixel = |i: usize| {
        let (y, x, c) = (i / 3 / SIDE, i / 3 % SIDE, i % 3);
        let waves = (x * (3 + number % 7) + y * (5 + number % 5) + c * 40 + number * 37) % 256;
        let grain = (x * y * (number + 1) + c * 11) % 256;
        ((3 * waves + grain) / 4) as u8
    };
    let values: Vec<u8> = (0..SIDE * SIDE * 3).map(pixel).collect();
    Pixels::new(Shape::new(SIDE, SIDE, 3), values).unwrap()
}

/// Pixels in, logits out.
fn folded(imported: Imported, preprocess: &str) -> Graph {
    let mut graph = imported.graph;
    prepend(&mut graph, &Preprocess::parse(preprocess, 3).unwrap()).unwrap();
    fold(&mut graph);
    graph
}

/// What the file's scales make of the image's bytes; without scales, what the generator does to them.
fn preprocess(imported: &Imported) -> String {
    match (imported.input_grid, weigh(imported)) {
        (Some(_), Evidence::One(reading)) => reading.preprocess,
        (Some(_), Evidence::Several { why, .. }) => panic!("{why}"),
        (None, _) => "0-1".into(),
    }
}

fn float_answers(graph: &Graph, images: &[Pixels]) -> Vec<Vec<f32>> {
    let net = FloatNet::new(graph);
    images.iter().map(|image| net.run(image).unwrap()[graph.output].clone()).collect()
}

fn int8_answers(graph: &Graph, images: &[Pixels]) -> Vec<Vec<f32>> {
    let outcome = quantize(graph, images, Options::default(), &Silent).unwrap();
    let mut session = Session::new(&outcome.network, dispatch::best(), 1).unwrap();
    images.iter().map(|image| session.run(image.values()).to_vec()).collect()
}

/// The largest difference, in parts of the largest logit.
fn far(answers: &[Vec<f32>], story: &Story) -> f64 {
    let most = story.logits.iter().flatten().fold(0.0f64, |m, v| m.max(v.abs()));
    let pairs = answers.iter().flatten().zip(story.logits.iter().flatten());
    pairs.map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max) / most
}

#[test]
fn float_files_have_the_answers_of_litert() {
    let mut seen = 0;
    for (name, (bytes, story)) in
        stories::<Story>("tflite/tflite.tar.gz", ".tflite").iter().filter(|(_, (_, story))| story.step == 0.0)
    {
        let imported = read(bytes, Path::new("")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let graph = folded(imported, "0-1");
        let images: Vec<Pixels> = (0..story.logits.len()).map(image).collect();
        let far = far(&float_answers(&graph, &images), story);
        // LiteRT rounds activations where weights alone are int8.
        let limit = if name.ends_with("dynamic") { 0.05 } else { 2e-5 };
        assert!(far < limit, "{name}: {far}");
        seen += 1;
    }
    assert_eq!(seen, 7);
}

#[test]
fn int8_files_keep_their_scales_and_have_the_answers_of_litert() {
    let (mut seen, mut equal, mut all) = (0, 0, 0);
    let bytewise = |name: &str, step: f64| step > 0.0 && !name.ends_with("int16");
    for (name, (bytes, story)) in stories::<Story>("tflite/tflite.tar.gz", ".tflite")
        .iter()
        .filter(|(name, (_, story))| bytewise(name, story.step))
    {
        let imported = read(bytes, Path::new("")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let reading = preprocess(&imported);
        assert!(!imported.graph.given.is_empty(), "{name}");
        let graph = folded(imported, &reading);
        let images: Vec<Pixels> = (0..story.logits.len()).map(image).collect();
        let answers = int8_answers(&graph, &images);
        for (ours, theirs) in answers.iter().flatten().zip(story.logits.iter().flatten()) {
            let steps = ((f64::from(*ours) - theirs) / story.step).abs();
            assert!(steps < 2.01, "{name} ({reading}): {ours}, not {theirs}: {steps} steps");
            equal += usize::from(steps < 0.01);
            all += 1;
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
    println!("{equal} of {all} logits are equal");
    assert!(equal * 10 > all * 9, "{equal} of {all} logits are equal");
}

#[test]
fn activations_of_16_bits_are_quantized_anew_and_that_is_said() {
    let stories = stories::<Story>("tflite/tflite.tar.gz", ".tflite");
    let (bytes, story) = &stories["residual.int16"];
    let imported = read(bytes, Path::new("")).unwrap();
    assert!(imported.notes.iter().any(|n| n.contains("16 bits")), "{:?}", imported.notes);
    assert!(imported.graph.given.is_empty());
    let graph = folded(imported, "0-1");
    let images: Vec<Pixels> = (0..story.logits.len()).map(image).collect();
    let far = far(&float_answers(&graph, &images), story);
    assert!(far < 0.01, "{far}");
}

/// The folder beside the repository, where it is.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if !folder.is_dir() {
        eprintln!("NOT TESTED: {} is missing, and with it MLPerf Tiny's ResNet-8", folder.display());
        return None;
    }
    Some(folder)
}

/// The largest one; of equal ones the first.
fn top<T: PartialOrd>(row: &[T]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

#[test]
fn mlperf_tinys_int8_resnet_answers_as_in_litert() {
    let Some(shared) = shared() else { return };
    let model = std::fs::read(shared.join("models/resnet8-mlperf-tiny.int8.tflite")).unwrap();
    let records = std::fs::read(shared.join("data/cifar10/test-1017.bin")).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/litert_resnet8.i8");
    let golden: Vec<i8> = std::fs::read(golden).unwrap().into_iter().map(|b| b as i8).collect();
    let imported = read(&model, Path::new("")).unwrap();
    assert_eq!(preprocess(&imported), "none");
    let graph = folded(imported, "none");
    let image = |record: &[u8]| {
        let values: Vec<u8> = (0..3072).map(|i| record[1 + i % 3 * 1024 + i / 3]).collect();
        Pixels::new(Shape::new(32, 32, 3), values).unwrap()
    };
    let images: Vec<Pixels> = records.chunks_exact(3073).map(image).collect();
    let outcome = quantize(&graph, &images[..4], Options::default(), &Silent).unwrap();
    let mut session = Session::new(&outcome.network, dispatch::best(), 0).unwrap();
    let (scale, zero) = (0.171_853_51f32, 24.0);
    let (mut same, mut equal, mut most) = (0, 0, 0.0f32);
    for (image, theirs) in images.iter().zip(golden.chunks_exact(10)) {
        let ours = session.run(image.values()).to_vec();
        same += usize::from(top(&ours) == top(theirs));
        for (a, &b) in ours.iter().zip(theirs) {
            let steps = (a / scale + zero - f32::from(b)).abs();
            equal += usize::from(steps < 0.01);
            most = most.max(steps);
        }
    }
    println!(
        "same top-1: {same} of {}; {equal} logits equal, the largest difference {most} steps",
        images.len()
    );
    assert!(same * 1000 >= 995 * images.len(), "{same} of {}", images.len());
    assert!(most < 2.01, "{most} steps");
}
