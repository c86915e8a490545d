//! The NPU backend and `--backend rknn|auto`, against the fake library of `tests/fake-rknn`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use fake_rknn::{Fault, Logits, Model};
use foldnet_archive::testing::{every_step, manifest};
use foldnet_archive::{Manifest, NpuModel};
use foldnet_kernels::dispatch;
use foldnet_runtime::Session;
use foldnet_runtime::backend::rknn::{Options, Rknn, RknnError};
use foldnet_runtime::bench::noise;

/// The fake library, which Cargo builds beside the tests.
fn fake() -> PathBuf {
    let library = std::env::current_exe().unwrap().with_file_name("libfake_rknn.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
}

fn model(fault: Fault) -> Model {
    Model { fault, ..Model::of(every_step()) }
}

/// A manifest with these bytes as the model for this chip.
fn holding(target: &str, toolkit: &str, model: Vec<u8>) -> Manifest {
    let (target, toolkit, sha256) = (target.into(), toolkit.into(), NpuModel::digest(&model));
    Manifest {
        npu: vec![NpuModel { target, toolkit, sha256, agreement: 1.0, images: 1, model }],
        ..manifest()
    }
}

fn with(fault: Fault) -> Manifest {
    model(fault).manifest(manifest())
}

fn open(manifest: &Manifest, cores: u32) -> Result<Rknn, RknnError> {
    let options = Options { library: Some(fake()), cores, sram: cores > 1 };
    Rknn::open(&every_step(), manifest, &options)
}

/// How many of the fake's calls were wrong, and how many contexts it holds, in this process.
fn watch() -> (usize, usize) {
    // SAFETY: the fake's own functions, of these types.
    unsafe {
        let library = libloading::Library::new(fake()).unwrap();
        let get = |name: &str| *library.get::<unsafe extern "C" fn() -> usize>(name.as_bytes()).unwrap();
        (get("fake_rknn_complaints")(), get("fake_rknn_alive")())
    }
}

/// What an NPU with the fake's output does to our logits.
fn expected(model: &Model, pixels: &[u8]) -> Vec<f32> {
    let mut session = Session::new(&model.network, dispatch::best(), 1).unwrap();
    let (form, mut bytes) = (model.logits, vec![0; model.logits.size()]);
    let mut through = |&logit: &f32| {
        form.write(logit, &mut bytes);
        form.logit(&bytes)
    };
    session.run(pixels).iter().map(&mut through).collect()
}

// One test for all that runs inside this process: the fake's counters are the process's.
#[test]
fn answers_in_order_from_one_core_and_from_three() {
    // Kept open, so that the counters outlive the backend's own handle.
    // SAFETY: the fake runs no initializers.
    let _keep = unsafe { libloading::Library::new(fake()).unwrap() };
    let (model, network) = (model(Fault::None), every_step());
    let pictures: Vec<Vec<u8>> = (0..10).map(|i| noise(network.input().len() + i)[i..].to_vec()).collect();
    let whole = Model { logits: Logits::Int8 { scale: 0.25, zero: -3 }, ..self::model(Fault::None) };
    let wanted: Vec<Vec<f32>> = pictures.iter().map(|p| expected(&model, p)).collect();
    let distinct = wanted.iter().any(|w| w != &wanted[0]);
    assert!(distinct, "the pictures must tell the order");
    for (model, cores) in [(&whole, 1), (&model, 1), (&model, 2), (&model, 3)] {
        let wanted: Vec<Vec<f32>> = pictures.iter().map(|p| expected(model, p)).collect();
        let mut rknn = open(&model.manifest(manifest()), cores).unwrap();
        assert_eq!(rknn.cores(), cores as usize);
        assert_eq!(rknn.run(&pictures[3]).unwrap(), wanted[3]);
        let views: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
        assert_eq!(rknn.logits(&views).unwrap(), wanted.concat());
        assert!(rknn.logits(&[]).unwrap().is_empty());
        assert_eq!(watch().1, cores as usize);
    }
    assert_eq!(watch(), (0, 0), "no wrong call, nothing left behind");

    // Everything that goes wrong at the start, and that it leaves nothing behind.
    let error = |manifest: &Manifest, cores| open(manifest, cores).err().expect("an error").to_string();
    let good = model.pack(&manifest());
    let cases = [
        (manifest(), 1, "the archive holds no model for an NPU (it has: none)"),
        (with(Fault::Init), 1, "NPU"),
        (with(Fault::DriverMismatch), 1, "do not go together"),
        (with(Fault::Memory), 1, "no memory that the NPU can use"),
        (with(Fault::Memory), 3, "no memory that the NPU can use"),
        (with(Fault::Dup), 2, "rknn_dup_context"),
        (holding("rk3588", "2.3.2", good[..good.len() / 2].to_vec()), 1, "damaged"),
        (holding("rk3588", "2.3.2", b"RKNN".to_vec()), 1, "damaged"),
        (
            holding("rk3588", "2.4.0", good.clone()),
            1,
            "librknnrt 2.3.2 (fake@2025-04-09T09:09:27) is older than the toolkit 2.4.0",
        ),
        (
            holding(
                "rk3576",
                "2.3.2",
                Model { target: "rk3576".into(), ..self::model(Fault::None) }.pack(&manifest()),
            ),
            1,
            "the model for rk3576 does not run on this chip",
        ),
    ];
    for (manifest, cores, words) in &cases {
        let said = error(manifest, *cores);
        assert!(said.contains(words), "{said:?} lacks {words:?}");
        assert_eq!(watch(), (0, 0), "{said}");
    }
    let nowhere = Options { library: Some("/nowhere.so".into()), cores: 1, sram: false };
    let missing = Rknn::open(&network, &with(Fault::None), &nowhere).err().unwrap();
    assert!(missing.to_string().contains("/nowhere.so"), "{missing}");

    // What goes wrong on the way.
    let mut rknn = open(&with(Fault::Timeout), 1).unwrap();
    assert!(matches!(rknn.run(&pictures[0]), Err(RknnError::Busy(_))));
    drop(rknn);
    let mut rknn = open(&with(Fault::Lost), 2).unwrap();
    assert_eq!(rknn.run(&pictures[0]).unwrap(), wanted[0]);
    let views: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
    assert!(matches!(rknn.logits(&views), Err(RknnError::Lost(_))));
    drop(rknn);
    assert_eq!(watch(), (0, 0));
}

/// A folder with an archive and a picture; the program runs in it.
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
    let place = Place::new(&with(Fault::None));
    let classify = "classify net.nnef.tgz a.png --backend rknn";
    let good = place.run(classify, &[]);
    assert!(good.status.success(), "{}", said(&good));
    let cases = [
        ("FAKE_RKNN_CHIP", "rk3576", "the model for rk3588 does not run on this chip"),
        ("FAKE_RKNN_DRIVER", "0.7.2", "the NPU driver 0.7.2 is too old"),
        ("FAKE_RKNN_LIBRARY", "1.6.0", "is older than the toolkit 2.3.2"),
        ("FAKE_RKNN_FAULT", "timeout", "does not answer in time"),
        ("FAKE_RKNN_FAULT", "driver-mismatch", "do not go together"),
        ("FAKE_RKNN_FAULT", "memory", "no memory that the NPU can use"),
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
    let place = Place::new(&with(Fault::None));
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
    let place = Place::new(&with(Fault::None));
    let output = place.run("bench net.nnef.tgz --backend rknn --npu-cores 3 --iterations 5 --json", &[]);
    assert!(output.status.success(), "{}", said(&output));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["npu"]["cores"], 3);
    assert!(value["npu"]["about"].as_str().unwrap().contains("rk3588, librknnrt 2.3.2"));
    for key in ["median_ms", "p90_ms", "pictures_s"] {
        assert!(value["npu"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    let words = place.run("bench net.nnef.tgz --backend rknn --iterations 5", &[]);
    assert!(String::from_utf8_lossy(&words.stdout).contains("NPU (rk3588, librknnrt 2.3.2"));
}
