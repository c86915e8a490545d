//! Runs one node on constants with tract, or with our own code if tract deviates from ONNX.

use std::sync::Arc;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::prelude::InferenceModelExt;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{InferenceFact, InferenceModel};

use super::bound::bound_output;
use super::quantize::{dequantize, quantize};
use super::{Constant, floats, guarded, integers};
use crate::import::moves;
use crate::import::node::{Node, Problem};

/// Operators with a different result each time.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// Runs one node on constants, given in the order of its inputs.
pub fn evaluate(
    node: Node<'_>,
    inputs: &[Option<&Constant>],
    model: &ModelProto,
) -> Result<Vec<Constant>, Problem> {
    let op = node.proto.op_type.as_str();
    if RANDOM.contains(&op) {
        return Err("it gives other numbers each time; export the model for inference (model.eval())".into());
    }
    match op {
        "BatchNormalization" if node.int("training_mode", 0)? != 0 => return normalize(node, inputs),
        "Dropout" => return dropout(node, inputs),
        "DequantizeLinear" => return dequantize(node, inputs).map(|c| vec![c]),
        "QuantizeLinear" => return quantize(node, inputs).map(|c| vec![c]),
        "TopK" => return top_k(node, inputs),
        _ => {}
    }
    match moves::of_constants(node, inputs) {
        Some(Ok(outputs)) => return Ok(outputs),
        // An interpolation is a computation.
        Some(Err(problem)) if op != "Resize" => return Err(problem),
        _ => {}
    }
    let given: Vec<Constant> = inputs.iter().flatten().map(|c| (*c).clone()).collect();
    bound_output(node, &given)?;
    let outputs = guarded(|| {
        let framework = tract_onnx::onnx();
        let context = ParsingContext {
            onnx_operator_set_version: node.opset,
            framework: &framework,
            model,
            parent_graphs: Vec::new(),
            model_dir: None,
            template: InferenceModel::default(),
        };
        let Some(build) = framework.op_register.0.get(op) else {
            bail!("the operator is not supported, not even on constants")
        };
        let (op, _) = build(&context, node.proto)?;
        let mut model = InferenceModel::default();
        let mut outlets = Vec::new();
        for (i, input) in given.iter().enumerate() {
            outlets.push(model.add_const(format!("input{i}"), input.clone())?);
        }
        let facts = node.proto.output.iter().map(|_| InferenceFact::default()).collect();
        let id = model.add_node("node", op, facts)?;
        for (i, outlet) in outlets.into_iter().enumerate() {
            model.add_edge(outlet, InletId::new(id, i))?;
        }
        let outputs: Vec<OutletId> = (0..node.proto.output.len()).map(|i| OutletId::new(id, i)).collect();
        model.select_output_outlets(&outputs)?;
        let results = model.into_typed()?.into_runnable()?.run(tvec!())?;
        results.into_iter().map(|v| plain(v.into_arc_tensor())).collect::<TractResult<Vec<_>>>()
    });
    outputs.map_err(|e| format!("its constant inputs give no result: {e}"))
}

/// Replaces tract's symbols, with which it computes shapes, by integers.
fn plain(tensor: Constant) -> TractResult<Constant> {
    match tensor.datum_type() == TDim::datum_type() {
        true => Ok(Arc::new(tensor.cast_to::<i64>()?.into_owned())),
        false => Ok(tensor),
    }
}

/// Does nothing at inference.
fn dropout(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Vec<Constant>, Problem> {
    let training = inputs.get(2).copied().flatten().map(floats).transpose()?;
    if training.is_some_and(|t| t.iter().any(|&v| v != 0.0)) {
        return Err("it is in training mode: export the model for inference (model.eval())".into());
    }
    let x = inputs.first().copied().flatten().ok_or("it has no input")?;
    only_first_output(node.proto)?;
    Ok(vec![x.clone()])
}

fn only_first_output(node: &NodeProto) -> Result<(), Problem> {
    match node.output.iter().skip(1).find(|name| !name.is_empty()) {
        Some(name) => Err(format!("its output {name} is not supported")),
        None => Ok(()),
    }
}

/// A batch normalization in training mode: mean and variance are those of its own input. Weights are standardized
/// in this way.
fn normalize(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Vec<Constant>, Problem> {
    let input = |i: usize| inputs.get(i).copied().flatten().ok_or_else(|| format!("input {i} is missing"));
    let x = input(0)?;
    let (dims, values) = (x.shape().to_vec(), floats(x)?);
    let (scale, shift) = (floats(input(1)?)?, floats(input(2)?)?);
    let channels = dims.get(1).copied().unwrap_or(1);
    if scale.len() != channels || shift.len() != channels || values.is_empty() {
        return Err(format!(
            "scale and shift of {} and {} for {channels} channels",
            scale.len(),
            shift.len()
        ));
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let behind: usize = dims[2.min(dims.len())..].iter().product();
    let mut y = values.clone();
    for c in 0..channels {
        let mine = || (0..values.len()).filter(|i| i / behind % channels == c);
        let count = mine().count() as f64;
        let mean = mine().map(|i| f64::from(values[i])).sum::<f64>() / count;
        let variance = mine().map(|i| (f64::from(values[i]) - mean).powi(2)).sum::<f64>() / count;
        let gain = f64::from(scale[c]) / (variance + epsilon).sqrt();
        mine().for_each(|i| y[i] = ((f64::from(values[i]) - mean) * gain + f64::from(shift[c])) as f32);
    }
    let y = Tensor::from_shape(&dims, &y).map_err(|e| e.to_string())?;
    Ok(vec![Arc::new(y)])
}

/// Returns the largest or smallest numbers along a dimension, and their indices; of equal ones the first.
fn top_k(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Vec<Constant>, Problem> {
    let x = inputs.first().copied().flatten().ok_or("it has no input")?;
    let k = match inputs.get(1).copied().flatten() {
        Some(k) => integers(k)?.first().copied().ok_or("it does not say how many")?,
        None => node.int("k", -1)?,
    };
    let (dims, values) = (x.shape().to_vec(), floats(x)?);
    let axis = node.int("axis", -1)?;
    let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).unwrap_or(usize::MAX);
    let side = *dims.get(axis).ok_or("its axis is out of range")?;
    let k = usize::try_from(k).ok().filter(|k| *k <= side).ok_or_else(|| format!("{k} of {side}"))?;
    let largest = node.int("largest", 1)? != 0;
    let behind: usize = dims[axis + 1..].iter().product();
    let mut shape = dims.clone();
    shape[axis] = k;
    let volume: usize = shape.iter().product();
    let (mut best, mut places) = (vec![0.0f32; volume], vec![0i64; volume]);
    for line in 0..values.len().checked_div(side).unwrap_or(0) {
        let first = line / behind * side * behind + line % behind;
        let mut order: Vec<usize> = (0..side).collect();
        let at = |i: usize| values[first + i * behind];
        order.sort_by(|&a, &b| if largest { at(b).total_cmp(&at(a)) } else { at(a).total_cmp(&at(b)) });
        for (n, &i) in order.iter().take(k).enumerate() {
            let to = line / behind * k * behind + line % behind + n * behind;
            (best[to], places[to]) = (at(i), i as i64);
        }
    }
    let best =
        Tensor::from_shape(&shape, &best).and_then(|t| t.cast_to_dt(x.datum_type()).map(|t| t.into_owned()));
    let places = Tensor::from_shape(&shape, &places);
    Ok(vec![Arc::new(best.map_err(|e| e.to_string())?), Arc::new(places.map_err(|e| e.to_string())?)])
}
