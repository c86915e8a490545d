//! Stacks: tensors of five dimensions that consist of a few equal tensors along a short dimension. Attention
//! between branches uses them.
//!
//! ```text
//! ReduceSum(stack)            the sum of its parts
//! Softmax(stack)              for two parts σ(a − b) and σ(b − a); for more, a tree of these
//! Mul(stack, stack)           part by part, one of them a number per channel
//! ```
//! SK-ResNets stack the outputs of their branches, ResNeSt regroups the channels of one layer.

use foldnet_kernels::Shape;

use super::Importer;
use super::moves::{self, Places};
use super::node::{Node, Problem};
use super::value::{Axis, Value};
use crate::curve::Curve;
use crate::graph::{NodeId, Op};

/// The largest number of parts of a stack.
const MOST_PARTS: usize = 16;

/// Imports a node that computes with stacks; returns `false` for other nodes.
pub fn take<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<bool, Problem> {
    let stacked = |i: usize| {
        let places = node.input(i).and_then(|name| importer.moved.get(name));
        places.map(|p| p.dims.clone()).filter(|d| d.len() > 4 || node.proto.op_type == "Softmax")
    };
    let Some(dims) = stacked(0).or_else(|| stacked(1)) else { return Ok(false) };
    match node.proto.op_type.as_str() {
        "ReduceSum" => sum(importer, node, &dims),
        "Softmax" => softmax(importer, node, &dims),
        "Mul" => product(importer, node, &dims),
        _ => Ok(false),
    }
}

/// Returns the parts of the stack at an input, along a dimension. Parts that are not whole nodes become nodes.
fn parts<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    input: usize,
    axis: usize,
) -> Result<Vec<Value>, Problem> {
    let name = node.input(input).ok_or_else(|| format!("input {input} is missing"))?;
    let places = match importer.moved.get(name) {
        Some(places) => places.clone(),
        None => {
            let value = importer.value(node, input)?;
            moves::places(importer, &value)?
        }
    };
    let mut dims = places.dims.clone();
    dims.remove(axis);
    let mut parts = Vec::new();
    for part in 0..places.dims[axis] {
        let mut along = places.everything();
        along[axis] = vec![Some(part)];
        let slice = places.picked(&along, 0)?.regrouped(dims.clone())?;
        parts.push(moves::settled(importer, &format!("{name}/{part}"), &slice)?);
    }
    Ok(parts)
}

/// Makes nodes of equal dimensions the parts of the node's output, which is a stack.
fn bind<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    parts: &[Value],
    axis: usize,
) -> Result<(), Problem> {
    let output = node.proto.output.first().ok_or("it has no output")?;
    let slices = parts.iter().map(|v| moves::places(importer, v)).collect::<Result<Vec<Places>, _>>()?;
    let mut dims = slices[0].dims.clone();
    dims.insert(axis, slices.len());
    let stack = Places::build(dims, |at| {
        let mut inner = at.to_vec();
        let part = inner.remove(axis);
        Ok(slices[part].at(&inner))
    })?;
    importer.moved.insert(output, stack);
    Ok(())
}

fn sum<'a>(importer: &mut Importer<'a>, node: Node<'a>, dims: &[usize]) -> Result<bool, Problem> {
    node.only(&["axes", "keepdims", "noop_with_empty_axes"])?;
    let given = importer.optional_constant(node, 1)?.map(super::constant::integers);
    let Some(axes) = given.or(node.ints("axes")?.map(<[i64]>::to_vec)) else { return Ok(false) };
    let [axis] = axes[..] else { return Ok(false) };
    let Some(axis) = place(axis, dims) else { return Ok(false) };
    let before = importer.nodes.len();
    let parts = parts(importer, node, 0, axis)?;
    let mut value = parts[0].clone();
    value.node = combined(importer, node.name(), before, &parts, |_| 1.0)?;
    if node.int("keepdims", 1)? != 0 {
        value.dims.insert(axis, Vec::new());
    }
    importer.bind(node, value)?;
    Ok(true)
}

/// Returns the dimension with this number, if it is as short as a stack's.
fn place(axis: i64, dims: &[usize]) -> Option<usize> {
    let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).ok()?;
    dims.get(axis).filter(|n| (2..=MOST_PARTS).contains(*n)).map(|_| axis)
}

/// Returns the sum of parts, each with a sign. Parts just picked from one node (nodes from `before` on) are picked
/// again, together with their sum.
fn combined(
    importer: &mut Importer<'_>,
    name: &str,
    before: NodeId,
    parts: &[Value],
    sign: impl Fn(usize) -> f32,
) -> Result<NodeId, Problem> {
    let shape = importer.nodes[parts[0].node].shape;
    if parts.iter().any(|p| importer.nodes[p.node].shape != shape || p.dims != parts[0].dims) {
        return Err("its parts are not laid out alike".into());
    }
    let picked = |p: &Value| match &importer.nodes[p.node].op {
        Op::Conv(conv) if p.node >= before => Some((importer.nodes[p.node].inputs.clone(), conv.clone())),
        _ => None,
    };
    if let Some(picks) = parts.iter().map(picked).collect::<Option<Vec<_>>>()
        && picks.iter().all(|(from, conv)| {
            let (first, like) = &picks[0];
            from == first
                && (conv.window, conv.groups, conv.dilation) == (like.window, like.groups, like.dilation)
        })
    {
        let (from, mut conv) = picks[0].clone();
        for (i, (_, other)) in picks.iter().enumerate() {
            let from_zero = i == 0;
            for (w, o) in conv.weights.iter_mut().zip(&other.weights) {
                *w = if from_zero { 0.0 } else { *w } + sign(i) * o;
            }
            for (b, o) in conv.bias.iter_mut().zip(&other.bias) {
                *b = if from_zero { 0.0 } else { *b } + sign(i) * o;
            }
        }
        return Ok(importer.push(name, Op::Conv(conv), from, shape));
    }
    let mut all: Option<NodeId> = None;
    for (i, part) in parts.iter().enumerate() {
        let signed = match sign(i) {
            1.0 => part.node,
            s => {
                let op = Op::Affine { gain: vec![s; shape.c], offset: vec![0.0; shape.c] };
                importer.push(name, op, vec![part.node], shape)
            }
        };
        all = Some(match all {
            None => signed,
            Some(all) => importer.push(name, Op::Add, vec![all, signed], shape),
        });
    }
    all.ok_or_else(|| "it has no parts".into())
}

fn softmax<'a>(importer: &mut Importer<'a>, node: Node<'a>, dims: &[usize]) -> Result<bool, Problem> {
    node.only(&["axis"])?;
    if node.opset < 13 {
        return Ok(false);
    }
    let Some(axis) = place(node.int("axis", -1)?, dims) else { return Ok(false) };
    let before = importer.nodes.len();
    let parts = parts(importer, node, 0, axis)?;
    if parts.len() > 2 && importer.nodes[parts[0].node].shape.pixels() != 1 {
        return Err(format!("over {} parts of more than one pixel", parts.len()));
    }
    let shares: Vec<Value> =
        half(importer, node.name(), before, &parts)?.shares.into_iter().flatten().collect();
    bind(importer, node, &shares, axis)?;
    Ok(true)
}

/// The values that a softmax needs of some of its inputs.
struct Half {
    /// The logarithm of the sum of their exponentials.
    log: Value,
    /// The share of each in that sum; `None` for all of it.
    shares: Vec<Option<Value>>,
}

/// Two halves have the shares `σ(d)` and `σ(−d)` of their sum, where `d` is the difference of their logarithms.
/// Nothing is divided, and every value has a range that int8 covers well.
fn half(importer: &mut Importer<'_>, name: &str, before: NodeId, parts: &[Value]) -> Result<Half, Problem> {
    if let [one] = parts {
        return Ok(Half { log: one.clone(), shares: vec![None] });
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    let (left, right) = (half(importer, name, before, left)?, half(importer, name, before, right)?);
    let like = left.log.clone();
    let shape = importer.nodes[like.node].shape;
    let logs = [left.log, right.log];
    let difference = format!("{name}/difference");
    let d = combined(importer, &difference, before, &logs, |i| if i == 0 { 1.0 } else { -1.0 })?;
    let negative = Curve::of("Neg", &[&Curve::x()]);
    let of = |name: &str| Curve::of(name, &[&Curve::x()]);
    let mut curve = |curve: Curve| importer.push(name, Op::Curve(curve), vec![d], shape);
    let mine = [curve(of("Sigmoid")), curve(of("Sigmoid").after(&negative))];
    let rest = curve(of("Softplus").after(&negative));
    let mut shares = Vec::new();
    for (half, gate) in [left.shares, right.shares].into_iter().zip(mine) {
        for share in half {
            let node = match share {
                None => gate,
                Some(share) => importer.push(name, Op::Scale, vec![share.node, gate], shape),
            };
            shares.push(Some(Value { node, ..like.clone() }));
        }
    }
    let log = importer.push(name, Op::Add, vec![logs[0].node, rest], shape);
    Ok(Half { log: Value { node: log, ..like }, shares })
}

fn product<'a>(importer: &mut Importer<'a>, node: Node<'a>, dims: &[usize]) -> Result<bool, Problem> {
    node.only(&[])?;
    let constant = |i: usize| node.input(i).is_none_or(|name| importer.constants.contains_key(name));
    if constant(0) || constant(1) {
        return Ok(false);
    }
    let (a, b) = (importer.sizes(node, 0)?, importer.sizes(node, 1)?);
    let both = |axis: &usize| a.len() == b.len() && a[*axis] == b[*axis];
    let Some(axis) = (0..dims.len()).filter(both).find(|&axis| place(axis as i64, dims).is_some()) else {
        return Ok(false);
    };
    let sides = [parts(importer, node, 0, axis)?, parts(importer, node, 1, axis)?];
    let mut products = Vec::new();
    for (a, b) in sides[0].iter().zip(&sides[1]) {
        let pixels = |v: &Value| importer.nodes[v.node].shape.pixels();
        let (x, gate) = if pixels(a) >= pixels(b) { (a, b) } else { (b, a) };
        let (shape, gates) = (importer.nodes[x.node].shape, importer.nodes[gate.node].shape);
        if gates != Shape::new(1, 1, shape.c) || x.dim_of(Axis::C) != gate.dim_of(Axis::C) {
            return Err(format!(
                "the product of {:?} and {:?}: one number per channel is supported as the second factor",
                x.sizes(shape),
                gate.sizes(gates)
            ));
        }
        let product = importer.push(node.name(), Op::Scale, vec![x.node, gate.node], shape);
        products.push(Value { node: product, ..x.clone() });
    }
    bind(importer, node, &products, axis)?;
    Ok(true)
}
