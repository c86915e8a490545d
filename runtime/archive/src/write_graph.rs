//! Writes a network as `graph.nnef` and its tensor files.
//!
//! Each operator writes its own statements, see [`foldnet_kernels::op`]; this module writes everything around
//! them.

use foldnet_kernels::network::{GraphWriter, Values};

use crate::dat::encode;
use crate::vocabulary::definitions;
use crate::{Activation, Network};

/// Returns the text and the files, in their order in the archive.
pub(crate) fn write_graph(network: &Network) -> (String, Vec<(String, Vec<u8>)>) {
    let input = network.input();
    let mut to = GraphWriter { network, text: definitions(network), files: Vec::new() };
    to.text.push_str("graph network(pixels) -> (output)\n{\n");
    to.line(&format!(
        "pixels = tract_core_external(shape = [1, {}, {}, {}], datum_type = \"u8\")",
        input.c, input.h, input.w
    ));
    let zero = network.pixel_zero.iter().map(|&z| f32::from(z) + 128.0).collect();
    to.variable("pixel_zero", &[1, input.c, 1, 1], Values::F32(zero));
    for (i, step) in network.steps.iter().enumerate() {
        step.write(i, &mut to);
    }
    to.line(match network.activation {
        Activation::None => "output = copy(logits)",
        Activation::Softmax => "output = softmax(logits, axes = [1])",
        Activation::Sigmoid => "output = sigmoid(logits)",
    });
    to.text.push_str("}\n");
    let files = to.files.into_iter().map(|(id, dims, values)| (id, encode(&dims, &values)));
    (to.text, files.collect())
}
