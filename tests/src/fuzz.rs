//! What a fuzzer does with bytes: the bodies of `tests/fuzz`, their seeds, and a mutator for runs without one.
//!
//! A body returns normally for every input; it panics, hangs or touches foreign memory only where we are wrong.

use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use foldnet::aligned::Aligned;
use foldnet_archive::testing::{manifest, networks};
use foldnet_archive::{Manifest, pack, unpack};
use foldnet_kernels::dispatch;
use foldnet_plan::format::{HEADER, Header, RECORD, Record};
use foldnet_plan::{Plan, Single};

use crate::networks::fixtures;
use crate::refill::random;
use crate::root;

/// A body with its name and seeds.
pub struct Target {
    /// As in `tests/fuzz/fuzz_targets`.
    pub name: &'static str,
    /// What is done with any bytes.
    pub body: fn(&[u8]),
    /// Good inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: [Target; 4] = [
    Target { name: "archive", body: archive, seeds: archive_seeds },
    Target { name: "plan", body: plan, seeds: plan_seeds },
    Target { name: "onnx", body: onnx, seeds: onnx_seeds },
    Target { name: "tflite", body: onnx, seeds: tflite_seeds },
];

/// Working memory that a forged plan may ask for here; a sane program refuses more than it has.
const LARGEST_MEMORY: usize = 1 << 26;
/// The same for products, so that a run is short.
const MOST_PRODUCTS: u64 = 1 << 28;

/// Reads the tar file of an archive, and compiles the network if there is one.
pub fn archive(tar: &[u8]) {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(tar).expect("memory");
    let zipped = zipped.finish().expect("memory");
    if let Ok((network, _)) = unpack(&zipped[..], Path::new("fuzz.nnef.tgz")) {
        network.validate().expect("only sound networks are read");
        // Whether it compiles depends on the set's limits.
        let _ = foldnet::compile(&network, dispatch::best());
    }
}

fn archive_seeds() -> Vec<Vec<u8>> {
    networks()
        .iter()
        .map(|network| {
            let mut tar = Vec::new();
            let manifest = Manifest { labels: Vec::new(), ..manifest() };
            GzDecoder::new(&pack(network, &manifest)[..]).read_to_end(&mut tar).expect("our own archive");
            tar
        })
        .collect()
}

/// Loads a plan, its checksum made to fit, on every set that this CPU has, and runs it if it is accepted.
pub fn plan(bytes: &[u8]) {
    if bytes.len() < HEADER {
        return;
    }
    let mut bytes = Aligned::from_slice(bytes);
    Header::seal(&mut bytes);
    for set in dispatch::REGISTRY.iter().filter_map(|entry| (entry.get)()) {
        let Ok(plan) = Plan::load(&bytes, set) else { continue };
        let pixels = plan.header().input.len();
        let products = (0..plan.header().steps as usize).map(|i| match plan.record(i) {
            Record::Conv(conv) => conv.desc.macs(),
            _ => 0,
        });
        let short = products.fold(0, u64::saturating_add) < MOST_PRODUCTS;
        if plan.memory_bytes(1) < LARGEST_MEMORY && pixels < 1 << 20 && short {
            let mut memory = Aligned::zeroed(plan.memory_bytes(1));
            plan.run(&Single, &mut memory, &vec![7; pixels], |_, _| {});
        }
    }
}

fn plan_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for set in dispatch::REGISTRY.iter().filter_map(|entry| (entry.get)()) {
        for network in networks() {
            seeds.push(foldnet::compile(&network, set).expect("a sound network").to_vec());
        }
    }
    seeds
}

/// Imports an ONNX or TFLite file and folds the graph if there is one.
pub fn onnx(bytes: &[u8]) {
    if let Ok(mut read) = foldnet_converter::import::read(bytes, Path::new("/nowhere")) {
        foldnet_converter::pass::fold(&mut read.graph);
    }
}

fn onnx_seeds() -> Vec<Vec<u8>> {
    let small = |name: &str| ["residual-", "sequential"].iter().any(|start| name.starts_with(start));
    fixtures().iter().filter(|f| small(&f.name)).map(|f| f.onnx()).collect()
}

/// The files of TensorFlow's converter beside the converter's tests.
fn tflite_seeds() -> Vec<Vec<u8>> {
    let packed =
        std::fs::File::open(root().join("converter/tests/tflite/tflite.tar.gz")).expect("the test's files");
    let mut archive = tar::Archive::new(GzDecoder::new(packed));
    let mut seeds = Vec::new();
    for entry in archive.entries().expect("a tar file") {
        let mut entry = entry.expect("a sound file");
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a sound file");
        if bytes.get(4..8) == Some(b"TFL3") {
            seeds.push(bytes);
        }
    }
    seeds
}

/// Changes a seed in one to four places; the same number, the same change.
pub fn mutate(seed: &[u8], number: u64) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let mut draws = (0..).map(|i| random(number, i));
    let mut draw = |below: usize| (draws.next().expect("endless") % below.max(1) as u64) as usize;
    for _ in 0..=draw(4) {
        let len = bytes.len();
        // What steers a reader stands mostly in front: half of the changes are there.
        let at = if draw(2) == 0 { draw(len) } else { draw(len.min(HEADER + 8 * RECORD)) };
        let run = draw(16).min(len - at.min(len));
        match draw(6) {
            0 if len > 0 => bytes[at] = draw(256) as u8,
            1 if len > 0 => bytes[at] ^= 1 << draw(8),
            2 => bytes[at..at + run].fill([0, 0x7f, 0x80, 0xff][draw(4)]),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + run)),
            _ => {
                let copy = bytes[at..at + run].to_vec();
                let to = draw(len + 1);
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}
