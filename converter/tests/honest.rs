//! What the program says about a conversion is true: outputs of every meaning, a verdict with its reason, and no
//! input that is overwritten.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::{Attribute, Onnx, small_classifier};
use foldnet_archive::OutputKind;
use serde_json::Value;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Images of these classes, `n` of each, all different; the class `.` is the folder itself.
    fn images(&self, folder: &str, classes: &[&str], n: u32) {
        for (c, class) in classes.iter().enumerate() {
            let folder = self.path(folder).join(class.trim_matches('.'));
            fs::create_dir_all(&folder).unwrap();
            for i in 0..n {
                let pixel = |x: u32, y: u32| {
                    let k = (x * 29 + y * 23 + i * 41 + c as u32 * 97) as u8;
                    image::Rgb([k, k.wrapping_mul(3), (x * y + i * 7) as u8])
                };
                image::RgbImage::from_fn(8, 8, pixel).save(folder.join(format!("{i}.png"))).unwrap();
            }
        }
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("SOURCE_DATE_EPOCH", "1764460800").output().unwrap()
    }

    fn json(&self, words: &str) -> Value {
        let output = self.run(&format!("{words} --json"));
        assert!(output.status.success(), "{words}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refused(&self, words: &str) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        stderr(&output)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A network with one output, as Keras's Dense(1).
fn one_output(sigmoid: bool) -> Vec<u8> {
    if !sigmoid {
        return small_classifier(1).bytes();
    }
    let mut model = small_classifier(1).node("Sigmoid", "logits", "p", &[]);
    model.graph().output.clear();
    model.output("p", &[1, 1]).bytes()
}

#[test]
fn one_output_has_a_true_error_and_is_read_as_its_evidence_says() {
    let place = Place::new();
    place.write("net.onnx", &one_output(false));
    place.images("two", &["no", "yes"], 20);
    place.images("flat", &["."], 40);
    let said = place.json("quantize net.onnx --images two -o two.nnef.tgz --preprocess 0/255");
    assert_eq!(said["kind"], "logit");
    assert!((5.0..80.0).contains(&said["sqnr"].as_f64().unwrap()), "{said}");
    let kind = |file: &str| foldnet_archive::read(&place.path(file)).unwrap().1.output;
    assert_eq!(kind("two.nnef.tgz"), Some(OutputKind::Logit));

    let plain = place.json("quantize net.onnx --images flat -o flat.nnef.tgz --preprocess 0/255");
    assert_eq!((&plain["kind"], &plain["agreement"]), (&"numbers".into(), &Value::Null));
    assert!(plain["verdict"]["sentence"].as_str().unwrap().contains("R²"), "{plain}");
    assert_eq!(kind("flat.nnef.tgz"), None, "it follows from the network");
    let asked =
        place.json("quantize net.onnx --images flat -o asked.nnef.tgz --preprocess 0/255 --output logit");
    assert_eq!((&asked["kind"], kind("asked.nnef.tgz")), (&"logit".into(), Some(OutputKind::Logit)));
    let refused = place.refused("quantize net.onnx --images flat -o x.nnef.tgz --output softmax");
    assert!(refused.contains("--output softmax") && refused.contains("at least two outputs"), "{refused}");
}

#[test]
fn two_folders_and_a_threshold_evaluate_one_output() {
    let place = Place::new();
    place.write("net.onnx", &one_output(true));
    place.images("two", &["no", "yes"], 20);
    place.write("two.txt", b"no\nyes\n");
    let said = place.json("quantize net.onnx --images two --labels two.txt -o a.nnef.tgz --preprocess 0/255");
    assert_eq!(said["kind"], "sigmoid");
    assert_eq!(foldnet_archive::read(&place.path("a.nnef.tgz")).unwrap().1.labels, ["no", "yes"]);
    let right = |more: &str| {
        let said = place.json(&format!("eval a.nnef.tgz --images two {more}"));
        assert_eq!(said["images"], 40);
        said["correct"].as_u64().unwrap()
    };
    // At the ends of the scale everything is the one class or the other: half of the images.
    assert_eq!((right("--threshold 0.9999999"), right("--threshold 0.0000001")), (20, 20));
    right("");
    assert!(place.refused("eval a.nnef.tgz --images two --threshold 1").contains("between 0 and 1"));
}

#[test]
fn the_search_sees_the_error_of_one_output() {
    let place = Place::new();
    place.write("net.onnx", &one_output(false));
    place.images("flat", &["."], 40);
    let report = |effort: &str| {
        place.json(&format!(
            "quantize net.onnx --images flat -o a.nnef.tgz --preprocess 0/255 --effort {effort} --report r.json"
        ));
        let text = fs::read(place.path("r.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()
    };
    let searched = report("normal");
    let moved = |pass: &&Value| {
        pass["before"].as_f64().is_some_and(|b| (b - pass["after"].as_f64().unwrap()).abs() > 0.01)
    };
    let passes = searched["passes"].as_array().unwrap();
    assert!(passes.iter().any(|pass| moved(&pass)), "no pass changed anything: {passes:?}");
    assert!(passes.iter().all(|pass| pass["after"].as_f64().unwrap() < 100.0), "{passes:?}");
    assert_eq!(searched["origin"]["date"], "2025-11-30");
    assert!(searched["origin"]["command"].as_str().unwrap().starts_with("converter quantize net.onnx"));
}

/// A classifier that says its second class to everything.
fn stubborn() -> Vec<u8> {
    let mut model = small_classifier(3);
    for tensor in &mut model.graph().initializer {
        if tensor.name == "fc.b" {
            tensor.raw_data = [0f32, 1e4, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        }
    }
    model.bytes()
}

#[test]
fn the_verdict_notices_what_makes_agreement_worthless() {
    let place = Place::new();
    place.write("net.onnx", &stubborn());
    place.images("photos", &["ant", "bee", "cow"], 20);
    place.images("flat", &["."], 60);
    let verdict = |images: &str| {
        place.json(&format!("quantize net.onnx --images {images} -o a.nnef.tgz"))["verdict"].clone()
    };
    let labelled = verdict("photos");
    assert_eq!(labelled["grade"], "broken", "{labelled}");
    assert!(labelled["sentence"].as_str().unwrap().contains("--preprocess"), "{labelled}");
    let unlabelled = verdict("flat");
    assert_eq!(unlabelled["grade"], "look", "{unlabelled}");
    assert!(unlabelled["sentence"].as_str().unwrap().contains("class 1 to all"), "{unlabelled}");
    let noise = place.json("quantize net.onnx --synthetic -o a.nnef.tgz")["verdict"].clone();
    assert!(noise["grade"] == "look" && noise["sentence"].as_str().unwrap().contains("noise"), "{noise}");
    let shown = place.run("quantize net.onnx --images flat -o a.nnef.tgz");
    let results = String::from_utf8(shown.stdout.clone()).unwrap();
    assert!(results.starts_with("look: "), "the verdict comes first: {results}");
    assert!(results.contains("layers in int8"), "{results}");
    assert!(!stderr(&shown).contains("look: "), "results are printed once: {}", stderr(&shown));
    assert!(!stderr(&shown).contains("dB"), "decibels are for -v: {}", stderr(&shown));
    assert!(stderr(&place.run("quantize net.onnx --images flat -o a.nnef.tgz -v")).contains("dB"));
}

#[test]
fn images_whose_answer_changes_are_named() {
    let place = Place::new();
    place.write("net.onnx", &small_classifier(3).bytes());
    place.write("stubborn.onnx", &stubborn());
    place.images("photos", &["ant", "bee", "cow"], 10);
    let line = "compare net.onnx stubborn.onnx --images photos";
    let said = place.json(line);
    let changed: Vec<&str> =
        said["changed"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    assert!(!changed.is_empty(), "{said}");
    let same = 30 - changed.len();
    assert!((said["agreement"].as_f64().unwrap() - same as f64 / 30.0).abs() < 1e-9, "{said}");
    let ends: Vec<f64> = said["interval"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert!(ends[0] <= same as f64 / 30.0 && same as f64 / 30.0 <= ends[1] && ends[0] < ends[1], "{said}");
    let shown = String::from_utf8(place.run(line).stdout).unwrap();
    assert!(shown.contains(&format!("another answer: {}", changed[0])) && shown.contains("95 %"), "{shown}");
}

#[test]
fn a_published_network_has_imagenets_names_unless_told_otherwise() {
    let place = Place::new();
    let network = |side: i64, classes: i64| {
        Onnx::new(13, &[1, 3, side, side])
            .conv("x", "layer1.0.conv1", [4, 3, 3, 3], &[])
            .node("Relu", "layer1.0.conv1", "r", &[])
            .node("GlobalAveragePool", "r", "pooled", &[])
            .node("Flatten", "pooled", "flat", &[])
            .weight("fc.w", &[classes, 4])
            .weight("fc.b", &[classes])
            .node("Gemm", "flat fc.w fc.b", "logits", &[("transB", Attribute::Int(1))])
            .output("logits", &[1, classes])
            .bytes()
    };
    place.write("published.onnx", &network(64, 1000));
    place.write("other.onnx", &network(64, 999));
    let labels = |words: &str| {
        place.json(&format!("quantize {words} --synthetic --effort low -o a.nnef.tgz"));
        foldnet_archive::read(&place.path("a.nnef.tgz")).unwrap().1.labels
    };
    let names = labels("published.onnx");
    assert_eq!((names.len(), names[0].as_str()), (1000, "tench"));
    assert!(labels("published.onnx --no-labels").is_empty() && labels("other.onnx").is_empty());
    let said = stderr(&place.run("quantize published.onnx --synthetic --effort low -o a.nnef.tgz"));
    assert!(said.contains("labels: ImageNet-1k's") && said.contains("--no-labels"), "{said}");
}

#[test]
fn what_training_held_out_is_what_is_checked() {
    let place = Place::new();
    place.images("photos", &["ant", "bee", "cow"], 30);
    place.write("net.onnx", &small_classifier(3).says("held_out", "share=0.3 seed=4").bytes());
    place.write("plain.onnx", &small_classifier(3).bytes());
    place.write("odd.onnx", &small_classifier(3).says("held_out", "some").bytes());
    let said = place.json("quantize net.onnx --images photos -o a.nnef.tgz");
    let held = said["held_out_images"].as_u64().unwrap();
    assert!(said["unseen"] == true && held != 18 && (10..45).contains(&held), "{said}");
    assert_eq!(said["calibration_images"].as_u64().unwrap() + held, 90);
    assert!(said["verdict"]["sentence"].as_str().unwrap().contains("held-out images"), "{said}");
    let plain = place.json("quantize plain.onnx --images photos -o a.nnef.tgz");
    assert_eq!((&plain["unseen"], &plain["held_out_images"]), (&false.into(), &18.into()));
    assert!(!plain["verdict"]["sentence"].as_str().unwrap().contains("held-out"), "{plain}");
    assert!(place.refused("quantize odd.onnx --images photos -o a.nnef.tgz").contains("held_out"));
}

#[test]
fn inputs_are_never_overwritten() {
    let place = Place::new();
    place.write("net.onnx", &small_classifier(3).bytes());
    place.write("three.txt", b"ant\nbee\ncow\n");
    place.images("photos", &["ant", "bee", "cow"], 6);
    fs::hard_link(place.path("net.onnx"), place.path("hard.onnx")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("net.onnx", place.path("soft.onnx")).unwrap();
    #[cfg(not(unix))]
    fs::hard_link(place.path("net.onnx"), place.path("soft.onnx")).unwrap();
    let watched = ["net.onnx", "three.txt", "photos/ant/0.png"];
    let before: Vec<Vec<u8>> = watched.iter().map(|f| fs::read(place.path(f)).unwrap()).collect();
    let quantize = "quantize net.onnx --images photos --labels three.txt";
    for words in [
        format!("{quantize} -o net.onnx"),
        format!("{quantize} -o photos/../net.onnx"),
        format!("{quantize} -o hard.onnx"),
        format!("{quantize} -o soft.onnx"),
        format!("{quantize} -o three.txt"),
        format!("{quantize} -o photos/ant/0.png"),
        format!("{quantize} -o a.nnef.tgz --report a.nnef.tgz"),
        format!("{quantize} -o report.json --report ./report.json"),
        format!("{quantize} -o a.nnef.tgz --report net.onnx"),
        format!("{quantize} -o a.nnef.tgz --report report.pdf"),
        format!("{quantize} -o a.nnef.tgz --report report"),
        "eval net.onnx --images photos --logits net.onnx".into(),
    ] {
        let said = place.refused(&words);
        assert!(
            said.contains("-o ") || said.contains("--report ") || said.contains("--logits "),
            "{words}: {said}"
        );
        let now: Vec<Vec<u8>> = watched.iter().map(|f| fs::read(place.path(f)).unwrap()).collect();
        assert!(now == before, "{words} changed an input");
        assert!(!place.path("a.nnef.tgz").exists(), "{words}");
    }
    // An archive that is there already is replaced.
    place.json(&format!("{quantize} -o a.nnef.tgz"));
    place.json(&format!("{quantize} -o a.nnef.tgz"));
}

#[test]
fn other_kinds_of_files_are_named_with_advice() {
    let place = Place::new();
    place.images("photos", &["ant"], 6);
    place.write("net.pt", b"PK\x03\x04........net/data.pkl....");
    place.write("net.tflite", b"\x1c\0\0\0TFL3........");
    place.write("net.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    for (file, words) in [
        ("net.pt", ["PyTorch", "torch.onnx.export"]),
        ("net.tflite", ["TensorFlow Lite model cannot be read", "truncated"]),
        ("net.onnx", ["Git LFS", "git lfs pull"]),
    ] {
        for command in ["quantize", "inspect", "eval"] {
            let images = if command == "inspect" { "" } else { "--images photos" };
            let said = place.refused(&format!("{command} {file} {images}"));
            assert!(words.iter().all(|w| said.contains(w)), "{command} {file}: {said}");
        }
    }
}

#[test]
fn external_data_counts_as_part_of_the_model() {
    use foldnet_converter::onnx::StringStringEntryProto;
    use foldnet_converter::onnx::tensor_proto::DataLocation;

    let place = Place::new();
    place.images("photos", &["ant"], 6);
    let mut model: Onnx = small_classifier(3);
    let inside = model.bytes().len() as u64;
    let mut data = Vec::new();
    for tensor in &mut model.graph().initializer {
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
        let raw = std::mem::take(&mut tensor.raw_data);
        tensor.external_data = vec![
            entry("location", "weights.bin".into()),
            entry("offset", data.len().to_string()),
            entry("length", raw.len().to_string()),
        ];
        tensor.data_location = Some(DataLocation::External as i32);
        data.extend(raw);
    }
    place.write("net.onnx", &model.bytes());
    place.write("weights.bin", &data);
    let said = place.json("quantize net.onnx --images photos -o a.nnef.tgz");
    let whole = said["bytes_before"].as_u64().unwrap();
    assert_eq!(whole, fs::metadata(place.path("net.onnx")).unwrap().len() + data.len() as u64);
    assert!(whole > inside, "{whole} {inside}");
    assert_eq!((&said["layers_quantized"], &said["layers_float"]), (&4.into(), &0.into()));
    for words in [
        "quantize net.onnx --images photos -o weights.bin",
        "eval net.onnx --images photos --logits weights.bin",
        "doctor net.onnx --images photos --csv weights.bin",
    ] {
        assert!(place.refused(words).contains("overwrite an input"), "{words}");
    }
    assert_eq!(fs::read(place.path("weights.bin")).unwrap(), data);
}
