//! `--backend rknn|auto` of the program, against the fake library of `tests/fake-rknn`, which has tests of the
//! backend itself.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use fake_rknn::Model;
use foldnet_archive::Manifest;
use foldnet_archive::testing::{every_step, manifest};

/// The fake library, which Cargo builds beside the tests.
fn fake() -> PathBuf {
    let library = std::env::current_exe().unwrap().with_file_name("libfake_rknn.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
}

/// A folder with an archive and an image; the program runs in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new(manifest: &Manifest) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        foldnet_archive::write(&place.0.path().join("net.nnef.tgz"), &every_step(), manifest).unwrap();
        for (name, red) in [("a.png", 10), ("b.png", 200), ("c.png", 90), ("d.png", 240)] {
            let picture = image::RgbImage::from_pixel(20, 30, image::Rgb([red, 0, 255 - red]));
            picture.save(place.0.path().join(name)).unwrap();
        }
        place
    }

    fn run(&self, words: &str, settings: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
        command.args(words.split_whitespace()).arg("--npu-library").arg(fake());
        command.env("XDG_CACHE_HOME", self.0.path().join("cache")).envs(settings.iter().copied());
        command.current_dir(self.0.path()).stdin(Stdio::null()).output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_program_names_what_is_wrong_with_exit_code_2() {
    let place = Place::new(&Model::of(every_step()).manifest(manifest()));
    let classify = "classify net.nnef.tgz a.png --backend rknn";
    let good = place.run(classify, &[]);
    assert!(good.status.success(), "{}", said(&good));
    let cases = [
        ("FAKE_RKNN_CHIP", "rk3576", "the model for rk3588 does not run on this chip"),
        ("FAKE_RKNN_DRIVER", "0.7.2", "the NPU driver 0.7.2 is too old"),
        ("FAKE_RKNN_LIBRARY", "1.6.0", "is older than the toolkit 2.3.2"),
        ("FAKE_RKNN_FAULT", "timeout", "does not answer in time"),
        ("FAKE_RKNN_FAULT", "driver-mismatch", "do not go together"),
        ("FAKE_RKNN_FAULT", "memory", "the NPU has no memory left"),
        // There is no NPU on the machines that run this.
        ("FAKE_RKNN_FAULT", "no-device", "NPU"),
    ];
    for (name, value, words) in cases {
        let output = place.run(classify, &[(name, value)]);
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {}", said(&output));
        assert!(said(&output).contains(words), "{name}={value}: {}", said(&output));
        assert!(!said(&output).contains("fake-rknn:"), "a wrong call: {}", said(&output));
    }
}

#[test]
fn auto_goes_on_with_the_cpu_and_says_so_once() {
    let place = Place::new(&Model::of(every_step()).manifest(manifest()));
    let auto = "classify net.nnef.tgz a.png b.png c.png d.png --backend auto --json";
    let cpu = place.run("classify net.nnef.tgz a.png b.png c.png d.png --json", &[]);
    let labels = |output: &Output| -> Vec<serde_json::Value> {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap()["labels"].clone();
        text.lines().map(line).collect()
    };
    assert_eq!(labels(&cpu).len(), 4);
    for fault in ["init", "no-device", "memory", "timeout"] {
        let output = place.run(auto, &[("FAKE_RKNN_FAULT", fault)]);
        assert!(output.status.success(), "{fault}: {}", said(&output));
        assert_eq!(labels(&output), labels(&cpu), "{fault}");
        assert_eq!(said(&output).matches("going on with the CPU").count(), 1, "{fault}: {}", said(&output));
    }
    // A device that is lost in the middle. That the NPU is the faster is remembered already.
    let measured = place.run(auto, &[]);
    assert!(measured.status.success(), "{}", said(&measured));
    let folder = place.0.path().join("cache/foldnet/backend");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(file, "other").unwrap();
    let output = place.run(auto, &[("FAKE_RKNN_FAULT", "lost")]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(labels(&output)[2..], labels(&cpu)[2..]);
    assert_eq!(said(&output).matches("the NPU is gone").count(), 1, "{}", said(&output));
}

#[test]
fn bench_puts_the_npu_beside_the_cpu() {
    let four = Model { batch: 4, ..Model::of(every_step()) };
    let place = Place::new(&four.manifest(Model::of(every_step()).manifest(manifest())));
    let output = place.run("bench net.nnef.tgz --backend rknn --npu-cores 3 --iterations 5 --json", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["npu"]["cores"], &value["npu"]["batch"]), (&3.into(), &4.into()));
    assert!(value["npu"]["about"].as_str().unwrap().contains("rk3588, librknnrt 2.3.2"));
    for key in ["median_ms", "p90_ms", "pictures_s"] {
        assert!(value["npu"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    let words = place.run("bench net.nnef.tgz --backend rknn --iterations 5", &[]);
    let words = String::from_utf8_lossy(&words.stdout).into_owned();
    assert!(words.contains("NPU (rk3588, librknnrt 2.3.2") && words.contains("in batches of 4"), "{words}");
}

#[test]
fn the_camera_asks_the_npu_too() {
    for rows in [16, 1] {
        // Rows with margins: frames are copied. Rows without: they are fitted into the NPU's memory.
        the_camera_asks_an_npu(&Place::new(&Model { rows, ..Model::of(every_step()) }.manifest(manifest())));
    }
}

fn the_camera_asks_an_npu(place: &Place) {
    let camera = "camera net.nnef.tgz --input a.png --frames 4 --json --smooth 1 --fps 100";
    let best = |output: &Output| -> Vec<u64> {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line =
            |l: &str| serde_json::from_str::<serde_json::Value>(l).unwrap()["labels"][0]["index"].as_u64();
        text.lines().map(|l| line(l).unwrap()).collect()
    };
    let npu = place.run(&format!("{camera} --backend rknn"), &[]);
    assert!(npu.status.success(), "{}", said(&npu));
    assert_eq!(best(&npu).len(), 4);
    assert_eq!(best(&npu), best(&place.run(camera, &[])));
    assert!(!said(&npu).contains("fake-rknn:"), "a wrong call: {}", said(&npu));
    // Lost in the middle: the end where nothing else was allowed, the CPU where it was.
    let lost = place.run(&format!("{camera} --backend rknn"), &[("FAKE_RKNN_FAULT", "lost")]);
    assert_eq!(lost.status.code(), Some(2), "{}", said(&lost));
    assert!(said(&lost).contains("the NPU is gone"), "{}", said(&lost));
    let auto = place.run(&format!("{camera} --backend auto"), &[("FAKE_RKNN_FAULT", "no-device")]);
    assert_eq!(best(&auto).len(), 4, "{}", said(&auto));
    assert!(said(&auto).contains("going on with the CPU"), "{}", said(&auto));
}
