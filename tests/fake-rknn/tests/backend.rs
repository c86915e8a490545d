//! The NPU backend of the runtime, in this process, against the fake library: answers, their order, and
//! everything that goes wrong. Small enough to be run in an emulator of another processor.

use std::path::PathBuf;

use fake_rknn::{Fault, Logits, Model};
use foldnet::Session;
use foldnet::backend::Backend;
use foldnet_archive::testing::{every_step, manifest};
use foldnet_archive::{Manifest, NpuModel};
use foldnet_backends::bench::noise;
use foldnet_backends::rknn::{Options, Rknn, RknnError};
use foldnet_kernels::dispatch;

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
    let (target, toolkit, sha256) = (target.into(), toolkit.into(), foldnet_archive::digest(&model));
    Manifest {
        npu: vec![NpuModel { target, batch: 1, toolkit, sha256, agreement: 1.0, images: 1, model }],
        ..manifest()
    }
}

fn with(fault: Fault) -> Manifest {
    model(fault).manifest(manifest())
}

fn open(manifest: &Manifest, cores: u32) -> Result<Rknn, RknnError> {
    let options = Options { library: Some(fake()), cores, sram: cores > 1, batch: true };
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

    // Several at once, where the archive has a model for that; the last batch is not full.
    let four = |logits| Model { batch: 4, logits, ..self::model(Fault::None) };
    for (logits, cores) in [(Logits::Half, 1), (Logits::Int8 { scale: 0.25, zero: -3 }, 3)] {
        let one = Model { logits, ..self::model(Fault::None) };
        let wanted: Vec<Vec<f32>> = pictures.iter().map(|p| expected(&one, p)).collect();
        let both = four(logits).manifest(one.manifest(manifest()));
        let mut rknn = open(&both, cores).unwrap();
        assert_eq!((rknn.cores(), rknn.batch(), watch().1), (cores as usize, 4, 2 * cores as usize));
        let views: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
        assert_eq!(rknn.logits(&views).unwrap(), wanted.concat());
        assert_eq!(rknn.run(&pictures[3]).unwrap(), wanted[3]);
        drop(rknn);
        // A camera has no use for it.
        let options = Options { library: Some(fake()), cores, sram: false, batch: false };
        let rknn = Rknn::open(&network, &both, &options).unwrap();
        assert_eq!((rknn.batch(), watch().1), (1, cores as usize));
    }

    // Pixels that are made in the NPU's memory, where its rows have no margin.
    let close = Model { rows: 1, ..self::model(Fault::None) };
    let mut rknn = open(&close.manifest(manifest()), 1).unwrap();
    for (picture, wanted) in pictures.iter().zip(&wanted) {
        let memory = rknn.memory().expect("rows without margins");
        memory.pixels().copy_from_slice(picture);
        let scores = memory.classify().unwrap().to_vec();
        assert_eq!(memory.pixels(), picture, "it stays to be seen");
        assert_eq!(rknn.classify(picture).unwrap(), scores);
        assert_eq!(rknn.run(picture).unwrap(), wanted);
    }
    drop(rknn);
    assert!(
        open(&model.manifest(manifest()), 1).unwrap().memory().is_none(),
        "rows of 16 pixels have margins"
    );
    assert_eq!(watch(), (0, 0));

    // Everything that goes wrong at the start, and that it leaves nothing behind.
    let error = |manifest: &Manifest, cores| open(manifest, cores).err().expect("an error").to_string();
    let good = model.pack(&manifest());
    let cases = [
        (manifest(), 1, "the archive holds no model for an NPU (it has: none)"),
        (four(Logits::Half).manifest(manifest()), 1, "the archive holds no model for an NPU (it has: none)"),
        (
            Model { fault: Fault::Memory, ..four(Logits::Half) }.manifest(model.manifest(manifest())),
            2,
            "no memory",
        ),
        (with(Fault::Init), 1, "NPU"),
        (with(Fault::DriverMismatch), 1, "do not go together"),
        (with(Fault::Memory), 1, "the NPU has no memory left"),
        (with(Fault::Memory), 3, "the NPU has no memory left"),
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
    let nowhere = Options { library: Some("/nowhere.so".into()), cores: 1, sram: false, batch: true };
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
