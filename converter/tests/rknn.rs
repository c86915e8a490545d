//! The network as an NPU has it, before any toolkit has seen it: run by tract, held against the archive.
#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;

use foldnet_archive::testing::every_step_without_a_dense_layer;
use foldnet_converter::emit::rknn::{Ranges, model};
use foldnet_kernels::dispatch;
use foldnet_runtime::Session;
use foldnet_runtime::dataset::Dataset;
use foldnet_runtime::picture::fit;
use tract_onnx::prelude::*;

#[test]
fn the_npus_network_answers_as_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cifar.nnef.tgz");
    let mut quantize = Command::new(env!("CARGO_BIN_EXE_converter"));
    assert!(quantize.args(["quantize", "--quiet", "-o"]).arg(&file).status().unwrap().success());
    let (network, manifest) = foldnet_archive::read(&file).unwrap();
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/calibration.bin");
    let pictures: Vec<Vec<u8>> = Dataset::open(&pictures)
        .unwrap()
        .iter()
        .map(|item| fit(&item.unwrap().picture, &manifest.input))
        .collect();
    let (seen, unseen) = pictures.split_at(60);
    let written = model(&network, &Ranges::measure(&network, seen).unwrap(), false).unwrap();
    let tract = tract_onnx::onnx().model_for_read(&mut &written.onnx[..]).unwrap();
    let tract = tract.into_optimized().unwrap().into_runnable().unwrap();
    let mut session = Session::new(&network, dispatch::best(), 1).unwrap();
    let (mut signal, mut noise) = (0.0, 0.0);
    for pixels in unseen {
        let shape = network.input();
        let value = |(c, i): (usize, usize)| f32::from(pixels[i * shape.c + c]) - written.mean[c];
        let planes: Vec<f32> =
            (0..shape.c).flat_map(|c| (0..shape.h * shape.w).map(move |i| (c, i))).map(value).collect();
        let input = Tensor::from_shape(&[1, shape.c, shape.h, shape.w], &planes).unwrap();
        let outputs = tract.run(tvec!(input.into_tvalue())).unwrap();
        let theirs = outputs[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap();
        for (ours, theirs) in session.run(pixels).iter().zip(theirs) {
            signal += ours * ours;
            noise += (ours - theirs).powi(2);
        }
    }
    let db = 10.0 * (signal / noise).log10();
    assert!(db > 30.0, "the logits keep {db:.1} dB; sums that are rounded twice cost no more than 30");
}

#[test]
fn a_step_that_no_npu_has_is_named() {
    let network = every_step_without_a_dense_layer();
    let ranges = Ranges::measure(&network, &[vec![100; network.input().len()]]).unwrap();
    let said = model(&network, &ranges, false).err().unwrap().to_string();
    assert!(said.contains("layer sigmoid") && said.contains("step table"), "{said}");
}
