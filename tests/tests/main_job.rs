//! The README's main job, and the figures that the built-in and the shared networks must reach.
#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use foldnet::Session;
use foldnet_converter::float::FloatNet;
use foldnet_converter::image::Pixels;
use foldnet_converter::import;
use foldnet_converter::pass::fold;
use foldnet_image::{Image, fit};
use foldnet_kernels::Shape;
use foldnet_tests::{output, program, root, shared};
use foldnet_tract::Stock;
use serde_json::Value;

fn pictures() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("tests/pictures")).unwrap();
    let mut pictures: Vec<PathBuf> =
        folder.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "png")).collect();
    pictures.sort();
    assert_eq!(pictures.len(), 20);
    pictures
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().into()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// One archive from the built-in network serves all that is asked of it.
#[test]
fn the_built_in_network_is_quantized_and_right() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("default.nnef.tgz");
    output(program("converter").args(["quantize", "--quiet", "-o"]).arg(&archive));

    // Right labels for the images in the repository.
    let lines = output(
        program("runtime").args(["classify", "--json"]).arg(&archive).arg(root().join("tests/pictures")),
    );
    let answers: Vec<Value> = lines.lines().map(json).collect();
    assert_eq!(answers.len(), 20);
    for answer in &answers {
        let (image, label) =
            (answer["image"].as_str().unwrap(), answer["labels"][0]["label"].as_str().unwrap());
        assert!(stem(Path::new(image)).starts_with(label), "{image} is taken for {label}");
    }

    // Stock tract runs the archive and has our bits.
    let (network, manifest) = foldnet_archive::read(&archive).unwrap();
    let mut stock = Stock::load(&archive, network.input()).unwrap();
    let mut session = Session::new(&network, foldnet_kernels::dispatch::best(), 1).unwrap();
    for path in pictures() {
        let pixels = fit(&Image::open(&path).unwrap(), &manifest.input);
        assert_eq!(stock.logits(&pixels).unwrap(), session.run(&pixels), "{}", path.display());
    }

    // As right as the f32 network (891 of these 1,017), give or take three images: it was calibrated on 80.
    let Some(shared) = shared() else { return };
    let test = shared.join("data/cifar10/test-1017.bin");
    let outcome = output(program("converter").args(["eval", "--json", "--images"]).arg(&test).arg(&archive));
    let correct = json(&outcome)["correct"].as_u64().unwrap();
    println!("built-in ResNet-20: {correct} of 1017 right");
    assert!(correct >= 888, "{correct}");
}

#[test]
fn resnet_8_keeps_its_accuracy() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("resnet8.nnef.tgz");
    let model = shared.join("models/resnet8-mlperf-tiny.onnx");
    let train = shared.join("data/cifar10/train-1000.bin");
    let test = shared.join("data/cifar10/test-1017.bin");
    output(
        program("converter")
            .args(["quantize", "--quiet"])
            .arg(&model)
            .arg("--images")
            .arg(train)
            .arg("-o")
            .arg(&archive),
    );
    let outcome =
        output(program("converter").args(["eval", "--json"]).arg(&archive).arg("--images").arg(&test));
    let correct = json(&outcome)["correct"].as_u64().unwrap();
    let outcome = output(
        program("converter").args(["compare", "--json"]).arg(&model).arg(&archive).arg("--images").arg(&test),
    );
    let agreement = json(&outcome)["agreement"].as_f64().unwrap();
    println!("ResNet-8: {correct} of 1017 right (f32: 895), same top-1 as f32 on {:.2} %", agreement * 100.0);
    assert!(correct >= 894, "{correct}");
    assert!(agreement >= 0.983, "{agreement}");
}

/// The folded float graph against ONNX Runtime's logits of the file, see `golden/onnxruntime_logits.py`.
#[test]
fn the_folded_graph_computes_what_onnx_runtime_does() {
    let bytes = fs::read(root().join("converter/assets/resnet20-v1-cifar10.onnx")).unwrap();
    let mut graph = import::read(&bytes, Path::new("")).unwrap().graph;
    fold(&mut graph);
    let net = FloatNet::new(&graph);
    let golden = fs::read_to_string(root().join("tests/golden/onnxruntime_logits.txt")).unwrap();
    let mut lines = golden.lines();
    for path in pictures() {
        let mut words = lines.next().unwrap().split_whitespace();
        assert_eq!(words.next(), path.file_name().unwrap().to_str());
        let expected: Vec<f32> = words.map(|w| w.parse().unwrap()).collect();
        let image = Image::open(&path).unwrap();
        let shape = Shape::new(image.height(), image.width(), 3);
        let pixels = Pixels::new(shape, image.rgb()).unwrap();
        let got = &net.run(&pixels).unwrap()[graph.output];
        let (low, high) = expected.iter().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        assert_eq!(got.len(), expected.len());
        for (e, g) in expected.iter().zip(got) {
            assert!((e - g).abs() < 1e-3 * (high - low), "{}: {e} and {g}", path.display());
        }
    }
}

/// The sample in the README is what the programs print, line by line in this order. Numbers may differ by one: on
/// another processor calibration in f32 differs in its last bits.
#[test]
fn the_readme_shows_what_the_programs_print() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let sample = readme.split_once("It prints:").expect("the sample's introduction").1;
    let sample: Vec<&str> = sample
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("    "))
        .filter(|line| *line != "…")
        .collect();
    assert!(sample.len() >= 5, "{sample:?}");

    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root().join("tests"), folder.path().join("tests")).unwrap();
    let run = |name: &str, arguments: &[&str]| {
        let done = program(name).current_dir(folder.path()).args(arguments).output().unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
        [done.stderr, done.stdout].map(|text| String::from_utf8(text).unwrap()).concat()
    };
    let printed = run("converter", &["quantize", "-o", "cifar.nnef.tgz"])
        + &run("runtime", &["classify", "cifar.nnef.tgz", "tests/pictures"]);
    let mut lines = printed.lines();
    for expected in sample {
        assert!(
            lines.any(|line| alike(line, expected)),
            "not printed, or not in this order: {expected}\n{printed}"
        );
    }
}

/// Whether two lines have the same words, and numbers that differ by one at most.
fn alike(a: &str, b: &str) -> bool {
    let same = |(a, b): (&str, &str)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1.0,
        _ => a == b,
    };
    a.split_whitespace().count() == b.split_whitespace().count()
        && a.split_whitespace().zip(b.split_whitespace()).all(same)
}
