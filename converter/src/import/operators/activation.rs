//! Relu and its disguises; Softmax and Sigmoid as the network's last function.

use foldnet_archive::Activation;

use super::super::Importer;
use super::super::constant::floats;
use super::super::node::{Node, Problem};
use super::super::value::Axis;
use crate::graph::{Curve, Op};

/// `max(x, 0)`.
pub fn relu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    rectify(importer, node, 0)
}

fn rectify<'a>(importer: &mut Importer<'a>, node: Node<'a>, input: usize) -> Result<(), Problem> {
    let x = importer.value(node, input)?;
    let shape = importer.shape(&x);
    importer.define(node, Op::Relu, vec![x.node], shape, &x)
}

/// `max(x, 0)` written with the constant zero.
pub fn max<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let constant = (0..2).find(|&i| node.input(i).is_some_and(|n| importer.constants.contains_key(n)));
    let (Some(constant), 2) = (constant, node.proto.input.len()) else {
        return Err("the maximum of two computed values is not supported".into());
    };
    if floats(importer.constant(node, constant)?)?.iter().any(|&v| v != 0.0) {
        return Err("the maximum with another constant than 0 is not supported".into());
    }
    rectify(importer, node, 1 - constant)
}

/// A ReLU where the lower bound is 0 and there is no upper one; nothing where there is no bound.
pub fn clip<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["min", "max"])?;
    let bound = |input: usize, name: &str, none: f32| -> Result<f32, Problem> {
        let given = importer.optional_constant(node, input)?.map(floats).transpose()?;
        let attribute = node.float(name, none)?;
        Ok(given.and_then(|v| v.first().copied()).unwrap_or(attribute))
    };
    let (low, high) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
    match (low, high) {
        (0.0, f32::MAX..) => rectify(importer, node, 0),
        (..=f32::MIN, f32::MAX..) => {
            let x = importer.value(node, 0)?;
            importer.bind(node, x)
        }
        _ => Err(format!("clipping to {low}…{high}; 0 and no upper bound (a ReLU) is supported")),
    }
}

/// Exponentials, normalized over the classes.
pub fn softmax<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axis"])?;
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let rank = x.dims.len() as i64;
    let axis = node.int("axis", if node.opset < 13 { 1 } else { -1 })?;
    let axis = if axis < 0 { axis + rank } else { axis };
    // Before opset 13 everything from the axis on is one row.
    let over_classes = match x.dim_of(Axis::C) {
        Some(dim) if node.opset < 13 => axis <= dim as i64,
        Some(dim) => axis == dim as i64,
        None => shape.c == 1,
    };
    if shape.pixels() != 1 || !over_classes {
        return Err(format!(
            "over axis {axis} of {:?}; it is supported over the classes, as the network's last function",
            x.sizes(shape)
        ));
    }
    finish(importer, node, Activation::Softmax)
}

/// `1 / (1 + exp(−x))`. Whether it is the network's last function is seen at the end.
pub fn sigmoid<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    curve(importer, node, Curve::Sigmoid)
}

/// Hyperbolic tangent.
pub fn tanh<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    curve(importer, node, Curve::Tanh)
}

fn curve<'a>(importer: &mut Importer<'a>, node: Node<'a>, curve: Curve) -> Result<(), Problem> {
    node.only(&[])?;
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    importer.define(node, Op::Curve(curve), vec![x.node], shape, &x)
}

fn finish<'a>(importer: &mut Importer<'a>, node: Node<'a>, activation: Activation) -> Result<(), Problem> {
    let mut x = importer.value(node, 0)?;
    x.finished = true;
    importer.activation = activation;
    importer.bind(node, x)
}
