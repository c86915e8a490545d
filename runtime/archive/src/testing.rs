//! Networks for tests, see [`foldnet_kernels::network::testing`], and their manifest.

pub use foldnet_kernels::network::testing::*;

use crate::*;

/// Returns a manifest for all of these networks.
pub fn manifest() -> Manifest {
    Manifest {
        format: FORMAT,
        source: SourceModel {
            file: "x.onnx".into(),
            sha256: "00".into(),
            producer: "hand".into(),
            converter: "0".into(),
        },
        input: Input {
            height: 9,
            width: 8,
            channels: 3,
            resize: Resize::Crop { short_side: 10 },
            preprocess: "none".into(),
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
        },
        calibration: Calibration { images: 4, method: "minmax".into(), agreement: Some(0.99) },
        labels: vec!["a".into(), "b \"quoted\"".into(), "c".into(), "d".into()],
        output: None,
        proof: None,
        provenance: None,
        npu: Vec::new(),
    }
}

/// Returns the same manifest, without labels if the network has another number of outputs.
pub fn manifest_of(network: &Network) -> Manifest {
    let mut manifest = manifest();
    if manifest.labels.len() != network.classes() {
        manifest.labels.clear();
    }
    manifest
}

/// As [`manifest_of`], with the network's input, to which images are stretched.
pub fn manifest_stretched(network: &Network) -> Manifest {
    let shape = network.input();
    let manifest = manifest_of(network);
    let resize = Resize::Stretch;
    let input = Input { height: shape.h, width: shape.w, channels: shape.c, resize, ..manifest.input };
    Manifest { input, ..manifest }
}
