//! A one-dimensional convolution along the channels of pooled features: efficient channel attention.
//!
//! It is a dense layer whose matrix is a band: channel c reads the channels around it.

use super::super::Importer;
use super::super::node::{Node, Problem};
use super::super::value::Axis;
use crate::graph::{Conv, Op, Window};

/// The most channels whose matrix is written out.
const MOST_CHANNELS: usize = 4096;

/// `y[c] = Σ x[c + t − pad]·w[t] + b`, for an input of `[1, 1, C]`.
pub fn over_channels<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let (dims, taps) = importer.weights(node, 1)?;
    if dims[..2] != [1, 1] || x.dims != [vec![], vec![], vec![Axis::C]] || shape.c > MOST_CHANNELS {
        return Err(format!(
            "weights of {dims:?} on {:?}; one-dimensional convolutions are supported along up to \
             {MOST_CHANNELS} channels of pooled features",
            x.sizes(shape)
        ));
    }
    let one = |name: &str, value: [usize; 1]| Ok::<bool, Problem>(node.sizes(name, value)? == value);
    let plain = one("strides", [1])? && one("dilations", [1])? && one("kernel_shape", [taps.len()])?;
    let [before, after] = node.sizes("pads", [0, 0])?;
    let notset = matches!(node.word("auto_pad", "NOTSET")?.as_str(), "NOTSET" | "");
    if !plain || !notset || node.int("group", 1)? != 1 || before + after + 1 != taps.len() {
        return Err(
            "along channels only stride 1, no dilation and as many outputs as inputs are supported".into()
        );
    }
    let bias = match node.input(2) {
        Some(_) => vec![importer.vector(node, 2, 1)?[0]; shape.c],
        None => vec![0.0; shape.c],
    };
    let mut weights = vec![0.0; shape.c * shape.c];
    for (c, row) in weights.chunks_exact_mut(shape.c).enumerate() {
        for (t, &tap) in taps.iter().enumerate() {
            if let Some(weight) = (c + t).checked_sub(before).and_then(|i| row.get_mut(i)) {
                *weight = tap;
            }
        }
    }
    let op = Op::Conv(Conv {
        weights,
        bias,
        window: Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] },
        dilation: [1, 1],
        groups: 1,
        pad_value: vec![0.0; shape.c],
    });
    importer.define(node, op, vec![x.node], shape, &x)
}
