//! The program as its users meet it: answers, exit codes, and one clear message for each bad input.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::{Onnx, silent_classifier, small_classifier};
use serde_json::Value;

/// A folder with models, images, and things that are neither.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("net.onnx", &small_classifier(3).bytes());
        place.write("five.onnx", &small_classifier(5).bytes());
        for class in ["ant", "bee", "cow"] {
            fs::create_dir_all(place.path(&format!("photos/{class}"))).unwrap();
        }
        for i in 0..18u32 {
            let class = ["ant", "bee", "cow"][i as usize % 3];
            let pixel = |x: u32, y: u32| {
                image::Rgb([(x * 29 + i * 31) as u8, (y * 23 + x * i) as u8, (x * y + i * 7) as u8])
            };
            image::RgbImage::from_fn(10, 12, pixel)
                .save(place.path(&format!("photos/{class}/{i}.png")))
                .unwrap();
        }
        fs::create_dir(place.path("mixed")).unwrap();
        for i in 0..6 {
            fs::copy(place.path("photos/ant/0.png"), place.path(&format!("mixed/{i}.png"))).unwrap();
        }
        place.write("mixed/broken.png", b"no picture");
        fs::create_dir(place.path("empty")).unwrap();
        place.write("nothing.onnx", b"");
        place.write("notes.onnx", b"these are notes, not a network");
        place.write("cut.onnx", &small_classifier(3).bytes()[..3000]);
        place.write("claim.onnx", &[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]);
        let unknown =
            Onnx::new(13, &[1, 3, 8, 8]).node("NonMaxSuppression", "x", "boxes", &[]).output("boxes", &[1]);
        place.write("unknown.onnx", &unknown.bytes());
        let detector = small_classifier(3).output("r2", &[1, 8, 8, 8]);
        place.write("detector.onnx", &detector.bytes());
        place.write("odd.onnx", &small_classifier(3).says("preprocess", "keras").bytes());
        place.write("crop.onnx", &small_classifier(3).says("resize", "crop:0").bytes());
        place.write("two.txt", b"cat\ndog\n");
        place.write("three.txt", b"ant\nbee\ncow\n");
        place.write("binary.txt", &[0xff, 0xfe, 0]);
        // Two CIFAR records: 32×32 images whose labels are beyond three classes.
        place.write("cifar.bin", &[9u8; 2 * 3073]);
        place.write("odd.bin", &[0; 3000]);
        place.write("earlier.nnef.tgz", b"what was there before");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn json(&self, words: &str) -> Value {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Names in the folder, temporary ones included.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn bad_input_is_named_with_exit_code_2_and_leaves_nothing() {
    let place = Place::new();
    let before = place.names();
    let write = "-o earlier.nnef.tgz";
    // words; what standard error must say
    let cases: &[(&str, &[&str])] = &[
        ("", &["Usage"]),
        ("quantize net.onnx", &["no images to calibrate on", "--images", "--synthetic"]),
        ("quantize net.onnx --images photos --synthetic", &["--synthetic"]),
        ("quantize absent.onnx --images photos", &["absent.onnx", "No such file"]),
        ("quantize photos --images photos", &["photos", "folder"]),
        ("quantize nothing.onnx --images photos", &["nothing.onnx", "not an ONNX model", "empty"]),
        ("quantize notes.onnx --images photos", &["notes.onnx", "not an ONNX model"]),
        ("quantize cut.onnx --images photos", &["cut.onnx", "not an ONNX model"]),
        ("quantize claim.onnx --images photos", &["claim.onnx", "not an ONNX model"]),
        (
            "quantize unknown.onnx --images photos",
            &["boxes_node", "NonMaxSuppression", "opset 13", "not supported"],
        ),
        ("quantize detector.onnx --images photos", &["2 outputs (logits, r2)", "--output-name"]),
        ("quantize net.onnx --images absent", &["absent", "No such file"]),
        ("quantize net.onnx --images empty", &["empty", "no images"]),
        ("quantize net.onnx --images odd.bin", &["odd.bin", "3000 bytes"]),
        ("quantize net.onnx --images cifar.bin --labels three.txt", &["label 9", "3 outputs"]),
        ("quantize net.onnx --images mixed --strict", &["broken.png", "--strict"]),
        ("quantize net.onnx --images photos --labels two.txt", &["two.txt", "2 labels", "3 outputs"]),
        ("quantize net.onnx --images photos --labels binary.txt", &["binary.txt", "UTF-16"]),
        ("quantize net.onnx --images photos --labels absent.txt", &["absent.txt", "No such file"]),
        ("quantize net.onnx --images photos --preprocess keras", &["keras", "caffe"]),
        ("quantize odd.onnx --images photos", &["odd.onnx", "metadata", "keras", "caffe"]),
        ("quantize crop.onnx --images photos", &["crop.onnx", "metadata", "resize"]),
        ("quantize net.onnx --images photos --resize crop:0", &["--resize"]),
        ("quantize net.onnx --images photos --max-images 0", &["--max-images"]),
        ("quantize net.onnx --images photos --max-drop nan", &["--max-drop", "finite"]),
        (
            "quantize net.onnx --images photos -o absent/out.nnef.tgz",
            &["absent/out.nnef.tgz", "cannot be written"],
        ),
        ("quantize net.onnx --images photos -o empty", &["empty", "folder"]),
        ("quantize net.onnx --images photos -o /dev/full", &["/dev/full", "No space left"]),
        ("quantize net.onnx --images photos --report absent/r.json", &["absent/r.json", "cannot be written"]),
        ("inspect cut.onnx", &["cut.onnx"]),
        ("inspect earlier.nnef.tgz", &["earlier.nnef.tgz"]),
        ("eval net.onnx", &["--images"]),
        ("eval net.onnx --images cifar.bin", &["label 9"]),
        ("eval net.onnx --images mixed --strict --logits l.npy", &["broken.png", "--strict"]),
        ("eval net.onnx --images mixed", &["mixed: no image has a label", "one subfolder for each class"]),
        ("compare net.onnx five.onnx --images photos", &["3 outputs", "5"]),
        ("export --qdq net.onnx", &["float model", "converter quantize"]),
        ("export net.onnx", &["--qdq", "--rknn"]),
        ("export --rknn rk3399 net.onnx", &["rk3399", "rk3588"]),
        ("export --ethos-u ethos-u99 net.onnx", &["ethos-u99", "ethos-u55-128"]),
        ("export --qdq net.onnx --min-agreement 1", &["--rknn", "--ethos-u"]),
        ("export --board no-such-board net.onnx", &["no-such-board"]),
        ("export --board rock-5b net.onnx", &["runs Linux", "archive"]),
        ("export --board rp2350-pico2 --plan cortex-m4 net.onnx", &["--board", "--plan"]),
        ("export --rknn rk3588 net.onnx --images photos", &["float model", "converter quantize"]),
        ("export --tflite net.onnx --images photos", &["float model", "converter quantize"]),
        ("export --tflite --qdq net.onnx", &["--tflite", "--qdq"]),
        ("fly", &["fly"]),
    ];
    for (words, expected) in cases {
        let writes = words.starts_with("quantize") && !words.contains("-o ");
        let words = if writes { format!("{words} {write}") } else { (*words).to_owned() };
        let output = place.run(&words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(!said.contains("panicked") && !said.contains("fault of ours"), "{words}: {said}");
        for word in *expected {
            assert!(said.contains(word), "`converter {words}` does not say {word:?}:\n{said}");
        }
    }
    assert_eq!(place.names(), before, "nothing new, nothing left over");
    assert_eq!(fs::read(place.path("earlier.nnef.tgz")).unwrap(), b"what was there before");
}

#[test]
fn no_permission_is_named() {
    // The superuser may write anywhere but into the kernel's own tables.
    let place = Place::new();
    let output = place.run("quantize net.onnx --images photos -o /proc/out.nnef.tgz");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/proc/out.nnef.tgz: cannot be written"), "{}", stderr(&output));
}

#[test]
fn the_whole_way_through_and_the_same_bytes_twice() {
    let place = Place::new();
    let quantize = "quantize net.onnx --images photos --labels three.txt --json -o";
    let result = place.json(&format!("{quantize} a.nnef.tgz --report report.json"));
    assert_eq!(result["output"], "a.nnef.tgz");
    assert_eq!(result["layers_float"], 0);
    assert_eq!(result["layers_quantized"], 4, "{result}");
    assert_eq!(result["calibration_images"], 15);
    assert_eq!(result["held_out_images"], 3);
    assert_eq!(result["bytes"].as_u64().unwrap(), fs::metadata(place.path("a.nnef.tgz")).unwrap().len());
    assert!(result["agreement"].as_f64().is_some_and(|a| (0.0..=1.0).contains(&a)));
    let report: Value = serde_json::from_slice(&fs::read(place.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["layers_quantized"], 4);
    assert!(report["tensors"].as_array().is_some_and(|t| t.len() == 3), "{report}");

    place.json(&format!("{quantize} b.nnef.tgz"));
    assert_eq!(fs::read(place.path("a.nnef.tgz")).unwrap(), fs::read(place.path("b.nnef.tgz")).unwrap());

    let inspected = place.json("inspect a.nnef.tgz --json");
    assert_eq!((&inspected["kind"], &inspected["labels"]), (&"int8".into(), &3.into()));
    assert_eq!(place.json("inspect net.onnx --json")["macs"], inspected["macs"]);

    let float = place.json("eval net.onnx --images photos --json");
    let int8 = place.json("eval a.nnef.tgz --images photos --json");
    for outcome in [&float, &int8] {
        assert_eq!(outcome["images"], 18);
        let share = outcome["correct"].as_f64().unwrap() / 18.0;
        assert!((outcome["top1"].as_f64().unwrap() - share).abs() < 1e-9);
        assert_eq!(outcome["top5"], 1.0, "three classes");
    }
    let compared = place.json("compare net.onnx a.nnef.tgz --images photos --json");
    assert!(compared["sqnr"].as_f64().unwrap() > 20.0, "{compared}");
    assert_eq!(compared["first_diverging"], Value::Null);
    let same = place.json("compare a.nnef.tgz b.nnef.tgz --images photos --json");
    assert_eq!((&same["agreement"], &same["largest_difference"]), (&1.0.into(), &0.0.into()));

    let exported = place.json("export --qdq a.nnef.tgz --json");
    assert_eq!(exported["output"], "a.qdq.onnx");
    assert!(fs::metadata(place.path("a.qdq.onnx")).unwrap().len() > 1000);

    let exported = place.json("export --board rp2350-pico2 a.nnef.tgz -o a.plan --json");
    assert_eq!((&exported["kernels"], &exported["labels"]), (&"dsp".into(), &"a.labels.txt".into()));
    assert_eq!(fs::read_to_string(place.path("a.labels.txt")).unwrap().lines().count(), 3);
    assert_eq!(
        place.json("export --plan cortex-m33 a.nnef.tgz -o b.plan --json")["bytes"],
        exported["bytes"]
    );
}

/// A stand-in for the toolkit's Python: an environment that is complete, with a program that ends like this.
#[cfg(unix)]
fn toolkit(place: &Place, name: &str, script: &str, npu: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let (folder, python) = (place.path(name), place.path(name).join("bin/python"));
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::write(folder.join("foldnet-complete"), "").unwrap();
    fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    format!("export {npu} a.nnef.tgz --toolkit {name}")
}

#[cfg(unix)]
#[test]
fn what_the_toolkit_does_wrong_is_told_and_the_archive_stays() {
    let place = Place::new();
    place.json("quantize net.onnx --images photos -o a.nnef.tgz --json");
    let before = fs::read(place.path("a.nnef.tgz")).unwrap();
    let rknn = |name: &str, script: &str| toolkit(&place, name, script, "--rknn rk3588");
    let vela =
        |name: &str, script: &str| toolkit(&place, name, script, "--ethos-u ethos-u55-128 -o a.tflite");
    let estimate = "echo '{\"system_config\":\"s\",\"memory_mode\":\"m\",\"clock_hz\":1,\"cycles\":1,\
                    \"inferences_per_second\":1,\"macs\":1,\"sram_bytes\":1,\"dram_bytes\":1,\"flash_bytes\":1,\
                    \"operators\":1,\"on_cpu\":[]}' >estimate.json";
    let cases = [
        (rknn("no", "exit 1"), &["--images"][..]),
        (
            rknn("fails", "echo 'ValueError: no such chip' >&2; exit 7") + " --images photos",
            &["rknn-toolkit2 2.3.2 failed", "no such chip"],
        ),
        (
            rknn("short", "touch model.rknn logits.f32 tensors.f32") + " --images photos",
            &["do not fit the network", "0 logits"],
        ),
        (rknn("none", "exit 0") + " --images photos", &["model.rknn"]),
        (vela("vela_no", "exit 1"), &["--images"]),
        (
            vela("vela_fails", "echo 'Error: no such tensor' >&2; exit 7") + " --images photos",
            &["ethos-u-vela 5.2.0 failed", "no such tensor"],
        ),
        (
            vela("vela_odd", "echo {} >estimate.json; touch compiled.tflite outputs.i8 tensors.i8")
                + " --images photos",
            &["do not fit the network", "estimate"],
        ),
        (
            vela("vela_short", &format!("{estimate}; touch compiled.tflite outputs.i8 tensors.i8"))
                + " --images photos",
            &["do not fit the network", "0 logits"],
        ),
        (
            rknn("single", "touch model.rknn logits.f32 tensors.f32") + " --images photos --batch 4",
            &["model_batch.rknn"],
        ),
        ("export --tflite -o a.tflite a.nnef.tgz".into(), &["--images"]),
        ("export --tflite -o a.tflite a.nnef.tgz --images absent".into(), &["absent"]),
        ("export --rknn rk3588 a.nnef.tgz --images photos --batch 0".into(), &["--batch"]),
        ("export --rknn rk3588 a.nnef.tgz --images photos --batch 65".into(), &["--batch"]),
        (
            "export --rknn rk3588 a.nnef.tgz --images photos --toolkit new --python no-such-python".into(),
            &["no-such-python"],
        ),
    ];
    for (words, expected) in cases {
        let output = place.run(&words);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        for word in expected {
            assert!(stderr(&output).contains(word), "`{words}` does not say {word:?}: {}", stderr(&output));
        }
        assert_eq!(fs::read(place.path("a.nnef.tgz")).unwrap(), before, "{words}");
        assert!(!place.path("a.tflite").exists(), "{words}");
    }
}

#[test]
fn an_exported_tflite_file_is_a_model_again() {
    let place = Place::new();
    place.json("quantize net.onnx --images photos -o a.nnef.tgz --json");
    let exported = place.json("export --tflite a.nnef.tgz --images photos -o a.tflite --json");
    assert!(exported["agreement"].as_f64().unwrap() >= 0.99, "{exported}");
    let read = place.json("inspect a.tflite --json");
    assert_eq!(
        (&read["classes"], &read["input"]),
        (&3.into(), &place.json("inspect net.onnx --json")["input"])
    );
    place.json("quantize a.tflite --images photos -o b.nnef.tgz --json");
    let compared = place.json("compare a.nnef.tgz b.nnef.tgz --images photos --json");
    let step = exported["scale"].as_f64().unwrap();
    assert!(compared["largest_difference"].as_f64().unwrap() < 2.0 * step, "{compared}, a step is {step}");
}

/// A stand-in for the user's Python; `$NET` is a model in ONNX.
#[cfg(unix)]
fn python(place: &Place, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let script = format!("#!/bin/sh\nNET={}\n{script}\n", place.path("net.onnx").display());
    fs::write(place.path(name), script).unwrap();
    fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_framework_exports_its_own_models() {
    let place = Place::new();
    place.write("net.keras", b"PK\x03\x04......model.weights.h5......PK\x01\x02");
    fs::create_dir(place.path("saved")).unwrap();
    place.write("saved/saved_model.pb", b"");
    python(&place, "py", "test $1 = -c && exit 0\ncp $NET model.onnx; grep -q format $2");
    place.json("quantize net.onnx --images photos -o a.nnef.tgz --json");
    for model in ["net.keras", "saved"] {
        let words =
            format!("quantize {model} --images photos --python ./py --keep-onnx kept.onnx -o b.nnef.tgz");
        let output = place.run(&words);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("exporting to ONNX with"), "{}", stderr(&output));
        assert_eq!(fs::read(place.path("kept.onnx")).unwrap(), fs::read(place.path("net.onnx")).unwrap());
        let compared = place.json("compare a.nnef.tgz b.nnef.tgz --images photos --json");
        assert_eq!(compared["largest_difference"], 0.0);
    }
    assert_eq!(place.json("inspect net.keras --python ./py --json")["classes"], 3);

    let before = place.names();
    python(&place, "py-broken", "test $1 = -c && exit 0\necho 'ValueError: no layer Mine' >&2; exit 1");
    python(&place, "py-none", "echo 'no network' >&2; exit 1");
    let cases = [
        ("--python ./py-broken", &["Keras", "failed", "no layer Mine"][..]),
        ("--python ./py-none", &["no network", "./py-none -m pip install keras==", "tf2onnx=="]),
        ("--python ./absent", &["./absent", "pip install keras=="]),
        ("--python ./py --keep-onnx net.keras", &["overwrite", "net.keras"]),
        ("--python ./py --keep-onnx absent/kept.onnx", &["absent/kept.onnx"]),
    ];
    for (words, expected) in cases {
        let words = format!("quantize net.keras --images photos -o c.nnef.tgz {words}");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_converter"));
        command.args(words.split(' ')).current_dir(place.path("")).env("XDG_CACHE_HOME", place.path("cache"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        for word in expected {
            assert!(stderr(&output).contains(word), "{words} does not say {word}: {}", stderr(&output));
        }
    }
    let mut after = place.names();
    after.retain(|name| !["cache", "py-broken", "py-none"].contains(&name.as_str()));
    assert_eq!(after, before);
}

#[cfg(unix)]
#[test]
fn published_networks_are_taken_by_name() {
    let place = Place::new();
    place.write("own.h5", b"weights");
    // It succeeds only if the job names the network and, where they are given, the weights.
    let script = |name: &str, weights: &str| {
        format!(
            "test $1 = -c && exit 0\ncp $NET model.onnx; grep -q '\"model\":\"{name}\"' $2 && grep -q '{weights}' $2"
        )
    };
    python(&place, "py", &script("ResNet50V2", "own.h5"));
    let output = place.run("quantize keras:ResNet50V2 --weights own.h5 --images photos --python ./py");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(place.path("ResNet50V2.nnef.tgz").is_file());
    python(&place, "py", &script("hf_hub:timm.resnet18.a1_in1k", "\"weights\":null"));
    place.json("inspect timm:hf_hub:timm.resnet18.a1_in1k --python ./py --json");

    let before = place.names();
    for (words, expected) in [
        ("quantize keras:ResNet50V2 --weights absent.h5 --images photos", &["--weights", "absent.h5"][..]),
        ("quantize keras:ResNet50V2 --weights own.h5 --images photos -o own.h5", &["overwrite", "own.h5"]),
        ("quantize keras:ResNet50V2 --weights own.h5 --images photos --keep-onnx own.h5", &["overwrite"]),
        ("quantize net.onnx --weights own.h5 --images photos", &["--weights goes with", "net.onnx"]),
        ("inspect keras:", &["keras:"]),
        ("inspect elsewhere:resnet18", &["elsewhere:resnet18"]),
    ] {
        let output = place.run(words);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        for word in expected {
            assert!(stderr(&output).contains(word), "{words} does not say {word}: {}", stderr(&output));
        }
    }
    assert_eq!(place.names(), before);
}

#[test]
fn what_a_model_says_of_its_input_is_taken_and_flags_come_first() {
    let place = Place::new();
    let said =
        small_classifier(3).says("preprocess", "tf").says("resize", "crop:9").says("labels", "ant\nbee\ncow");
    place.write("said.onnx", &said.bytes());
    let quantize =
        |words: &str| place.json(&format!("quantize {words} --images photos --json"))["preprocess"].clone();
    assert_eq!(quantize("said.onnx -o said.nnef.tgz"), "tf");
    assert_eq!(quantize("net.onnx --preprocess tf --resize crop:9 -o flags.nnef.tgz"), "tf");
    assert_eq!(quantize("said.onnx --preprocess torch --resize stretch -o other.nnef.tgz"), "torch");
    assert_eq!(place.json("inspect said.nnef.tgz --json")["labels"], 3);
    let difference = |other: &str| {
        let compared = place.json(&format!("compare said.nnef.tgz {other}.nnef.tgz --images photos --json"));
        compared["largest_difference"].as_f64().unwrap()
    };
    assert_eq!(difference("flags"), 0.0);
    assert!(difference("other") > 0.0);
}

#[test]
fn what_a_float_model_leaves_open_is_as_the_archive_records() {
    let place = Place::new();
    place.write("silent.onnx", &silent_classifier(3).bytes());
    for preprocess in ["caffe", "100,110,120/50,60,70"] {
        let words = "quantize silent.onnx --images photos --resize crop:9 -o a.nnef.tgz --json --preprocess";
        place.json(&format!("{words} {preprocess}"));
        for pair in ["silent.onnx a.nnef.tgz", "a.nnef.tgz silent.onnx"] {
            let output = place.run(&format!("compare {pair} --images photos --json"));
            assert!(output.status.success(), "{}", stderr(&output));
            let compared: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(compared["sqnr"].as_f64().unwrap() > 20.0, "{pair}: {compared}");
            let said = stderr(&output);
            assert!(said.contains("preprocessing: as the archive records"), "{said}");
        }
        let other = place.run("compare silent.onnx a.nnef.tgz --images mixed --preprocess tf");
        let (said, shown) = (stderr(&other), String::from_utf8(other.stdout.clone()).unwrap());
        assert!(said.contains(&format!("records the preprocessing {preprocess}, but")), "{said}");
        assert!(!said.contains("is for float models"), "{said}");
        let (share, rest) = shown.split_once("top-1 on ").expect("the share of equal answers");
        let interval = rest.find("(95 %").expect("its interval");
        assert!(!share.contains("95 %") && Some(interval) < rest.find("signal to noise"), "{shown}");
    }
    place.json("quantize silent.onnx --images photos --preprocess torch -o b.nnef.tgz --json");
    for (words, flag) in [
        ("eval a.nnef.tgz --images photos --labels-by-order --preprocess tf", "--preprocess"),
        ("inspect a.nnef.tgz --input-size 64x64", "--input-size"),
        ("compare a.nnef.tgz b.nnef.tgz --images photos --output-name logits", "--output-name"),
    ] {
        let output = place.run(words);
        assert!(output.status.success(), "{words}: {}", stderr(&output));
        let said = stderr(&output);
        assert_eq!(said.matches(&format!("{flag} is for float models; ")).count(), 1, "{words}: {said}");
    }
}

#[test]
fn labels_that_do_not_fit_are_told_and_not_counted() {
    let place = Place::new();
    let output = place.run("quantize net.onnx --images cifar.bin -o out.nnef.tgz");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("labels are not used") && said.contains("label 9"), "{said}");
    assert!(said.contains("2 images are too few to trust"), "{said}");
    fs::create_dir(place.path("one")).unwrap();
    fs::copy(place.path("photos/ant/0.png"), place.path("one/0.png")).unwrap();
    let said = stderr(&place.run("quantize net.onnx --images one -o out.nnef.tgz"));
    assert!(said.contains("1 image is too few to trust") && said.contains("called class 0"), "{said}");
    // Plain numbers name no class.
    let said = stderr(&place.run("quantize net.onnx --images one --output numbers -o out.nnef.tgz"));
    assert!(!said.contains("called class 0"), "{said}");
    place.write("assumed.onnx", &small_classifier(3).says("assumed_size", "8x8").bytes());
    let said = stderr(&place.run("quantize assumed.onnx --images one -o out.nnef.tgz"));
    assert!(said.contains("input: 8x8, assumed at export") && said.contains("--input-size"), "{said}");
}

#[test]
fn unreadable_pictures_are_named_counted_and_skipped() {
    let place = Place::new();
    let output = place.run("quantize net.onnx --images mixed -o out.nnef.tgz --json");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("skipped") && stderr(&output).contains("broken.png"));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["skipped"], 1);
}

#[test]
fn noise_calibrates_only_when_asked_for_and_says_so() {
    let place = Place::new();
    let output = place.run("quantize net.onnx --synthetic -o out.nnef.tgz");
    assert!(output.status.success());
    assert!(stderr(&output).contains("do not trust"));
    assert!(place.path("out.nnef.tgz").is_file());
}

#[test]
fn a_missed_limit_is_exit_code_3_and_the_archive_is_there_to_look_at() {
    let place = Place::new();
    let output = place.run("quantize net.onnx --images photos --max-drop=-1 -o out.nnef.tgz");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("--max-drop allows -1"));
    assert!(place.path("out.nnef.tgz").is_file());
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new();
    let output = place.run("quantize net.onnx --images photos -o out.nnef.tgz --quiet");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let results = String::from_utf8(output.stdout).unwrap();
    assert!(results.contains("int8 gives f32's top-1"), "only results are printed: {results}");
}

#[test]
fn what_a_model_does_not_tell_is_asked_about_or_decided_by_labelled_images() {
    let place = Place::new();
    place.write("silent.onnx", &silent_classifier(3).bytes());
    fs::create_dir(place.path("loose")).unwrap();
    fs::copy(place.path("photos/ant/0.png"), place.path("loose/0.png")).unwrap();
    for words in [
        "quantize silent.onnx --images loose -o x.nnef.tgz",
        "eval silent.onnx --images loose",
        "quantize silent.onnx --images photos --preprocess auto -o x.nnef.tgz",
    ] {
        let output = place.run(words);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        for word in ["not clear", "--preprocess 0-1", "--preprocess torch", "abelled images"] {
            assert!(stderr(&output).contains(word), "`{words}` does not say {word:?}: {}", stderr(&output));
        }
        assert!(!place.path("x.nnef.tgz").exists());
    }
    // Looking at it needs no answer.
    assert_eq!(place.json("inspect silent.onnx --json")["preprocess"], "unknown");

    // Images in folders of the classes that the network finds when their pixels are divided by 255. Its
    // biases are centred first, so that it finds all three.
    fs::create_dir(place.path("pool")).unwrap();
    for i in 0..60u32 {
        let pixel = |x: u32, y: u32| {
            let k = (i * 37 + x * (i % 7) * 5 + y * (i % 5) * 7) as u8;
            image::Rgb([k, k.wrapping_mul(3), k.wrapping_add((x * y) as u8)])
        };
        image::RgbImage::from_fn(8, 8, pixel).save(place.path(&format!("pool/{i:02}.png"))).unwrap();
    }
    let logits = || -> Vec<[f32; 3]> {
        let output = place.run("eval silent.onnx --preprocess 0-1 --images pool --logits pool.npy");
        assert!(output.status.success(), "{}", stderr(&output));
        let npy = fs::read(place.path("pool.npy")).unwrap();
        let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        npy[128..].chunks_exact(12).map(|row| [0, 4, 8].map(|at| float(&row[at..at + 4]))).collect()
    };
    let first = logits();
    let mean: [f32; 3] = std::array::from_fn(|c| first.iter().map(|row| row[c]).sum::<f32>() / 60.0);
    let mut model = silent_classifier(3);
    for tensor in model.graph().initializer.iter_mut().filter(|tensor| tensor.name == "fc.b") {
        let old = tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
        tensor.raw_data = old.zip(mean).flat_map(|(old, mean)| (old - mean).to_le_bytes()).collect();
    }
    place.write("silent.onnx", &model.bytes());
    let mut found = [0; 3];
    for (i, row) in logits().iter().enumerate() {
        let top = (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        found[top] += 1;
        let folder = place.path(&format!("named/{}", ["ant", "bee", "cow"][top]));
        fs::create_dir_all(&folder).unwrap();
        fs::rename(place.path(&format!("pool/{i:02}.png")), folder.join(format!("{i:02}.png"))).unwrap();
    }
    assert!(found.iter().all(|&n| n > 0), "{found:?}");
    let output = place.run("quantize silent.onnx --images named -o y.nnef.tgz");
    assert!(stderr(&output).contains("pixels: 0-1"), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("right most often on 60 labelled images: 0-1 60"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("class folders' names in sorted order"), "{}", stderr(&output));
    assert_eq!(place.json("inspect y.nnef.tgz --json")["labels"], 3);
    assert!(place.run("quantize silent.onnx --images named --no-labels -o y.nnef.tgz").status.success());
    assert_eq!(place.json("inspect y.nnef.tgz --json")["labels"], 0);
}

#[test]
fn the_flag_and_the_recognition_fit_images_alike() {
    let place = Place::new();
    // A layer named as torchvision's.
    let mut model = Onnx::new(13, &[1, 3, 64, 64])
        .conv("x", "layer1.0.conv1", [8, 3, 3, 3], &[])
        .node("Relu", "layer1.0.conv1", "r", &[])
        .node("GlobalAveragePool", "r", "p", &[])
        .node("Flatten", "p", "f", &[])
        .weight("fc.w", &[5, 8])
        .weight("fc.b", &[5])
        .node("Gemm", "f fc.w fc.b", "logits", &[("transB", common::Attribute::Int(1))])
        .output("logits", &[1, 5]);
    model.model.producer_name = "pytorch".into();
    place.write("vision.onnx", &model.bytes());
    fs::create_dir(place.path("wide")).unwrap();
    for i in 0..6u32 {
        let pixel = |x: u32, y: u32| image::Rgb([(x * 3 + i * 9) as u8, (y * 5) as u8, (x * y / 8) as u8]);
        image::RgbImage::from_fn(160, 90, pixel).save(place.path(&format!("wide/{i}.png"))).unwrap();
    }
    let logits = |words: &str, file: &str| {
        let output = place.run(&format!("eval vision.onnx --images wide --logits {file} {words}"));
        assert!(output.status.success(), "{}", stderr(&output));
        fs::read(place.path(file)).unwrap()
    };
    let recognized = logits("", "a.npy");
    assert_eq!(recognized, logits("--preprocess torch", "b.npy"));
    assert_ne!(recognized, logits("--preprocess torch --resize stretch", "c.npy"));
    for (words, file) in [("", "a.nnef.tgz"), ("--preprocess torch", "b.nnef.tgz")] {
        let output = place.run(&format!("quantize vision.onnx --images wide {words} -o {file}"));
        assert!(stderr(&output).contains("cropped from a short side of 73"), "{}", stderr(&output));
    }
    // The flags differ, and each archive records its own.
    let read = |name: &str| {
        let (network, manifest) = foldnet_archive::read(&place.path(name)).unwrap();
        foldnet_archive::pack(&network, &foldnet_archive::Manifest { provenance: None, ..manifest })
    };
    assert!(read("a.nnef.tgz") == read("b.nnef.tgz"), "the flag changes the network");
}

#[test]
fn accuracy_is_never_measured_against_folders_that_match_no_label() {
    let place = Place::new();
    place.write("numbered.txt", b"0: cow\n1: ant\n2: bee\n");
    place.write("others.txt", b"cat\ndog\npig\n");
    let output = place.run("quantize net.onnx --images photos --labels others.txt -o a.nnef.tgz");
    assert_eq!(output.status.code(), Some(2));
    for word in ["3 of 3 class folders", "ant, bee, cow", "--labels-by-order"] {
        assert!(stderr(&output).contains(word), "{word}: {}", stderr(&output));
    }
    assert!(
        place
            .run("quantize net.onnx --images photos --labels others.txt --labels-by-order -o a.nnef.tgz")
            .status
            .success()
    );
    assert_eq!(place.run("eval a.nnef.tgz --images photos").status.code(), Some(2));
    assert!(place.run("eval a.nnef.tgz --images photos --labels-by-order").status.success());
    // The same network under two orders of its classes: what one finds right, the other calls otherwise.
    let right = |labels: &str| {
        place.json(&format!("eval net.onnx --images photos --labels {labels} --json"))["correct"].clone()
    };
    assert_ne!(right("numbered.txt"), right("three.txt"));
    let table = place.json("eval net.onnx --images photos --labels three.txt --per-class --json");
    let classes = table["classes"].as_array().unwrap();
    let of = |key: &str| classes.iter().map(|c| c[key].as_f64().unwrap_or(0.0)).collect::<Vec<_>>();
    assert_eq!(of("images"), [6.0; 3]);
    let right: f64 = of("recall").iter().map(|recall| recall * 6.0).sum();
    assert_eq!(right.round(), table["correct"].as_f64().unwrap());
    // Labels that do not fit are not used, and no accuracy is told.
    place.write("farm.onnx", &small_classifier(3).says("labels", "cat\ndog\npig").bytes());
    let output = place.run("quantize farm.onnx --images photos -o b.nnef.tgz");
    assert!(
        output.status.success() && stderr(&output).contains("labels are not used"),
        "{}",
        stderr(&output)
    );
    let results = String::from_utf8(output.stdout).unwrap();
    assert!(!results.contains("labelled images") && results.contains("layers in int8"), "{results}");
}

/// A convolution, so many nodes of this kind, and a dense layer.
fn deep(op: &str, nodes: usize) -> Onnx {
    let mut onnx =
        Onnx::new(13, &[1, 3, 8, 8]).conv("x", "t0", [4, 3, 3, 3], &[]).weight("one", &[1, 4, 1, 1]);
    for i in 0..nodes {
        let inputs = if op == "Add" { format!("t{i} one") } else { format!("t{i}") };
        onnx = onnx.node(op, &inputs, &format!("t{}", i + 1), &[]);
    }
    onnx.node("GlobalAveragePool", &format!("t{nodes}"), "pooled", &[])
        .node("Flatten", "pooled", "flat", &[])
        .weight("fc.w", &[3, 4])
        .node("Gemm", "flat fc.w", "logits", &[("transB", common::Attribute::Int(1))])
        .output("logits", &[1, 3])
}

#[test]
fn fifty_thousand_nodes_fold_or_are_refused() {
    let place = Place::new();
    // Additions of constants fold into the convolution, all of them.
    place.write("additions.onnx", &deep("Add", 4_000).bytes());
    let layers = place.json("inspect additions.onnx --json");
    assert!(layers["layers"].as_array().unwrap().len() < 10, "{layers}");
    place.write("deep-sums.onnx", &deep("Add", 50_000).bytes());
    // Functions do not fold.
    place.write("deep-functions.onnx", &deep("Tanh", 50_000).bytes());
    for words in [
        "inspect deep-sums.onnx",
        "inspect deep-functions.onnx",
        "quantize deep-functions.onnx --images photos -o deep.nnef.tgz",
    ] {
        let output = place.run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(said.contains("deep-") && said.contains("layers"), "{words}: {said}");
    }
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    let done = place.run("quantize net.onnx --images photos -o made.nnef.tgz --quiet");
    assert!(done.status.success(), "{}", stderr(&done));
    let commands = [
        "--help",
        "--version",
        "quantize net.onnx --images photos -o again.nnef.tgz --json",
        "inspect net.onnx",
        "inspect made.nnef.tgz --json",
        "eval made.nnef.tgz --images photos",
        "compare net.onnx made.nnef.tgz --images photos --json",
        "export --qdq made.nnef.tgz",
        "export --plan cortex-m4 made.nnef.tgz",
    ];
    for words in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
        command.args(words.split_whitespace()).current_dir(place.0.path()).stdin(Stdio::null());
        command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(words.starts_with("--") || said.contains("standard output: "), "{words}: {said}");
    }
}
