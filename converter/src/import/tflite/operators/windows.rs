//! Convolutions and poolings.

use crate::onnx::AttributeProto;

use super::super::super::node::Problem;
use super::super::file::{Operator, Tensor};
use super::super::halves::Halves;
use super::super::translate::Translator;
use super::{Options, is_bytes};
use crate::emit::onnx::{int, ints, word};
use crate::tflite::schema::{element, operator as op, options};

/// The permutation from rows, columns, channels to channels, rows, columns, and its inverse.
const TO_NCHW: [usize; 4] = [0, 3, 1, 2];
const TO_NHWC: [usize; 4] = [0, 2, 3, 1];

/// Reads padding and strides, the first three fields of every operator with a window.
fn window(options: &Options<'_, '_, '_>) -> Result<Vec<AttributeProto>, Problem> {
    let padding = match options.byte(0)? {
        0 => "SAME_UPPER",
        1 => "VALID",
        other => return Err(format!("padding number {other} is not known")),
    };
    let strides = [options.size(2, 0)?, options.size(1, 0)?];
    Ok(vec![word("auto_pad", padding), ints("strides", &strides)])
}

/// Adds an ONNX operator on channels, rows, columns.
fn on_planes(
    t: &mut Translator<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    kind: &str,
    parameters: &[&str],
    attributes: Vec<AttributeProto>,
    (fused, halves): (u8, Halves),
) -> Result<(), Problem> {
    let x = t.operand(operator, 0)?;
    let planes = t.node(operator, "Transpose", &[&x], vec![ints("perm", &TO_NCHW)])?;
    let inputs = [&[&planes[..]], parameters].concat();
    let y = t.main(operator, kind, &inputs, attributes)?;
    let pixels = t.node(operator, "Transpose", &[&y], vec![ints("perm", &TO_NHWC)])?;
    t.finish_rounded(operator, pixels, fused, halves)
}

/// Translates the maximum or mean of a window; padding does not count.
pub fn pool(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let kind = if operator.code == op::MAX_POOL_2D { "MaxPool" } else { "AveragePool" };
    let options = Options::of(operator, options::POOL_2D)?;
    let mut attributes = window(&options)?;
    attributes.push(ints("kernel_shape", &[options.size(4, 0)?, options.size(3, 0)?]));
    let halves = match kind {
        "AveragePool" => average_halves(&t.model.tensors[t.output(operator)?]),
        _ => Halves::ToEven,
    };
    on_planes(t, operator, kind, &[], attributes, (options.byte(5)?, halves))
}

/// Returns how a mean is rounded: TFLite rounds the sum of the bytes away from zero. With a low zero point, as after a
/// ReLU, most of them are negative; otherwise most lie on the zero point's side that is farther from zero.
fn average_halves(tensor: &Tensor<'_>) -> Halves {
    const LOW: i64 = -64;
    match (tensor.element, tensor.zero.first()) {
        (element::INT8, Some(&zero)) if zero < LOW => Halves::Inward,
        (element::INT8 | element::UINT8, _) => Halves::Outward,
        _ => Halves::ToEven,
    }
}

/// Returns the length of the last dimension of the tensor at input 0.
fn channels(t: &Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<usize, Problem> {
    let x = t.tensor(operator, 0)?;
    let last = x.shape.last().and_then(|&n| usize::try_from(n).ok()).filter(|&n| n > 0);
    last.ok_or_else(|| format!("the number of channels of {} is open ({:?})", x.name, x.shape))
}

/// Returns weights of four dimensions, none of which is empty.
fn weights(
    t: &mut Translator<'_, '_, '_>,
    operator: &Operator<'_, '_>,
) -> Result<([usize; 4], Vec<f32>), Problem> {
    let (dims, values) = t.floats(operator, 1)?;
    match <[usize; 4]>::try_from(&dims[..]) {
        Ok(four) if !values.is_empty() => Ok((four, values)),
        _ => Err(format!("weights of dimensions {dims:?}")),
    }
}

/// Returns the bias, if there is one. An int32 bias has the unit of the sums, whatever its scale: TFLite's kernels
/// add it unchanged.
pub fn bias(
    t: &mut Translator<'_, '_, '_>,
    operator: &Operator<'_, '_>,
    outputs: usize,
) -> Result<Option<String>, Problem> {
    let Some(Some(_)) = operator.inputs.get(2) else { return Ok(None) };
    let (dims, mut values) = t.floats(operator, 2)?;
    if values.len() != outputs {
        return Err(format!("a bias of dimensions {dims:?} for {outputs} outputs"));
    }
    let (x, w, b) = (t.tensor(operator, 0)?, t.tensor(operator, 1)?, t.tensor(operator, 2)?);
    if is_bytes(x) && b.element == element::INT32 {
        let raw = super::super::constants::raw(b)?;
        let x_scale = f64::from(super::super::translate::quantization(x)?.0);
        let w_scale = |o: usize| scale_of(w, o).map(f64::from);
        for (o, (value, raw)) in values.iter_mut().zip(raw).enumerate() {
            *value = (raw * x_scale * w_scale(o)?) as f32;
        }
    }
    Ok(Some(t.constant_floats(&[outputs], &values)))
}

/// Returns the scale of an output's weights.
fn scale_of(weights: &Tensor<'_>, output: usize) -> Result<f32, Problem> {
    let scale = if weights.scale.len() == 1 { weights.scale.first() } else { weights.scale.get(output) };
    scale.copied().ok_or_else(|| format!("{} has {} scales", weights.name, weights.scale.len()))
}

/// Reads the dilations, the last options of a convolution.
fn dilations(options: &Options<'_, '_, '_>, first: u16) -> Result<AttributeProto, Problem> {
    Ok(ints("dilations", &[options.size(first + 1, 1)?, options.size(first, 1)?]))
}

/// Translates a convolution with weights of outputs, rows, columns, inputs.
pub fn conv(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let options = Options::of(operator, options::CONV_2D)?;
    let ([outputs, kh, kw, inputs], ohwi) = weights(t, operator)?;
    let channels = channels(t, operator)?;
    if !channels.is_multiple_of(inputs) {
        return Err(format!("weights of {inputs} channels for an input of {channels}"));
    }
    let area = kh * kw;
    let mut oihw = Vec::with_capacity(ohwi.len());
    for filter in ohwi.chunks_exact(area * inputs) {
        (0..inputs).for_each(|i| oihw.extend((0..area).map(|tap| filter[tap * inputs + i])));
    }
    let mut attributes = window(&options)?;
    attributes.push(dilations(&options, 4)?);
    attributes.push(int("group", (channels / inputs) as i64));
    let mut parameters = vec![t.constant_floats(&[outputs, inputs, kh, kw], &oihw)];
    parameters.extend(bias(t, operator, outputs)?);
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    on_planes(t, operator, "Conv", &parameters, attributes, (options.byte(3)?, Halves::ToEven))
}

/// Translates a convolution with weights of 1, rows, columns, outputs; every channel has the same number of
/// outputs.
pub fn depthwise(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let options = Options::of(operator, options::DEPTHWISE_CONV_2D)?;
    let ([one, kh, kw, outputs], hwo) = weights(t, operator)?;
    let channels = channels(t, operator)?;
    if one != 1 || !outputs.is_multiple_of(channels) {
        return Err(format!("weights of dimensions [{one}, {kh}, {kw}, {outputs}] for {channels} channels"));
    }
    let mut ohw = Vec::with_capacity(hwo.len());
    (0..outputs).for_each(|o| ohw.extend((0..kh * kw).map(|tap| hwo[tap * outputs + o])));
    let mut attributes = window(&options)?;
    attributes.push(dilations(&options, 5)?);
    attributes.push(int("group", channels as i64));
    let mut parameters = vec![t.constant_floats(&[outputs, 1, kh, kw], &ohw)];
    parameters.extend(bias(t, operator, outputs)?);
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    on_planes(t, operator, "Conv", &parameters, attributes, (options.byte(4)?, Halves::ToEven))
}
