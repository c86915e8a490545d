//! Conv, and the windows that poolings share with it.

use super::super::Importer;
use super::super::node::{Node, Problem};
use super::super::value::Value;
use super::channel_conv;
use crate::graph::{Conv, Op, Window};
use foldnet_kernels::{MAX_KERNEL, Shape};

/// The attributes of [`window`].
pub const WINDOW: [&str; 6] = ["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"];

/// Returns kernel, stride, padding and dilation of a two-dimensional window on an input of this shape.
pub fn window(node: Node<'_>, kernel: [usize; 2], input: Shape) -> Result<(Window, [usize; 2]), Problem> {
    let stride = node.sizes("strides", [1, 1])?;
    let dilation = node.sizes("dilations", [1, 1])?;
    let allowed = |n: &usize| (1..=MAX_KERNEL).contains(n);
    if ![kernel, stride, dilation].iter().flatten().all(allowed) {
        return Err(format!(
            "kernel {kernel:?}, strides {stride:?}, dilations {dilation:?}; 1 to {MAX_KERNEL} are supported"
        ));
    }
    let sides = [input.h, input.w];
    let mut pad = [0; 4];
    match node.word("auto_pad", "NOTSET")?.as_str() {
        "NOTSET" | "" => pad = node.sizes("pads", [0; 4])?,
        "VALID" => {}
        same @ ("SAME_UPPER" | "SAME_LOWER") => {
            for axis in 0..2 {
                let reach = (kernel[axis] - 1) * dilation[axis] + 1;
                let out = sides[axis].div_ceil(stride[axis]);
                let total = ((out - 1) * stride[axis] + reach).saturating_sub(sides[axis]);
                let (less, more) = (total / 2, total - total / 2);
                (pad[axis], pad[axis + 2]) = if same == "SAME_UPPER" { (less, more) } else { (more, less) };
            }
        }
        other => return Err(format!("auto_pad {other} is not known")),
    }
    Ok((Window { kernel, stride, pad }, dilation))
}

/// `y = Σ x·w + b`.
pub fn conv<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
    if importer.constant(node, 1)?.rank() == 3 {
        return channel_conv::over_channels(importer, node);
    }
    let x = importer.picture(node, 0)?;
    let (dims, oihw) = importer.weights(node, 1)?;
    let bias = match node.input(2) {
        Some(_) => importer.vector(node, 2, dims[0])?,
        None => vec![0.0; dims[0]],
    };
    with_weights(importer, node, &x, &dims, &oihw, bias)
}

/// ONNX Runtime's convolution with a fused addition and activation.
pub fn fused<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[
        "activation",
        "activation_params",
        "auto_pad",
        "dilations",
        "group",
        "kernel_shape",
        "pads",
        "strides",
    ])?;
    let relu = match node.word("activation", "")?.as_str() {
        "Relu" => true,
        "" => false,
        other => return Err(format!("activation {other} is not supported; Relu is")),
    };
    let x = importer.picture(node, 0)?;
    let (dims, oihw) = importer.weights(node, 1)?;
    let bias = match node.input(2) {
        Some(_) => importer.vector(node, 2, dims.first().copied().unwrap_or(0))?,
        None => vec![0.0; dims.first().copied().unwrap_or(0)],
    };
    with_weights(importer, node, &x, &dims, &oihw, bias)?;
    let output = node.proto.output.first().ok_or("it has no output")?.as_str();
    if node.input(3).is_some() {
        let (sum, other) = (importer.values[output].clone(), importer.value(node, 3)?);
        let shape = importer.shape(&sum);
        if importer.shape(&other) != shape || sum.dims != other.dims {
            return Err("what it adds has other dimensions".into());
        }
        importer.define(node, Op::Add, vec![sum.node, other.node], shape, &sum)?;
    }
    if relu {
        let sum = importer.values[output].clone();
        let shape = importer.shape(&sum);
        importer.define(node, Op::Relu, vec![sum.node], shape, &sum)?;
    }
    Ok(())
}

/// Adds the convolution of `x` with these weights, OIHW, and the node's attributes.
pub fn with_weights<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    x: &Value,
    dims: &[usize],
    oihw: &[f32],
    bias: Vec<f32>,
) -> Result<(), Problem> {
    let input = importer.shape(x);
    let [outputs, per_group, kh, kw] = dims[..] else {
        return Err(format!("weights of dimensions {dims:?}; two-dimensional convolutions are supported"));
    };
    if node.sizes("kernel_shape", [kh, kw])? != [kh, kw] {
        return Err("kernel_shape differs from the weights".into());
    }
    let groups = usize::try_from(node.int("group", 1)?).unwrap_or(0);
    if groups == 0 || per_group.checked_mul(groups) != Some(input.c) || outputs % groups != 0 || outputs == 0
    {
        return Err(format!("weights {dims:?} in {groups} groups do not fit {} input channels", input.c));
    }
    let (window, dilation) = window(node, [kh, kw], input)?;
    let mut weights = Vec::with_capacity(oihw.len());
    for filter in oihw.chunks_exact(per_group * kh * kw) {
        for tap in 0..kh * kw {
            weights.extend((0..per_group).map(|i| filter[i * kh * kw + tap]));
        }
    }
    let [h, w] = window
        .output([input.h, input.w], dilation)
        .ok_or_else(|| format!("the kernel is larger than its input of {input}"))?;
    let op = Op::Conv(Conv { weights, bias, window, dilation, groups, pad_value: vec![0.0; input.c] });
    let shape = Shape::new(h, w, outputs);
    importer.define(node, op, vec![x.node], shape, &Value::nchw(0, shape))
}
