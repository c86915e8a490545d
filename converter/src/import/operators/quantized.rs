//! Models that are already quantized: QuantizeLinear and DequantizeLinear around float operators (QDQ), and
//! operators on integers (QLinear…).
//!
//! The graph stays float, without the rounding. Scale and zero point of each value are recorded beside it
//! ([`Graph::given`](crate::graph::Graph::given)), and the quantizer uses them unchanged. If the zero point is the
//! lowest value, a saturating quantization clips values below zero; this is a ReLU and is imported as one.

use foldnet_kernels::Shape;

use super::super::Importer;
use super::super::constant::{Kind, floats, integers};
use super::super::node::{Node, Problem};
use super::super::value::Value;
use super::conv;
use super::dense::{Matrix, dense};
use crate::graph::{Given, NodeId, Op};
use crate::onnx::NodeProto;

/// Returns scale and zero point of an activation at two inputs.
fn given(importer: &Importer<'_>, node: Node<'_>, scale: usize, zero: usize) -> Result<Given, Problem> {
    let (_, scales) = importer.weights(node, scale)?;
    let [scale] = scales[..] else {
        return Err("scales per channel are supported for weights, not for activations".into());
    };
    if scale <= 0.0 {
        return Err(format!("its scale is {scale}"));
    }
    let zero = match importer.optional_constant(node, zero)? {
        // Without a zero point it is uint8's 0, unless the type is specified.
        None if node.proto.op_type != "QuantizeLinear" => -128,
        None => match node.int("output_dtype", 0)? {
            0 | 2 => -128,
            3 => 0,
            other => return Err(format!("activations of type number {other}; int8 and uint8 are supported")),
        },
        Some(constant) => {
            let unsigned = match constant.kind() {
                Kind::U8 => 128,
                Kind::I8 => 0,
                other => return Err(format!("activations of type {other:?}; int8 and uint8 are supported")),
            };
            integers(constant).first().map_or(0, |z| z - unsigned)
        }
    };
    let zero = i8::try_from(zero).map_err(|_| format!("its zero point is {zero}"))?;
    Ok(Given { scale, zero, read_exactly: false })
}

/// Returns whether a node's values cannot be negative.
fn never_negative(importer: &Importer<'_>, node: NodeId) -> bool {
    let of = &importer.nodes[node];
    match of.op {
        Op::Relu => true,
        Op::Clip { lo, .. } => lo >= 0.0,
        Op::Curve(_) if of.op.is_sigmoid() => true,
        Op::Add | Op::MaxPool { .. } | Op::GlobalAvgPool | Op::Pad(_) => {
            of.inputs.iter().all(|&i| never_negative(importer, i))
        }
        _ => false,
    }
}

/// Records the quantization of a value and makes it the node's output.
fn note<'a>(importer: &mut Importer<'a>, node: Node<'a>, x: Value, given: Given) -> Result<(), Problem> {
    if x.node == 0 {
        // The image's bytes are exact without rounding.
        return importer.bind(node, x);
    }
    let mut x = x;
    if given.zero == i8::MIN && !never_negative(importer, x.node) {
        let shape = importer.shape(&x);
        importer.define(node, Op::Relu, vec![x.node], shape, &x)?;
        x = importer.values[node.proto.output[0].as_str()].clone();
    }
    let name = importer.nodes[x.node].name.clone();
    match importer.given.insert(name, given) {
        Some(before) if !before.rounds_as(&given) && !alone_behind_quantization(importer, node) => {
            Err("its input is quantized twice, in different ways, and read in both: export the model with one scale \
                 for this value"
                .into())
        }
        _ => importer.bind(node, x),
    }
}

/// Returns whether this node is the only reader of the quantized value before it. PyTorch quantizes a pooled value
/// with the scale of the pooling's input, flattens it, and quantizes it again with its own scale. Then one
/// rounding, the last, replaces both.
fn alone_behind_quantization(importer: &Importer<'_>, node: Node<'_>) -> bool {
    let mut tensor = node.input(0);
    while let Some(name) = tensor.filter(|name| importer.readers(name).len() == 1) {
        let writes = |n: &&NodeProto| n.output.first().is_some_and(|o| o == name);
        let Some(before) = importer.model.graph.iter().flat_map(|g| &g.node).find(writes) else {
            return false;
        };
        match before.op_type.as_str() {
            "QuantizeLinear" => return true,
            "Cast" | "DequantizeLinear" | "Flatten" | "Identity" | "Reshape" | "Squeeze" => {}
            _ => return false,
        }
        tensor = before.input.first().map(String::as_str);
    }
    false
}

/// Records the quantization of the last defined operator's output, from the inputs with these numbers.
fn note_output<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    scale: usize,
    zero: usize,
) -> Result<(), Problem> {
    let given = given(importer, node, scale, zero)?;
    let output = node.proto.output.first().ok_or("it has no output")?;
    let value = importer.values[output.as_str()].clone();
    note(importer, node, value, given)
}

/// Quantizes a value: it is in integers from here on.
pub fn quantize<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axis", "block_size", "output_dtype", "precision", "saturate"])?;
    if node.int("block_size", 0)? != 0 {
        return Err("scales per block (block_size) are not supported".into());
    }
    let x = importer.value(node, 0)?;
    let given = given(importer, node, 1, 2)?;
    // Pre-activation networks written by `foldnet-train qat` have this form: their normalization reads the sum
    // itself.
    let readers = node.input(0).map(|name| importer.readers(name)).unwrap_or_default();
    let read_exactly = readers.iter().any(|reader| reader.op_type != "QuantizeLinear");
    note(importer, node, x, Given { read_exactly, ..given })
}

/// Dequantizes a value: it is the previous value if it is read on the grid to which it was rounded.
pub fn dequantize<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axis", "block_size", "output_dtype"])?;
    if node.int("block_size", 0)? != 0 {
        return Err("scales per block (block_size) are not supported".into());
    }
    let x = importer.value(node, 0)?;
    let read = given(importer, node, 1, 2)?;
    let written = importer.given.get(&importer.nodes[x.node].name).copied();
    if written.is_some_and(|written| !written.rounds_as(&read)) {
        return Err("its scale or zero point is not the one that its input was quantized with".into());
    }
    importer.bind(node, x)
}

/// Integer weights as floats.
struct Weights {
    dims: Vec<usize>,
    values: Vec<f32>,
    /// The scale per output.
    scales: Vec<f32>,
}

/// Returns weights, scales and zero points at three inputs; `axis` is the dimension of the outputs.
fn weights(importer: &Importer<'_>, node: Node<'_>, first: usize, axis: usize) -> Result<Weights, Problem> {
    let constant = importer.constant(node, first)?;
    let dims = constant.shape().to_vec();
    let outputs = *dims.get(axis).ok_or_else(|| format!("weights of dimensions {dims:?}"))?;
    let per_output = |input: usize| -> Result<Vec<f32>, Problem> {
        let (_, values) = importer.weights(node, input)?;
        match values[..] {
            [one] => Ok(vec![one; outputs]),
            _ if values.len() == outputs => Ok(values),
            _ => Err(format!("{} scales or zero points for {outputs} outputs", values.len())),
        }
    };
    let (scales, zeros) = (per_output(first + 1)?, per_output(first + 2)?);
    let behind: usize = dims[axis + 1..].iter().product();
    let integers = floats(constant);
    let dequantized = integers.iter().enumerate().map(|(i, q)| {
        let output = i / behind % outputs;
        (q - zeros[output]) * scales[output]
    });
    let values = dequantized.collect();
    Ok(Weights { dims, values, scales })
}

/// Returns an int32 bias at scale `s_x·s_w`, if the input is given.
fn bias(importer: &Importer<'_>, node: Node<'_>, input: usize, scales: &[f32]) -> Result<Vec<f32>, Problem> {
    if node.input(input).is_none() {
        return Ok(vec![0.0; scales.len()]);
    }
    let x_scale = given(importer, node, 1, 2)?.scale;
    let values = importer.vector(node, input, scales.len())?;
    Ok(values.iter().zip(scales).map(|(b, s)| b * x_scale * s).collect())
}

/// Conv on integers.
pub fn conv<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
    let x = importer.picture(node, 0)?;
    let Weights { dims, values, scales } = weights(importer, node, 3, 0)?;
    let bias = bias(importer, node, 8, &scales)?;
    conv::with_weights(importer, node, &x, &dims, &values, bias)?;
    note_output(importer, node, 6, 7)
}

/// MatMul on integers.
pub fn matmul<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let Weights { dims, values, .. } = weights(importer, node, 3, 1)?;
    let [depth, outputs] = dims[..] else {
        return Err(format!("weights of dimensions {dims:?}; two are supported"));
    };
    dense(importer, node, &Matrix { values, depth, outputs, transposed: false }, vec![0.0; outputs])?;
    note_output(importer, node, 6, 7)
}

/// Gemm on integers; its output may be float.
pub fn gemm<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha", "transA", "transB"])?;
    if node.int("transA", 0)? != 0 || node.float("alpha", 1.0)? != 1.0 {
        return Err("a transposed image (transA) or a factor (alpha) is not supported".into());
    }
    let transposed = node.int("transB", 0)? != 0;
    let Weights { dims, values, scales } = weights(importer, node, 3, usize::from(!transposed))?;
    let [depth, outputs] = match dims[..] {
        [n, k] if transposed => [k, n],
        [k, n] => [k, n],
        _ => return Err(format!("weights of dimensions {dims:?}; two are supported")),
    };
    let bias = bias(importer, node, 6, &scales)?;
    dense(importer, node, &Matrix { values, depth, outputs, transposed }, bias)?;
    match node.input(7) {
        Some(_) => note_output(importer, node, 7, 8),
        None => Ok(()),
    }
}

/// The sum of two values in integers.
pub fn add<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let (a, b) = (importer.value(node, 0)?, importer.value(node, 3)?);
    let (shape, other) = (importer.shape(&a), importer.shape(&b));
    if shape != other || a.dims != b.dims {
        let (a, b) = (a.sizes(shape), b.sizes(other));
        return Err(format!("summands of {a:?} and {b:?}: equal ones are supported"));
    }
    importer.define(node, Op::Add, vec![a.node, b.node], shape, &a)?;
    note_output(importer, node, 6, 7)
}

/// Mean of all pixels, in integers.
pub fn global_average<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["channels_last"])?;
    if node.int("channels_last", 0)? != 0 {
        return Err("channels_last is not supported".into());
    }
    let x = importer.picture(node, 0)?;
    let c = importer.shape(&x).c;
    importer.define(node, Op::GlobalAvgPool, vec![x.node], Shape::new(1, 1, c), &x)?;
    note_output(importer, node, 3, 4)
}
