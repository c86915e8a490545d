//! A one-dimensional convolution along the channels of pooled features: efficient channel attention.
//!
//! It is a dense layer with a band matrix: channel c reads the channels around it.

use super::super::Importer;
use super::super::node::{Node, Problem};
use super::super::value::{Axis, Value};
use crate::graph::{Conv, Op, Window};

/// The largest number of channels for which the matrix is written out.
const MOST_CHANNELS: usize = 4096;

/// `y[c] = Σ x[c + t − pad]·w[t] + b`, for an input of `[1, 1, C]`.
pub fn over_channels<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let (dims, taps) = importer.weights(node, 1)?;
    if x.dims.get(1).is_some_and(|d| d[..] == [Axis::C]) || (shape.c == 1 && shape.pixels() > 1) {
        return over_pixels(importer, node, &x, &dims, &taps);
    }
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

/// A one-dimensional convolution of `[1, C, pixels]`: one tap is a 1×1 convolution, several run along rows or
/// columns if the other axis has length one.
fn over_pixels<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    x: &Value,
    dims: &[usize],
    weights: &[f32],
) -> Result<(), Problem> {
    let shape = importer.shape(x);
    let [stride] = node.sizes("strides", [1])?;
    let [dilation] = node.sizes("dilations", [1])?;
    let [before, after] = node.sizes("pads", [0, 0])?;
    let notset = matches!(node.word("auto_pad", "NOTSET")?.as_str(), "NOTSET" | "");
    let groups = usize::try_from(node.int("group", 1)?).unwrap_or(0);
    let taps = dims[2];
    if groups == 0 || dims[1].checked_mul(groups) != Some(shape.c) || !dims[0].is_multiple_of(groups) {
        return Err(format!("weights {dims:?} in {groups} groups do not fit {} input channels", shape.c));
    }
    let rows = x.dims.get(2).is_some_and(|d| d[..] == [Axis::H]);
    let one_line = rows || x.dims.get(2).is_some_and(|d| d[..] == [Axis::W]);
    let plain = taps == 1 && stride == 1 && before + after == 0;
    if !notset || x.dims.len() != 3 || !(plain || one_line) {
        return Err(format!(
            "a one-dimensional convolution of {:?} over {} pixels is supported with one tap only",
            dims,
            shape.pixels()
        ));
    }
    let both = |along: usize, other: usize| if rows { [along, other] } else { [other, along] };
    let per_group = dims[1];
    let mut ohwi = Vec::with_capacity(weights.len());
    for filter in weights.chunks_exact(per_group * taps) {
        (0..taps).for_each(|t| ohwi.extend((0..per_group).map(|i| filter[i * taps + t])));
    }
    let bias = match node.input(2) {
        Some(_) => importer.vector(node, 2, dims[0])?,
        None => vec![0.0; dims[0]],
    };
    let pad = if rows { [before, 0, after, 0] } else { [0, before, 0, after] };
    let window = Window { kernel: both(taps, 1), stride: both(stride, 1), pad };
    let id = importer.convolved(node.name(), x.node, ohwi, bias, window, both(dilation, 1), groups)?;
    let shape = importer.nodes[id].shape;
    let mut value = Value { node: id, ..x.clone() };
    value.dims[1] = vec![Axis::C];
    value.forget_short(shape);
    importer.bind(node, value)
}
