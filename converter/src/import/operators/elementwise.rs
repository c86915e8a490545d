//! Add, Sub, Mul, Div, Sum: affine maps if one side is a constant, residual additions if none is.

use super::super::Importer;
use foldnet_kernels::Shape;

use super::super::node::{Node, Problem};
use super::super::value::{Axis, Value};
use super::function;
use crate::curve::Curve;
use crate::graph::Op;

/// The sides of an operator: a value and a constant of one number per channel, or two values.
enum Sides {
    /// Value first.
    ValueConstant(usize),
    /// Constant first.
    ConstantValue(usize),
    /// No constant.
    Values,
}

fn sides(importer: &Importer<'_>, node: Node<'_>) -> Result<Sides, Problem> {
    let is_constant = |i: usize| node.input(i).is_some_and(|n| importer.constants.contains_key(n));
    if node.proto.input.len() != 2 {
        return Err(format!("{} inputs; two are supported", node.proto.input.len()));
    }
    Ok(match (is_constant(0), is_constant(1)) {
        (false, true) => Sides::ValueConstant(1),
        (true, false) => Sides::ConstantValue(0),
        _ => Sides::Values,
    })
}

/// Adds an affine map whose gain and offset come from the constant, channel by channel.
fn affine<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    constant: usize,
    map: impl Fn(f32) -> (f32, f32),
) -> Result<(), Problem> {
    let x = importer.value(node, 1 - constant)?;
    let shape = importer.shape(&x);
    let (dims, values) = importer.weights(node, constant)?;
    let vector = x.per_channel(shape, &dims, &values).ok_or_else(|| {
        format!(
            "a constant of dimensions {dims:?} on a value of {:?}: one number per channel is supported",
            x.sizes(shape)
        )
    })?;
    let (gain, offset): (Vec<f32>, Vec<f32>) = vector.into_iter().map(map).unzip();
    if let Some(c) = (0..shape.c).find(|&c| !gain[c].is_finite() || !offset[c].is_finite()) {
        return Err(format!("channel {c} is divided by zero"));
    }
    // A constant with more dimensions adds them in front.
    let lead = dims.len().saturating_sub(x.dims.len());
    let like = Value { dims: [vec![Vec::new(); lead], x.dims.clone()].concat(), ..x };
    importer.define(node, Op::Affine { gain, offset }, vec![like.node], shape, &like)
}

/// Imports the node as a function of one tensor, if it is one. Returns `false` for the sum of two affine maps of
/// the tensor.
fn joint<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<bool, Problem> {
    let name = match node.proto.op_type.as_str() {
        "Sum" => "Add",
        name => name,
    };
    let bends = matches!(name, "Mul" | "Div");
    function::define_if_joint(importer, node, bends, |x| Curve::of(name, &[&x[0], &x[1]]))
}

fn two_values(what: &str) -> Problem {
    format!("{what} of two computed values is not supported")
}

/// `a + b`, also with more than two summands.
pub fn add<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    if node.proto.input.len() == 1 {
        let value = importer.value(node, 0)?;
        return importer.bind(node, value);
    }
    if node.proto.input.len() == 2 {
        match sides(importer, node)? {
            Sides::ValueConstant(c) | Sides::ConstantValue(c) => {
                return affine(importer, node, c, |v| (1.0, v));
            }
            Sides::Values if joint(importer, node)? => return Ok(()),
            Sides::Values => {}
        }
    }
    let mut sum = importer.value(node, 0)?;
    for i in 1..node.proto.input.len() {
        let other = importer.value(node, i)?;
        let (a, b) = (importer.shape(&sum), importer.shape(&other));
        if a != b || sum.dims != other.dims {
            return Err(format!(
                "summands of {:?} and {:?}: equal ones are supported",
                sum.sizes(a),
                other.sizes(b)
            ));
        }
        importer.define(node, Op::Add, vec![sum.node, other.node], a, &sum)?;
        sum = importer.values[node.proto.output[0].as_str()].clone();
    }
    Ok(())
}

/// The mean of any number of values.
pub fn mean<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let count = node.proto.input.len();
    add(importer, node)?;
    let sum = importer.values[node.proto.output[0].as_str()].clone();
    let shape = importer.shape(&sum);
    let op = Op::Affine { gain: vec![1.0 / count as f32; shape.c], offset: vec![0.0; shape.c] };
    importer.define(node, op, vec![sum.node], shape, &sum)
}

/// `a − b`.
pub fn sub<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    match sides(importer, node)? {
        Sides::ValueConstant(c) => affine(importer, node, c, |v| (1.0, -v)),
        Sides::ConstantValue(c) => affine(importer, node, c, |v| (-1.0, v)),
        Sides::Values if joint(importer, node)? => Ok(()),
        Sides::Values => difference(importer, node),
    }
}

/// `a · b`.
pub fn mul<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    match sides(importer, node)? {
        Sides::ValueConstant(c) | Sides::ConstantValue(c) => affine(importer, node, c, |v| (v, 0.0)),
        Sides::Values if joint(importer, node)? => Ok(()),
        Sides::Values => scale(importer, node),
    }
}

/// Imports `a − b` as the sum of `a` and `−b`.
fn difference<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let (a, b) = (importer.value(node, 0)?, importer.value(node, 1)?);
    let (shape, other) = (importer.shape(&a), importer.shape(&b));
    if shape != other || a.dims != b.dims {
        let (a, b) = (a.sizes(shape), b.sizes(other));
        return Err(format!("the difference of {a:?} and {b:?}: equal ones are supported"));
    }
    let negated = Op::Affine { gain: vec![-1.0; shape.c], offset: vec![0.0; shape.c] };
    let negated = importer.push(&format!("{}/negated", node.name()), negated, vec![b.node], shape);
    importer.define(node, Op::Add, vec![a.node, negated], shape, &a)
}

/// Multiplies each channel of an image by a computed number per channel.
fn scale<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let (a, b) = (importer.value(node, 0)?, importer.value(node, 1)?);
    let pixels = |v| importer.shape(v).pixels();
    let (x, gate) = if pixels(&a) >= pixels(&b) { (a, b) } else { (b, a) };
    let (shape, gates) = (importer.shape(&x), importer.shape(&gate));
    let channels_meet = |v: &Value| v.dim_of(Axis::C).map(|d| v.dims.len() - d);
    if gates != Shape::new(1, 1, shape.c) || channels_meet(&x) != channels_meet(&gate) {
        return Err(format!(
            "the product of {:?} and {:?}: one number per channel is supported as the second factor",
            x.sizes(shape),
            gate.sizes(gates)
        ));
    }
    importer.define(node, Op::Scale, vec![x.node, gate.node], shape, &x)
}

/// `a / b`.
pub fn div<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    match sides(importer, node)? {
        Sides::ValueConstant(c) => affine(importer, node, c, |v| (1.0 / v, 0.0)),
        Sides::ConstantValue(_) => function::plain(importer, node),
        Sides::Values if joint(importer, node)? => Ok(()),
        Sides::Values => Err(two_values("the quotient")),
    }
}

/// `a ^ b`; a power of 1 is the value itself.
pub fn pow<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    if let Ok(Sides::ValueConstant(c)) = sides(importer, node)
        && importer.weights(node, c)?.1.iter().all(|&v| v == 1.0)
    {
        let value = importer.value(node, 0)?;
        return importer.bind(node, value);
    }
    function::plain(importer, node)
}
