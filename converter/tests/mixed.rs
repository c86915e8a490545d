//! `--max-drop` on a network that was damaged on purpose, as its users meet it.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::small_classifier;
use serde_json::Value;

/// The classifier with a channel that is always zero, and weights on it three thousand times the others: float
/// does not notice, int8 has nothing left for the other weights of `c2`. `middle` is taken off the logits, so that
/// no class wins always.
fn damaged(middle: [f32; 3]) -> Vec<u8> {
    let mut model = small_classifier(3);
    for tensor in &mut model.graph().initializer {
        let mut values: Vec<f32> =
            tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        match tensor.name.as_str() {
            "n1.scale" => values[0] = 0.0,
            "n1.shift" => values[0] = -1.0,
            "c2.w" => values.chunks_exact_mut(72).for_each(|filter| filter[..9].fill(3000.0)),
            "fc.b" => values.iter_mut().zip(middle).for_each(|(b, m)| *b -= m),
            _ => continue,
        }
        tensor.raw_data = values.into_iter().flat_map(f32::to_le_bytes).collect();
    }
    model.bytes()
}

/// Two hundred images of 8×8 as an array of NumPy's.
fn pictures() -> Vec<u8> {
    let mut header = "{'descr': '|u1', 'fortran_order': False, 'shape': (200, 8, 8, 3), }".to_owned();
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    let mut state = 3u32;
    file.extend((0..200 * 192).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Coarse clouds of another brightness and colour in every image, and noise.
        let cloud = (i / 192 * 37 + i % 3 * (i / 192 % 7) * 29 + i / 24 % 8 * (i / 192 % 5) * 9) % 200;
        (cloud + (state >> 27) as usize) as u8
    }));
    file
}

fn quantize(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
    let common = "quantize net.onnx --images pictures.npy --effort low --no-equalization --json";
    command.args(common.split_whitespace()).args(words.split_whitespace()).current_dir(folder);
    command.output().unwrap()
}

/// Each class's mean logit in float.
fn means(folder: &Path) -> [f32; 3] {
    let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
    let words = "eval net.onnx --images pictures.npy --logits logits.npy";
    let output = command.args(words.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let file = fs::read(folder.join("logits.npy")).unwrap();
    let body = &file[10 + usize::from(u16::from_le_bytes([file[8], file[9]]))..];
    let values: Vec<f32> = body.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values.len(), 600);
    [0, 1, 2].map(|class| values.iter().skip(class).step_by(3).sum::<f32>() / 200.0)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_a_budget_needs_is_kept_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("pictures.npy"), pictures()).unwrap();
    fs::write(folder.join("net.onnx"), damaged([0.0; 3])).unwrap();
    fs::write(folder.join("net.onnx"), damaged(means(folder))).unwrap();

    let int8 = quantize(folder, "-o int8.nnef.tgz");
    let alone: Value = serde_json::from_slice(&int8.stdout).unwrap();
    assert!(alone["agreement"].as_f64().unwrap() < 0.9, "the damage does damage: {alone}");
    assert_eq!(alone["layers_kept"], Value::Array(Vec::new()));

    let kept = quantize(folder, "--max-drop 5 -o kept.nnef.tgz --report kept.json");
    assert_eq!(kept.status.code(), Some(0), "{}", said(&kept));
    let result: Value = serde_json::from_slice(&kept.stdout).unwrap();
    assert!(result["agreement"].as_f64().unwrap() >= 0.95, "{result}");
    let parts = result["layers_kept"].as_array().unwrap();
    assert!(!parts.is_empty() && parts.len() <= 3, "{result}");
    // The noisiest first.
    assert_eq!((&parts[0]["name"], &parts[0]["what"]), (&"c2_node".into(), &"weights".into()));
    assert!(said(&kept).contains("in 16 bits: weights of c2_node"), "{}", said(&kept));

    let report: Value = serde_json::from_slice(&fs::read(folder.join("kept.json")).unwrap()).unwrap();
    let told = &report["kept"];
    assert!(told["drop"].as_f64().unwrap() <= 5.0 && told["drop_before"].as_f64().unwrap() > 10.0, "{told}");
    assert!(told["macs"].as_u64() > told["macs_before"].as_u64());
    assert_eq!(told["bytes"].as_u64(), result["bytes"].as_u64());

    // A budget that int8 keeps changes nothing.
    let generous = quantize(folder, "--max-drop 100 -o generous.nnef.tgz");
    assert_eq!(generous.status.code(), Some(0), "{}", said(&generous));
    let read = |name: &str| {
        let (network, manifest) = foldnet_archive::read(&folder.join(name)).unwrap();
        // Each archive records its own flags.
        foldnet_archive::pack(&network, &foldnet_archive::Manifest { provenance: None, ..manifest })
    };
    assert!(read("generous.nnef.tgz") == read("int8.nnef.tgz"));

    // One that nothing keeps is code 3, and the archive is int8's.
    let missed = quantize(folder, "--max-drop=-1 -o missed.nnef.tgz");
    assert_eq!(missed.status.code(), Some(3));
    assert!(said(&missed).contains("with everything in 16 bits that can be"), "{}", said(&missed));
    assert!(read("missed.nnef.tgz") == read("int8.nnef.tgz"));
}
