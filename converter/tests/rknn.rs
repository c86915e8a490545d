//! The network as an NPU has it, before any toolkit has seen it: run by tract, held against the archive.
#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;

use foldnet::Session;
use foldnet_archive::Network;
use foldnet_archive::testing::every_step_without_a_dense_layer;
use foldnet_converter::emit::rknn::model;
use foldnet_converter::image::Pixels;
use foldnet_converter::quantize::apart::{Ranges, apart, is_apart};
use foldnet_dataset::Dataset;
use foldnet_kernels::dispatch;
use tract_onnx::prelude::*;

/// The built-in network's archive, quantized with these words more.
fn quantized(words: &[&str]) -> (Network, Vec<Pixels>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cifar.nnef.tgz");
    let mut quantize = Command::new(env!("CARGO_BIN_EXE_converter"));
    quantize.args(["quantize", "--quiet", "-o"]).arg(&file).args(words);
    assert!(quantize.status().unwrap().success());
    let (network, manifest) = foldnet_archive::read(&file).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/calibration.bin");
    let images = Dataset::open(&file)
        .unwrap()
        .iter()
        .map(|item| Pixels::fit(&item.unwrap().picture, &manifest.input))
        .collect();
    (network, images)
}

/// Logits of our network, and of the ONNX file for the toolkit as tract computes it.
fn logits(network: &Network, images: &[Pixels]) -> [Vec<f32>; 2] {
    let written = model(network, false).unwrap();
    let tract = tract_onnx::onnx().model_for_read(&mut &written.onnx[..]).unwrap();
    let tract = tract.into_optimized().unwrap().into_runnable().unwrap();
    let mut session = Session::new(network, dispatch::best(), 1).unwrap();
    let mut all = [Vec::new(), Vec::new()];
    for pixels in images {
        let shape = network.input();
        let value = |(c, i): (usize, usize)| f32::from(pixels.values()[i * shape.c + c]) - written.mean[c];
        let planes: Vec<f32> =
            (0..shape.c).flat_map(|c| (0..shape.h * shape.w).map(move |i| (c, i))).map(value).collect();
        let input = Tensor::from_shape(&[1, shape.c, shape.h, shape.w], &planes).unwrap();
        let outputs = tract.run(tvec!(input.into_tvalue())).unwrap();
        all[0].extend_from_slice(session.run(pixels.values()));
        all[1].extend_from_slice(outputs[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap());
    }
    all
}

/// Signal to noise, in dB.
fn kept(ours: &[f32], theirs: &[f32]) -> f32 {
    let noise: f32 = ours.iter().zip(theirs).map(|(a, b)| (a - b) * (a - b)).sum();
    10.0 * (ours.iter().map(|v| v * v).sum::<f32>() / noise.max(1e-9)).log10()
}

#[test]
fn the_npus_network_answers_as_the_archive() {
    let (network, images) = quantized(&[]);
    assert!(!is_apart(&network));
    let (seen, unseen) = images.split_at(60);
    let parts = apart(&network, &Ranges::measure(&network, seen).unwrap());
    assert!(is_apart(&parts));
    let [ours, theirs] = logits(&parts, unseen);
    let db = kept(&ours, &theirs);
    assert!(db > 45.0, "the same roundings leave {db:.1} dB");
    let mut session = Session::new(&network, dispatch::best(), 1).unwrap();
    let once: Vec<f32> = unseen.iter().flat_map(|p| session.run(p.values()).to_vec()).collect();
    let db = kept(&once, &ours);
    assert!(db > 30.0, "the logits keep {db:.1} dB; sums that are rounded twice cost no more than 30");
    // It stays what it is.
    assert_eq!(apart(&parts, &Ranges::measure(&parts, seen).unwrap()), parts);
}

#[test]
fn an_archive_for_npus_has_their_roundings() {
    let (network, images) = quantized(&["--for-npu"]);
    assert!(is_apart(&network) && network.steps.iter().any(|s| s.kind() == "add"));
    let [ours, theirs] = logits(&network, &images[..30]);
    let db = kept(&ours, &theirs);
    assert!(db > 45.0, "the same roundings leave {db:.1} dB");
}

#[test]
fn residuals_inside_a_convolution_are_refused() {
    let (network, _) = quantized(&["--effort", "low"]);
    let said = model(&network, false).err().unwrap().to_string();
    assert!(said.contains("conv with more than its own sum"), "{said}");
}

#[test]
fn a_step_that_no_npu_has_is_named() {
    let network = every_step_without_a_dense_layer();
    let grey = Pixels::new(network.input(), vec![100; network.input().len()]).unwrap();
    let ranges = Ranges::measure(&network, &[grey]).unwrap();
    let said = model(&apart(&network, &ranges), false).err().unwrap().to_string();
    assert!(said.contains("layer sigmoid") && said.contains("step table"), "{said}");
}
