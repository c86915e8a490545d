//! Recognizes model zoos by their layers' names.
//!
//! Keras Applications, torchvision and timm each train all their ResNets in one way. The exporter is no evidence:
//! networks of any origin come from PyTorch.

use crate::graph::Graph;

/// The preprocessing of a model zoo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The value for `--preprocess`.
    pub preprocess: &'static str,
    /// The reason, for people.
    pub reason: &'static str,
}

/// Networks for images smaller than this were not trained on ImageNet, whatever the names of their layers.
const LEAST_SIDE: usize = 64;

/// Recognizes a zoo. Some exporters keep the layers' names in the nodes, others in the tensors.
pub fn family(graph: &Graph, tensors: &[String]) -> Option<Family> {
    let input = graph.input();
    if input.c != 3 || input.h.min(input.w) < LEAST_SIDE {
        return None;
    }
    let named = |parts: &[&str]| {
        let fits = |name: &str| parts.iter().any(|part| name.contains(part));
        graph.nodes.iter().any(|n| fits(&n.name)) || tensors.iter().any(|name| fits(name))
    };
    let family = |preprocess, reason| Some(Family { preprocess, reason });
    if named(&["conv2_block1_preact"]) {
        family("tf", "layers named as in Keras Applications' ResNet V2")
    } else if named(&["conv2_block1_1_"]) {
        family("caffe", "layers named as in Keras Applications' ResNet")
    } else if named(&["stages.0.blocks.0.conv1", "stages.0/blocks/blocks.0/conv1"]) {
        family("tf", "layers named as in timm's pre-activation ResNets")
    } else if named(&["layer1.0.conv1", "layer1.0/conv1"]) {
        family("torch", "layers named as in torchvision's and timm's ResNets")
    } else if named(&["resnetv17_", "resnetv18_", "resnetv19_", "resnetv27_", "resnetv28_", "resnetv29_"]) {
        family("torch", "layers named as in MXNet Gluon's ResNets")
    } else {
        None
    }
}
