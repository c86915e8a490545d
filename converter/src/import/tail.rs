//! Last functions of a network that are written out in steps: softmax, and the division of a vector by its length.
//!
//! ```text
//! exp(x − max x) / Σ exp(x − max x)     softmax
//! x − log Σ exp(x)                      its logarithm
//! x / √(Σ x² + ε), x / max(√Σ x², ε)    a vector of length 1
//! ```
//! None of it is computed: the graph ends at `x`.

use std::collections::HashMap;

use crate::onnx::NodeProto;
use foldnet_archive::Activation;

use super::Importer;
use super::constant::{floats, integers};
use super::node::{Node, Problem};
use super::value::{Axis, Value};
use crate::graph::NodeId;

/// The kind of a part of a last function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `|x|`.
    Magnitude,
    /// `x²`.
    Square,
    /// `Σ x²`.
    SumOfSquares,
    /// `√Σ x²`.
    Length,
    /// `1/√Σ x²`.
    InverseLength,
    /// `max x`.
    Max,
    /// `x − max x`.
    Shifted,
    /// `exp(x)`, or that of the shifted value.
    Exp,
    /// The sum of the exponentials.
    SumOfExp,
    /// The logarithm of the sum of `exp(x)` itself.
    LogOfSum,
}

/// A tensor that is part of a last function.
#[derive(Clone, Debug)]
struct Part {
    kind: Kind,
    /// `x`.
    of: Value,
    /// Whether the maximum was subtracted before.
    shifted: bool,
}

/// The tensors that are parts of last functions.
#[derive(Default)]
pub struct Tail<'a> {
    parts: HashMap<&'a str, Part>,
    /// Whether the network's output was divided by its length.
    pub normalized: bool,
}

impl<'a> Tail<'a> {
    /// Returns whether a tensor is a part.
    pub fn contains(&self, name: &str) -> bool {
        self.parts.contains_key(name)
    }

    /// Gives a part a second name; returns `false` if the tensor is not a part.
    pub fn rename(&mut self, from: &str, to: &'a str) -> bool {
        let Some(part) = self.parts.get(from).cloned() else { return false };
        self.parts.insert(to, part);
        true
    }
}

/// The largest number that may be added to a length to avoid division by zero.
const LARGEST_EPSILON: f32 = 1e-4;

/// Imports a node that is part of a last function; returns `false` for other nodes.
pub fn take<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<bool, Problem> {
    let inputs: Vec<&str> = node.proto.input.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    let Some(output) = node.proto.output.first().map(String::as_str) else { return Ok(false) };
    let parts: Vec<Option<Part>> = inputs.iter().map(|n| importer.tail.parts.get(n).cloned()).collect();
    let op = node.proto.op_type.as_str();
    if op == "LpNormalization" {
        return lp_normalization(importer, node);
    }
    if op == "Log" && importer.activation == Activation::Softmax {
        let softmax = inputs.first().and_then(|n| importer.values.get(n)).filter(|v| v.finished).cloned();
        if let Some(value) = softmax {
            importer.bind(node, value)?;
            return Ok(true);
        }
    }
    let next = match &parts[..] {
        [Some(part), ..] if parts[1..].iter().all(Option::is_none) => from_part(importer, node, part)?,
        _ => None,
    };
    if let Some(part) = next {
        importer.tail.parts.insert(output, part);
        return Ok(true);
    }
    if let (("Sub", [None, Some(max)]), [left, _]) = ((op, &parts[..]), &inputs[..])
        && max.kind == Kind::Max
        && row(importer, left).is_some_and(|v| v.node == max.of.node)
    {
        let part = Part { kind: Kind::Shifted, of: max.of.clone(), shifted: true };
        importer.tail.parts.insert(output, part);
        return Ok(true);
    }
    if let Some(end) = ended(importer, &inputs, &parts, op) {
        return finish(importer, node, end);
    }
    if let Some(part) = begun(importer, node, &inputs)? {
        importer.tail.parts.insert(output, part);
        return Ok(true);
    }
    Ok(false)
}

/// Returns the value of a tensor that is one row of numbers.
fn row(importer: &Importer<'_>, name: &str) -> Option<Value> {
    let value = importer.values.get(name).filter(|v| !v.finished && !v.integer)?;
    (importer.shape(value).pixels() == 1).then(|| value.clone())
}

/// Returns whether a reduction runs over the channels and no other dimension longer than 1.
fn over_row(importer: &Importer<'_>, node: Node<'_>, x: &Value) -> Result<bool, Problem> {
    let given = importer.optional_constant(node, 1)?.map(integers);
    let given = given.or(node.ints("axes")?.map(<[i64]>::to_vec)).unwrap_or_default();
    let rank = x.dims.len() as i64;
    let over = |a: &i64| usize::try_from(if *a < 0 { a + rank } else { *a }).ok();
    let all = given.is_empty() && node.int("noop_with_empty_axes", 0)? == 0;
    Ok(all || given.iter().filter_map(over).any(|d| x.dims.get(d).is_some_and(|d| d.contains(&Axis::C))))
}

fn read_only_by(importer: &Importer<'_>, output: &str, ops: &[&str]) -> bool {
    let readers: Vec<&NodeProto> = importer.readers(output);
    !readers.is_empty() && readers.iter().all(|r| ops.contains(&r.op_type.as_str()))
}

/// Returns the first step of a last function.
fn begun<'a>(importer: &Importer<'a>, node: Node<'a>, inputs: &[&str]) -> Result<Option<Part>, Problem> {
    let Some(of) = inputs.first().and_then(|n| row(importer, n)) else { return Ok(None) };
    let output = node.proto.output.first().map_or("", |o| o.as_str());
    let part = |kind| Ok(Some(Part { kind, of: of.clone(), shifted: false }));
    let constant = |i: usize| importer.optional_constant(node, i).ok().flatten().map(floats);
    match node.proto.op_type.as_str() {
        "ReduceL2" if over_row(importer, node, &of)? => part(Kind::Length),
        "ReduceSumSquare" if over_row(importer, node, &of)? => part(Kind::SumOfSquares),
        "ReduceLogSumExp" if over_row(importer, node, &of)? => part(Kind::LogOfSum),
        "Abs" if read_only_by(importer, output, &["Pow"]) => part(Kind::Magnitude),
        "ReduceMax" if over_row(importer, node, &of)? && read_only_by(importer, output, &["Sub"]) => {
            part(Kind::Max)
        }
        "Mul" if inputs.len() == 2 && inputs[0] == inputs[1] => squares(importer, output, &of),
        "Pow" if constant(1).is_some_and(|v| v == [2.0]) => squares(importer, output, &of),
        "Exp" if read_only_by(importer, output, &["Div", "ReduceSum"]) => {
            let reduced = importer.readers(output).iter().any(|r| r.op_type == "ReduceSum");
            if reduced { part(Kind::Exp) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}

fn squares(importer: &Importer<'_>, output: &str, of: &Value) -> Result<Option<Part>, Problem> {
    let summed = read_only_by(importer, output, &["ReduceSum"]);
    Ok(summed.then(|| Part { kind: Kind::Square, of: of.clone(), shifted: false }))
}

/// Returns the next part of a last function.
fn from_part<'a>(importer: &Importer<'a>, node: Node<'a>, part: &Part) -> Result<Option<Part>, Problem> {
    let becomes = |kind| Ok(Some(Part { kind, ..part.clone() }));
    let constant = |i: usize| match importer.optional_constant(node, i) {
        Ok(Some(constant)) if constant.len() == 1 => Some(constant.floats()[0]),
        _ => None,
    };
    let small = |v: Option<f32>| v.is_some_and(|v| (0.0..=LARGEST_EPSILON).contains(&v));
    let length = matches!(part.kind, Kind::Length | Kind::SumOfSquares);
    match (node.proto.op_type.as_str(), part.kind) {
        ("Identity" | "Expand" | "Reshape" | "Squeeze" | "Unsqueeze", _) => becomes(part.kind),
        ("Clip", _) if length => {
            let low = constant(1).or(Some(node.float("min", 0.0)?));
            let bounded = node.input(2).is_some() || node.float("max", f32::MAX)? < f32::MAX;
            if small(low) && !bounded { becomes(part.kind) } else { Ok(None) }
        }
        ("Max" | "Add", _) if length && small(constant(1)) => becomes(part.kind),
        ("ReduceSum", Kind::Square) if over_row(importer, node, &part.of)? => becomes(Kind::SumOfSquares),
        ("Pow", Kind::Magnitude) if constant(1) == Some(2.0) => becomes(Kind::Square),
        ("Sqrt", Kind::SumOfSquares) => becomes(Kind::Length),
        ("Pow", Kind::SumOfSquares) if constant(1) == Some(0.5) => becomes(Kind::Length),
        ("Pow", Kind::SumOfSquares) if constant(1) == Some(-0.5) => becomes(Kind::InverseLength),
        ("Reciprocal", Kind::Length) => becomes(Kind::InverseLength),
        ("Exp", Kind::Shifted) => becomes(Kind::Exp),
        ("ReduceSum", Kind::Exp) if over_row(importer, node, &part.of)? => becomes(Kind::SumOfExp),
        ("Log", Kind::SumOfExp) => becomes(Kind::LogOfSum),
        _ => Ok(None),
    }
}

/// The last step, and its effect on the network's output.
enum End {
    Softmax(Value),
    Normalized(Value),
}

fn ended(importer: &Importer<'_>, inputs: &[&str], parts: &[Option<Part>], op: &str) -> Option<End> {
    let [left, right] = inputs[..] else { return None };
    let [a, b] = parts else { return None };
    let value = |name: &str, node: NodeId| row(importer, name).filter(|v| v.node == node);
    match (op, a, b) {
        ("Div", None, Some(b)) if b.kind == Kind::Length => value(left, b.of.node).map(End::Normalized),
        ("Mul", None, Some(b)) if b.kind == Kind::InverseLength => {
            value(left, b.of.node).map(End::Normalized)
        }
        ("Mul", Some(a), None) if a.kind == Kind::InverseLength => {
            value(right, a.of.node).map(End::Normalized)
        }
        ("Div", Some(a), Some(b)) if (a.kind, b.kind) == (Kind::Exp, Kind::SumOfExp) => {
            (a.of.node == b.of.node).then(|| End::Softmax(a.of.clone()))
        }
        ("Sub", None, Some(b)) if b.kind == Kind::LogOfSum && !b.shifted => {
            value(left, b.of.node).map(End::Softmax)
        }
        ("Sub", Some(a), Some(b)) if (a.kind, b.kind) == (Kind::Shifted, Kind::LogOfSum) && b.shifted => {
            (a.of.node == b.of.node).then(|| End::Softmax(a.of.clone()))
        }
        _ => None,
    }
}

fn finish<'a>(importer: &mut Importer<'a>, node: Node<'a>, end: End) -> Result<bool, Problem> {
    let value = match end {
        End::Softmax(value) => {
            importer.activation = Activation::Softmax;
            value
        }
        End::Normalized(value) => {
            importer.tail.normalized = true;
            value
        }
    };
    importer.bind(node, Value { finished: true, ..value })?;
    Ok(true)
}

/// `x` divided by its length, as a single operator.
fn lp_normalization<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<bool, Problem> {
    node.only(&["axis", "p"])?;
    let x = importer.value(node, 0)?;
    let rank = x.dims.len() as i64;
    let axis = node.int("axis", -1)?;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(usize::MAX);
    let over = x.dims.get(axis).is_some_and(|d| d[..] == [Axis::C]);
    if importer.shape(&x).pixels() != 1 || !over || node.int("p", 2)? != 2 {
        return Err("it is supported with p=2 over one vector, as the network's last function".into());
    }
    finish(importer, node, End::Normalized(x))
}
