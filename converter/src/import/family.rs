//! What a model's pixels went through in training, where its exporter's names tell.
//!
//! An ONNX file does not say it. Keras Applications and torchvision each have one way for all their
//! ResNets, and their layers' names are known; any other model is taken as it stands.

use crate::graph::{Graph, Op};

/// A preprocessing by name, and why that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// As for `--preprocess`.
    pub preprocess: &'static str,
    /// In words.
    pub reason: &'static str,
    /// Pictures are resized by their short side and cropped, 256 for 224.
    pub crop: bool,
}

/// Recognizes a family; `producer` is what wrote the file.
pub fn recognize(graph: &Graph, producer: &str) -> Family {
    let named = |part: &str| graph.nodes.iter().any(|n| n.name.contains(part));
    let on_pixels = |op: &Op| matches!(op, Op::Affine { .. });
    let rescales = graph.nodes.iter().any(|n| n.inputs.first() == Some(&0) && on_pixels(&n.op));
    let family = |preprocess, reason, crop| Family { preprocess, reason, crop };
    if rescales {
        family("none", "the network begins with its own rescaling", false)
    } else if named("conv2_block1_preact") {
        family("tf", "layers named as in Keras Applications' ResNet V2", false)
    } else if named("conv2_block1_1_") {
        family("caffe", "layers named as in Keras Applications' ResNet", false)
    } else if producer.starts_with("pytorch") && graph.input().c == 3 && graph.input().h >= 64 {
        family("torch", "exported by PyTorch: torchvision's and timm's mean and deviation", true)
    } else {
        family("none", "nothing in the model tells; --preprocess does", false)
    }
}
