//! TFLite's operators as ONNX nodes. Images stay NHWC; convolutions and poolings, which are NCHW in ONNX, have
//! transpositions around them.

use super::super::node::Problem;
use super::file::{Operator, Tensor};
use super::halves::Halves;
use super::translate::{Translator, quantization};
use crate::emit::onnx::{float, int, ints, word};
use crate::tflite::schema::{element, operator as op, operator_name, options};

mod dense;
mod slices;
mod windows;

type Take = fn(&mut Translator<'_, '_, '_>, &Operator<'_, '_>) -> Result<(), Problem>;

/// The operators that may be applied to values computed from the image.
const TABLE: &[(i32, Take)] = &[
    (op::ABS, plain),
    (op::ADD, two_sided),
    (op::AVERAGE_POOL_2D, windows::pool),
    (op::CONCATENATION, concatenation),
    (op::CONV_2D, windows::conv),
    (op::DEPTHWISE_CONV_2D, windows::depthwise),
    (op::DEQUANTIZE, dequantize),
    (op::DIV, two_sided),
    (op::ELU, plain),
    (op::EXP, plain),
    (op::EXPAND_DIMS, reshape),
    (op::FULLY_CONNECTED, dense::fully_connected),
    (op::GELU, gelu),
    (op::HARD_SWISH, plain),
    (op::L2_NORMALIZATION, l2_normalization),
    (op::LEAKY_RELU, leaky_relu),
    (op::LOGISTIC, plain),
    (op::LOG_SOFTMAX, softmax),
    (op::MAXIMUM, two_sided),
    (op::MAX_POOL_2D, windows::pool),
    (op::MEAN, reduce),
    (op::MINIMUM, two_sided),
    (op::MUL, two_sided),
    (op::NEG, plain),
    (op::PAD, pad),
    (op::PADV2, pad),
    (op::POW, two_sided),
    (op::PRELU, two_sided),
    (op::QUANTIZE, quantize),
    (op::REDUCE_MAX, reduce),
    (op::RELU, plain),
    (op::RELU6, clip),
    (op::RELU_0_TO_1, clip),
    (op::RELU_N1_TO_1, clip),
    (op::RESHAPE, reshape),
    (op::RESIZE_BILINEAR, resize),
    (op::RESIZE_NEAREST_NEIGHBOR, resize),
    (op::RSQRT, rsqrt),
    (op::SLICE, slices::slice),
    (op::SOFTMAX, softmax),
    (op::SPLIT, slices::split),
    (op::SPLIT_V, slices::split),
    (op::SQRT, plain),
    (op::SQUARE, square),
    (op::SQUEEZE, reshape),
    (op::STRIDED_SLICE, slices::strided),
    (op::SUB, two_sided),
    (op::SUM, reduce),
    (op::TANH, plain),
    (op::TRANSPOSE, transpose),
];

/// Translates an operator.
pub fn translate(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let take = TABLE.iter().find(|(code, _)| *code == operator.code && operator.custom.is_none());
    let Some((_, take)) = take else {
        let known: Vec<String> = TABLE.iter().map(|(code, _)| operator_name(*code)).collect();
        return Err(format!("this operator is not supported; supported are {}", known.join(", ")));
    };
    take(t, operator)
}

/// Returns the inputs on which an operator's result depends. The other one of a RESHAPE is the shape, which its
/// output has as well.
pub fn read_by<'o>(operator: &'o Operator<'_, '_>) -> &'o [Option<usize>] {
    match operator.code {
        op::RESHAPE | op::SQUEEZE | op::EXPAND_DIMS => operator.inputs.get(..1).unwrap_or_default(),
        _ => &operator.inputs,
    }
}

/// The options of an operator, read as those with this number; all are missing if the operator has none.
struct Options<'o, 'f, 'a>(&'o Operator<'f, 'a>);

impl<'o, 'f, 'a> Options<'o, 'f, 'a> {
    fn of(operator: &'o Operator<'f, 'a>, number: u8) -> Result<Self, Problem> {
        match operator.options {
            Some(_) if operator.options_type != number => {
                Err(format!("its options are of type {}, not {number}", operator.options_type))
            }
            _ => Ok(Self(operator)),
        }
    }

    fn byte(&self, field: u16) -> Result<u8, Problem> {
        self.0.options.map_or(Ok(0), |o| o.byte(field)).map_err(|e| e.to_string())
    }

    fn int(&self, field: u16, none: i32) -> Result<i32, Problem> {
        self.0.options.map_or(Ok(none), |o| o.int(field, none)).map_err(|e| e.to_string())
    }

    fn float(&self, field: u16, none: f32) -> Result<f32, Problem> {
        self.0.options.map_or(Ok(none), |o| o.float(field, none)).map_err(|e| e.to_string())
    }

    /// Returns a size, which is positive.
    fn size(&self, field: u16, none: i32) -> Result<usize, Problem> {
        let value = self.int(field, none)?;
        usize::try_from(value).ok().filter(|&n| n > 0).ok_or_else(|| format!("its option {field} is {value}"))
    }
}

/// Translates to ONNX's equivalent operator, without attributes.
fn plain(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let kind = match operator.code {
        op::ABS => "Abs",
        op::ELU => "Elu",
        op::EXP => "Exp",
        op::HARD_SWISH => "HardSwish",
        op::LOGISTIC => "Sigmoid",
        op::NEG => "Neg",
        op::RELU => "Relu",
        op::SQRT => "Sqrt",
        op::TANH => "Tanh",
        other => return Err(format!("{} has no counterpart", operator_name(other))),
    };
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, kind, &[&x], vec![])?;
    t.finish(operator, y, 0)
}

/// Translates an operator on two tensors, or on one and a constant that fits it.
fn two_sided(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let (kind, number) = match operator.code {
        op::ADD => ("Add", Some(options::ADD)),
        op::SUB => ("Sub", Some(options::SUB)),
        op::MUL => ("Mul", Some(options::MUL)),
        op::DIV => ("Div", Some(options::DIV)),
        op::MAXIMUM => ("Max", None),
        op::MINIMUM => ("Min", None),
        op::POW => ("Pow", None),
        op::PRELU => ("PRelu", None),
        other => return Err(format!("{} has no counterpart", operator_name(other))),
    };
    let fused = number.map_or(Ok(0), |number| Options::of(operator, number)?.byte(0))?;
    let (a, b) = (t.operand(operator, 0)?, t.operand(operator, 1)?);
    let y = t.main(operator, kind, &[&a, &b], vec![])?;
    t.finish(operator, y, fused)
}

fn clip(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let (lo, hi) = match operator.code {
        op::RELU6 => (0.0, 6.0),
        op::RELU_0_TO_1 => (0.0, 1.0),
        _ => (-1.0, 1.0),
    };
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, "Clip", &[&x], vec![float("min", lo), float("max", hi)])?;
    t.finish(operator, y, 0)
}

fn leaky_relu(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let alpha = Options::of(operator, options::LEAKY_RELU)?.float(0, 0.0)?;
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, "LeakyRelu", &[&x], vec![float("alpha", alpha)])?;
    t.finish(operator, y, 0)
}

fn gelu(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let approximate = Options::of(operator, options::GELU)?.byte(0)? != 0;
    let x = t.operand(operator, 0)?;
    let by = word("approximate", if approximate { "tanh" } else { "none" });
    let y = t.main(operator, "Gelu", &[&x], vec![by])?;
    t.finish(operator, y, 0)
}

fn rsqrt(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let x = t.operand(operator, 0)?;
    let root = t.node(operator, "Sqrt", &[&x], vec![])?;
    let y = t.main(operator, "Reciprocal", &[&root], vec![])?;
    t.finish(operator, y, 0)
}

fn square(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, "Mul", &[&x, &x], vec![])?;
    t.finish(operator, y, 0)
}

/// Translates exponentials, normalized over the last dimension.
fn softmax(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let kind = if operator.code == op::SOFTMAX { "Softmax" } else { "LogSoftmax" };
    if operator.code == op::SOFTMAX {
        let beta = Options::of(operator, options::SOFTMAX)?.float(0, 0.0)?;
        if beta != 1.0 {
            return Err(format!("its beta is {beta}; 1 is supported"));
        }
    }
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, kind, &[&x], vec![int("axis", -1)])?;
    t.end(operator)?;
    t.finish(operator, y, 0)
}

/// Translates the division of a vector by its length.
fn l2_normalization(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, "LpNormalization", &[&x], vec![int("axis", -1), int("p", 2)])?;
    t.end(operator)?;
    t.finish(operator, y, 0)
}

/// Translates a mean, sum or maximum over dimensions.
fn reduce(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let keep = Options::of(operator, options::REDUCER)?.byte(0)? != 0;
    let rank = t.tensor(operator, 0)?.shape.len() as i64;
    let mut axes = Vec::new();
    for axis in t.integers(operator, 1)? {
        let place = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
        axes.push(
            place.filter(|&a| (a as i64) < rank).ok_or_else(|| format!("its axis {axis} is out of range"))?,
        );
    }
    let x = t.operand(operator, 0)?;
    let keep = int("keepdims", i64::from(keep));
    let y = if operator.code == op::SUM {
        // In this opset, the axes are an input.
        let axes: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        let axes = t.constant_integers(&axes);
        t.main(operator, "ReduceSum", &[&x, &axes], vec![keep])?
    } else {
        let kind = if operator.code == op::MEAN { "ReduceMean" } else { "ReduceMax" };
        t.main(operator, kind, &[&x], vec![ints("axes", &axes), keep])?
    };
    t.finish(operator, y, 0)
}

/// Translates zero padding.
fn pad(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let by = t.integers(operator, 1)?;
    if operator.code == op::PADV2 {
        let (_, values) = t.floats(operator, 2)?;
        if values.iter().any(|&v| v != 0.0) {
            return Err(format!("it pads with {}; 0 is supported", values[0]));
        }
    }
    let pairs = by.as_chunks::<2>().0;
    let pads: Vec<i64> = pairs.iter().map(|p| p[0]).chain(pairs.iter().map(|p| p[1])).collect();
    let (x, pads) = (t.operand(operator, 0)?, t.constant_integers(&pads));
    let y = t.main(operator, "Pad", &[&x, &pads], vec![])?;
    t.finish(operator, y, 0)
}

fn concatenation(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let options = Options::of(operator, options::CONCATENATION)?;
    let (axis, fused) = (options.int(0, 0)?, options.byte(1)?);
    let parts = (0..operator.inputs.len()).map(|i| t.operand(operator, i)).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let y = t.main(operator, "Concat", &parts, vec![int("axis", i64::from(axis))])?;
    t.finish(operator, y, fused)
}

fn transpose(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    same_grid(t, operator)?;
    let order = t.integers(operator, 1)?;
    let order: Option<Vec<usize>> = order.iter().map(|&i| usize::try_from(i).ok()).collect();
    let order = order.ok_or("its order has negative numbers")?;
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, "Transpose", &[&x], vec![ints("perm", &order)])?;
    t.bind(operator, &y)
}

/// Translates a change of dimensions: those of the output.
fn reshape(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    same_grid(t, operator)?;
    let output = t.output(operator)?;
    let stated = &t.model.tensors[output].shape;
    let mut shape: Vec<i64> = stated.iter().map(|&n| i64::from(n)).collect();
    if let Some(batch) = shape.first_mut().filter(|n| **n < 0) {
        *batch = 1;
    }
    if shape.iter().filter(|n| **n < 0).count() > 1 {
        return Err(format!(
            "the dimensions of its output are open ({stated:?}); convert the model with fixed ones"
        ));
    }
    let finished = t.is_finished(t.input(operator, 0)?);
    if finished {
        t.end(operator)?;
    }
    let (x, shape) = (t.operand(operator, 0)?, t.constant_integers(&shape));
    let y = t.main(operator, "Reshape", &[&x, &shape], vec![])?;
    t.bind(operator, &y)
}

/// Translates a change of height and width, which is supported where nothing changes.
fn resize(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let (x, y) = (t.tensor(operator, 0)?, &t.model.tensors[t.output(operator)?]);
    if x.shape == y.shape && x.shape.iter().skip(1).all(|&n| n > 0) {
        return pass_on(t, operator);
    }
    let advice = match t.model.inputs.contains(&t.input(operator, 0)?) {
        true => {
            "convert the model without this layer: the converter and the runtime resize images themselves, to the \
             size that the network then takes"
        }
        false => "networks that classify have no such layer; models that segment or detect are not supported",
    };
    Err(format!("it resizes {:?} to {:?}; {advice}", x.shape, y.shape))
}

/// Checks that an operator that only moves bytes does not change their scale and zero point.
fn same_grid(t: &Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    alike(t.tensor(operator, 0)?, &t.model.tensors[t.output(operator)?])
}

fn alike(x: &Tensor<'_>, y: &Tensor<'_>) -> Result<(), Problem> {
    match (x.element, &x.scale, &x.zero) == (y.element, &y.scale, &y.zero) {
        true => Ok(()),
        false => Err("its output is quantized in another way than its input".into()),
    }
}

fn is_bytes(tensor: &Tensor<'_>) -> bool {
    matches!(tensor.element, element::INT8 | element::UINT8)
}

/// Translates bytes to floats; the graph is already in floats.
fn dequantize(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    pass_on(t, operator)
}

/// Translates a change of scale. Values that were rounded before are rounded twice, so they are separate values.
fn quantize(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let from = t.input(operator, 0)?;
    let (x, y) = (&t.model.tensors[from], &t.model.tensors[t.output(operator)?]);
    let bytes = is_bytes(x) && is_bytes(y) && !t.model.inputs.contains(&from) && !t.is_finished(from);
    if !bytes {
        return pass_on(t, operator);
    }
    let as_int8 = |of: &Tensor<'_>| {
        let (scale, zero) = quantization(of)?;
        Ok::<_, Problem>((scale, zero - if of.element == element::UINT8 { 128 } else { 0 }))
    };
    if as_int8(x)? == as_int8(y)? {
        return pass_on(t, operator);
    }
    let (factor, halves) = match x.element == y.element {
        true => conversion(quantization(x)?.0 / quantization(y)?.0),
        false => (1.0, Halves::ToEven),
    };
    let (x, factor) = (t.operand(operator, 0)?, t.constant_floats(&[], &[factor]));
    let y = t.main(operator, "Mul", &[&x, &factor], vec![])?;
    t.finish_rounded(operator, y, 0, halves)
}

/// Returns what XNNPACK's conversion between two scales of this ratio multiplies by besides the ratio, and how it
/// rounds: its multiplier has eight bits behind the point.
fn conversion(ratio: f32) -> (f32, Halves) {
    const UNIT: f32 = 256.0;
    match ratio {
        // Outside this range TFLite's own kernel runs, which is exact.
        ratio if !(1.0 / UNIT..=128.0).contains(&ratio) => (1.0, Halves::ToEven),
        ratio => ((ratio * UNIT).round_ties_even() / UNIT / ratio, Halves::Outward),
    }
}

fn pass_on(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    if t.is_finished(t.input(operator, 0)?) {
        t.end(operator)?;
    }
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, "Identity", &[&x], vec![])?;
    t.finish(operator, y, 0)
}
