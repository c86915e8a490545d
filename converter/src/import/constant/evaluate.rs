//! Runs one node on constants.

use super::bound::bound_output;
use super::convolve::convolve;
use super::einsum::einsum;
use super::quantize::{dequantize, quantize};
use super::{Constant, along, arithmetic, create, normalize, product, reduce, top_k};
use crate::import::moves;
use crate::import::node::{Node, Problem};

/// Operators with a different result each time.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// Runs one node on constants, given in the order of its inputs.
pub fn evaluate(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Vec<Constant>, Problem> {
    let op = node.proto.op_type.as_str();
    if RANDOM.contains(&op) {
        return Err("it gives other numbers each time; export the model for inference (model.eval())".into());
    }
    match op {
        "Dropout" => return dropout(node, inputs),
        "DequantizeLinear" => return dequantize(node, inputs).map(|c| vec![c]),
        "QuantizeLinear" => return quantize(node, inputs).map(|c| vec![c]),
        "TopK" => return top_k::run(node, inputs),
        _ => {}
    }
    if let Some(outputs) = moves::of_constants(node, inputs) {
        return outputs;
    }
    let given: Vec<Constant> = inputs.iter().flatten().map(|c| (*c).clone()).collect();
    bound_output(node, &given)?;
    let result = create::run(node, inputs)
        .or_else(|| arithmetic::run(node, inputs))
        .or_else(|| reduce::run(node, inputs))
        .or_else(|| product::run(node, inputs))
        .or_else(|| along::run(node, inputs))
        .or_else(|| normalize::run(node, inputs))
        .or_else(|| match op {
            "Conv" => Some(convolve(node, inputs)),
            "Einsum" => Some(einsum(node, inputs)),
            _ => None,
        });
    let result = result.ok_or("this operator is not supported on constants")??;
    Ok(vec![result])
}

/// Does nothing at inference.
fn dropout(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Vec<Constant>, Problem> {
    let training = inputs.get(2).copied().flatten().map(|c| c.floats());
    if training.is_some_and(|t| t.iter().any(|&v| v != 0.0)) {
        return Err("it is in training mode: export the model for inference (model.eval())".into());
    }
    let x = inputs.first().copied().flatten().ok_or("it has no input")?;
    match node.proto.output.iter().skip(1).find(|name| !name.is_empty()) {
        Some(name) => Err(format!("its output {name} is not supported")),
        None => Ok(vec![x.clone()]),
    }
}
