//! Operators that create constants, or that only need their dimensions.

use std::path::Path;
use std::sync::Arc;

use super::tensor::{Kind, Tensor};
use super::{Constant, input, read};
use crate::import::node::{Node, Problem};

/// Runs such an operator; returns `None` if the node is something else.
pub fn run(node: Node<'_>, inputs: &[Option<&Constant>]) -> Option<Result<Constant, Problem>> {
    let result = match node.proto.op_type.as_str() {
        "Constant" => constant(node),
        "ConstantOfShape" => constant_of_shape(node, inputs),
        "Range" => range(inputs),
        "Shape" => input(inputs, 0).and_then(|x| dimensions(node, x.shape())),
        "Size" => input(inputs, 0).and_then(|x| Tensor::of_integers(Kind::I64, &[], vec![x.len() as i64])),
        "EyeLike" => eye_like(node, inputs),
        _ => return None,
    };
    Some(result.map(Arc::new))
}

fn constant(node: Node<'_>) -> Result<Tensor, Problem> {
    let [attribute] = &node.proto.attribute[..] else {
        return Err(format!("it has {} attributes; one value is supported", node.proto.attribute.len()));
    };
    match attribute.name.as_str() {
        "value" => Ok(value(node)?.ok_or("its value is no tensor")?.as_ref().clone()),
        "value_float" => Tensor::of_floats(&[], vec![attribute.f]),
        "value_floats" => Tensor::of_floats(&[attribute.floats.len()], attribute.floats.clone()),
        "value_int" => Tensor::of_integers(Kind::I64, &[], vec![attribute.i]),
        "value_ints" => Tensor::of_integers(Kind::I64, &[attribute.ints.len()], attribute.ints.clone()),
        other => Err(format!("attribute {other} is not supported")),
    }
}

/// Returns the tensor in the attribute `value`. Its numbers are in the file itself.
fn value(node: Node<'_>) -> Result<Option<Constant>, Problem> {
    let attribute = node.proto.attribute.iter().find(|a| a.name == "value");
    let tensor = attribute.and_then(|a| a.t.as_ref());
    tensor.map(|t| read(t, Path::new("")).map_err(|e| e.to_string())).transpose()
}

fn constant_of_shape(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Tensor, Problem> {
    node.only(&["value"])?;
    let dims = sizes(input(inputs, 0)?)?;
    let volume = dims.iter().product();
    match value(node)? {
        None => Tensor::of_floats(&dims, vec![0.0; volume]),
        Some(one) if one.len() == 1 && !one.kind().is_float() => {
            Tensor::of_integers(one.kind(), &dims, vec![one.integers()[0]; volume])
        }
        Some(one) if one.len() == 1 => {
            Tensor::of_numbers(one.kind(), &dims, std::iter::repeat_n(one.doubles()[0], volume))
        }
        Some(other) => Err(format!("its value has {} numbers; one is supported", other.len())),
    }
}

fn sizes(constant: &Constant) -> Result<Vec<usize>, Problem> {
    let sizes = constant.integers();
    let sizes: Option<Vec<usize>> = sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
    sizes.ok_or_else(|| "a dimension is negative".into())
}

/// Counts from a start to before a limit.
fn range(inputs: &[Option<&Constant>]) -> Result<Tensor, Problem> {
    let one = |i: usize| -> Result<f64, Problem> {
        input(inputs, i)?.doubles().first().copied().ok_or_else(|| format!("input {i} is empty"))
    };
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    let count = ((limit - start) / delta).ceil();
    if !count.is_finite() {
        return Err("its step is 0".into());
    }
    let count = count.max(0.0) as usize;
    let values = (0..count).map(|i| start + i as f64 * delta);
    Tensor::of_numbers(input(inputs, 0)?.kind(), &[count], values)
}

/// Returns what `Shape` gives of an array with these dimensions: those from `start` to before `end`.
pub fn dimensions(node: Node<'_>, dims: &[usize]) -> Result<Tensor, Problem> {
    node.only(&["end", "start"])?;
    let rank = dims.len() as i64;
    let bound = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
    let (start, end) = (bound(node.int("start", 0)?), bound(node.int("end", rank)?));
    let dims: Vec<i64> = dims[start..end.max(start)].iter().map(|&n| n as i64).collect();
    Tensor::of_integers(Kind::I64, &[dims.len()], dims)
}

/// Creates ones on a diagonal, zeros elsewhere.
fn eye_like(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Tensor, Problem> {
    node.only(&["k"])?;
    let x = input(inputs, 0)?;
    let &[rows, columns] = x.shape() else { return Err(format!("dimensions {:?} are no matrix", x.shape())) };
    let k = node.int("k", 0)?;
    let one = |i: usize| i as i64 / columns as i64 + k == i as i64 % columns as i64;
    let values = (0..rows * columns).map(|i| f64::from(u8::from(one(i))));
    Tensor::of_numbers(x.kind(), &[rows, columns], values)
}
