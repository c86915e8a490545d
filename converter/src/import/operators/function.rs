//! Elementwise operators on one tensor: each becomes a [`Curve`].
//!
//! An operator may read several values if all of them are functions of one tensor, value by value, as in
//! `x·sigmoid(x)`. Then all of it is one function of that tensor, and the nodes in between are left without
//! readers.

use super::super::Importer;
use super::super::node::{Node, Problem};
use super::super::value::Value;
use crate::curve::{Curve, Operator};
use crate::graph::{NodeId, Op};

/// Imports an operator that [`Curve`] has under the same name, or under a name to which ONNX adds numbers.
pub fn plain<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let name = node.proto.op_type.as_str();
    let operator = Operator::named(name).ok_or("it is not a function of one value")?;
    let inputs = node.proto.input.len();
    // Max and Min take any number of inputs.
    let folds = matches!(name, "Max" | "Min") && inputs > 0;
    if inputs != operator.arity() && !folds {
        return Err(format!("{inputs} inputs; {} are supported", operator.arity()));
    }
    define(importer, node, |operands| match operands {
        [first, rest @ ..] if folds => rest.iter().fold(first.clone(), |a, b| Curve::of(name, &[&a, b])),
        _ => Curve::of(name, &operands.iter().collect::<Vec<_>>()),
    })
}

/// Makes the node a function of the one tensor on which all its inputs depend; `build` receives the inputs as
/// functions of that tensor.
pub fn define<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    build: impl Fn(&[Curve]) -> Curve,
) -> Result<(), Problem> {
    let joint = joint(importer, node)?.ok_or_else(|| {
        format!(
            "{} of values that are no functions of one tensor is not supported",
            node.proto.op_type.to_lowercase()
        )
    })?;
    finish(importer, node, &joint, build(&joint.operands))
}

/// Like [`define`], if the operator itself `bends` or one of the inputs is more than an affine map of that tensor.
/// Otherwise there are better ways to import it, and the result is `false`.
pub fn define_if_joint<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    bends: bool,
    build: impl Fn(&[Curve]) -> Curve,
) -> Result<bool, Problem> {
    match joint(importer, node)? {
        Some(joint) if bends || joint.bends => {
            finish(importer, node, &joint, build(&joint.operands))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// A node's inputs as functions of one tensor.
struct Joint {
    root: NodeId,
    /// A value with the dimensions of the inputs.
    like: Value,
    operands: Vec<Curve>,
    /// Whether an input is not an affine map of the tensor.
    bends: bool,
}

/// A node of which others are functions.
struct Ancestor {
    node: NodeId,
    /// The function from its value to the node in question.
    curve: Curve,
    bends: bool,
}

fn joint<'a>(importer: &Importer<'a>, node: Node<'a>) -> Result<Option<Joint>, Problem> {
    let mut values = Vec::new();
    for i in 0..node.proto.input.len() {
        let constant = node.input(i).is_none_or(|name| importer.constants.contains_key(name));
        if !constant {
            values.push(importer.value(node, i)?);
        }
    }
    let Some(like) = values.first().cloned() else { return Ok(None) };
    let shape = importer.shape(&like);
    if values.iter().any(|v| importer.shape(v) != shape || v.dims != like.dims) {
        return Ok(None);
    }
    let paths: Vec<Vec<Ancestor>> = values.iter().map(|v| ancestors(importer, v.node)).collect();
    let common = |a: &&Ancestor| paths.iter().all(|p| p.iter().any(|b| b.node == a.node));
    let Some(root) = paths[0].iter().find(common).map(|a| a.node) else { return Ok(None) };
    let (mut operands, mut bends) = (Vec::new(), false);
    let mut paths = paths.into_iter();
    for i in 0..node.proto.input.len() {
        let Some(name) = node.input(i) else { continue };
        if !importer.constants.contains_key(name) {
            let from = paths.next().and_then(|p| p.into_iter().find(|a| a.node == root));
            let Some(from) = from else { return Ok(None) };
            bends |= from.bends;
            operands.push(from.curve);
            continue;
        }
        let (dims, numbers) = constant(importer, node, i)?;
        let numbers = like.per_channel(shape, &dims, &numbers).ok_or_else(|| {
            format!(
                "a constant of dimensions {dims:?} on a value of {:?}: one number per channel is supported",
                like.sizes(shape)
            )
        })?;
        operands.push(Curve::per_channel(&numbers));
    }
    Ok(Some(Joint { root, like, operands, bends }))
}

/// Returns a constant's dimensions and values; they may be infinite, as the bounds of a clip often are.
fn constant(
    importer: &Importer<'_>,
    node: Node<'_>,
    input: usize,
) -> Result<(Vec<usize>, Vec<f32>), Problem> {
    let constant = importer.constant(node, input)?;
    let values = super::super::constant::floats(constant);
    if values.iter().any(|v| v.is_nan()) {
        return Err(format!("input {input} is not a number"));
    }
    Ok((constant.shape().to_vec(), values))
}

/// Returns the node itself and the earlier nodes of which it is a function, the nearest first.
fn ancestors(importer: &Importer<'_>, node: NodeId) -> Vec<Ancestor> {
    let mut all = vec![Ancestor { node, curve: Curve::x(), bends: false }];
    let mut at = node;
    while let Some(step) = importer.nodes[at].op.curve() {
        let last = &all[all.len() - 1];
        if !last.curve.may_follow(&step) {
            break;
        }
        let bends = last.bends || !matches!(importer.nodes[at].op, Op::Affine { .. });
        let curve = last.curve.after(&step);
        at = importer.nodes[at].inputs[0];
        all.push(Ancestor { node: at, curve, bends });
    }
    all
}

fn finish<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    joint: &Joint,
    curve: Curve,
) -> Result<(), Problem> {
    let shape = importer.nodes[joint.root].shape;
    if !(1..=shape.c).contains(&curve.channels()) {
        return Err(format!("constants for {} channels on a value of {shape}", curve.channels()));
    }
    importer.define(node, Op::Curve(curve), vec![joint.root], shape, &joint.like)
}
