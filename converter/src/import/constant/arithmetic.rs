//! Elementwise operators on constants, with broadcasting.
//!
//! Everything is computed in f64 and then rounded to the result's type. For the basic operations on f32 that is the
//! correctly rounded result, and integers up to 2⁵³ are exact.

use std::borrow::Cow;
use std::sync::Arc;

use super::Constant;
use super::tensor::{Kind, Tensor};
use super::walk::Walk;
use crate::curve::Operator;
use crate::import::moves::broadcast;
use crate::import::node::{Node, Problem};
use crate::onnx::tensor_proto::DataType;

/// Runs an elementwise operator; returns `None` if the node is something else.
pub fn run(node: Node<'_>, inputs: &[Option<&Constant>]) -> Option<Result<Constant, Problem>> {
    let op = node.proto.op_type.as_str();
    let given: Vec<&Constant> = inputs.iter().flatten().copied().collect();
    Some(match op {
        "Identity" => first(&given).cloned(),
        "Cast" => cast(node, &given),
        "CastLike" => first(&given).and_then(|x| {
            let like = given.get(1).ok_or("input 1 is missing")?;
            Ok(Arc::new(x.cast(like.kind())))
        }),
        "Clip" => clip(node, inputs),
        "Max" | "Min" if given.len() != 2 => folded(&given, Operator::named(op)?, 1.0),
        "Sum" => folded(&given, Operator::named("Add")?, 1.0),
        "Mean" => folded(&given, Operator::named("Add")?, given.len() as f64),
        "Mod" => modulo(node, &given),
        "Relu" => first(&given).and_then(|x| with(x.kind(), &[x], |[x, ..]| if x < 0.0 { 0.0 } else { x })),
        "IsNaN" => {
            first(&given).and_then(|x| with(Kind::Bool, &[x], |[x, ..]| f64::from(u8::from(x.is_nan()))))
        }
        _ => {
            let operator = Operator::named(op)?;
            operation(op, operator, &given)
        }
    })
}

fn first<'c>(given: &[&'c Constant]) -> Result<&'c Constant, Problem> {
    given.first().copied().ok_or_else(|| "it has no input".into())
}

fn operation(op: &str, operator: Operator, given: &[&Constant]) -> Result<Constant, Problem> {
    if given.len() != operator.arity() {
        return Err(format!("it has {} inputs; {} are supported", given.len(), operator.arity()));
    }
    let kind = match op {
        "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "Or" | "Xor" => {
            Kind::Bool
        }
        _ => given[0].kind(),
    };
    if op == "Div" && !kind.is_float() && given[1].integers().contains(&0) {
        return Err("it divides by zero".into());
    }
    with(kind, given, |operands| operator.value(operands))
}

/// Combines any number of inputs one after the other and divides the result.
fn folded(given: &[&Constant], operator: Operator, divisor: f64) -> Result<Constant, Problem> {
    let mut result = first(given)?.clone();
    let kind = result.kind();
    for next in &given[1..] {
        result = with(kind, &[&result, next], |operands| operator.value(operands))?;
    }
    with(kind, &[&result], |[x, ..]| x / divisor)
}

/// Limits values to two bounds: inputs, or attributes before opset 11.
fn clip(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    let x = inputs.first().copied().flatten().ok_or("it has no input")?;
    let bound = |input: usize, attribute: &str, open: f64| -> Result<f64, Problem> {
        match inputs.get(input).copied().flatten() {
            Some(bound) => bound.doubles().first().copied().ok_or_else(|| format!("input {input} is empty")),
            None => Ok(f64::from(node.float(attribute, open as f32)?)),
        }
    };
    let (lo, hi) = (bound(1, "min", f64::NEG_INFINITY)?, bound(2, "max", f64::INFINITY)?);
    let above = |x: f64| if x < lo { lo } else { x };
    with(x.kind(), &[x], |[x, ..]| if above(x) > hi { hi } else { above(x) })
}

/// Computes the remainder: with the divisor's sign, or with `fmod` with the dividend's.
fn modulo(node: Node<'_>, given: &[&Constant]) -> Result<Constant, Problem> {
    let [a, b] = given else { return Err(format!("it has {} inputs; 2 are supported", given.len())) };
    let truncated = node.int("fmod", 0)? != 0;
    if !a.kind().is_float() && b.integers().contains(&0) {
        return Err("it divides by zero".into());
    }
    with(a.kind(), given, |[a, b, _]| if truncated { a % b } else { a - b * (a / b).floor() })
}

fn cast(node: Node<'_>, given: &[&Constant]) -> Result<Constant, Problem> {
    let to = node.int("to", 0)?;
    let kind = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok()).and_then(Kind::of);
    let kind = kind.ok_or_else(|| format!("it casts to type number {to}, which is not supported"))?;
    Ok(Arc::new(first(given)?.cast(kind)))
}

/// Computes a function of up to three inputs, which are broadcast to one another.
fn with(kind: Kind, inputs: &[&Constant], value: impl Fn([f64; 3]) -> f64) -> Result<Constant, Problem> {
    let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape()).collect();
    let dims = broadcast(&shapes)?;
    let numbers: Vec<Cow<'_, [f64]>> = inputs.iter().map(|t| t.doubles()).collect();
    let volume = dims.iter().product();
    let mut walk = Walk::new(&shapes, &dims);
    let results = (0..volume).map(|_| {
        let mut operands = [0.0; 3];
        for (operand, (numbers, &at)) in operands.iter_mut().zip(numbers.iter().zip(walk.places())) {
            *operand = numbers[at];
        }
        walk.step();
        value(operands)
    });
    Tensor::of_numbers(kind, &dims, results).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn constant(dims: &[usize], values: &[f32]) -> Constant {
        Arc::new(Tensor::of_floats(dims, values.to_vec()).unwrap())
    }

    #[test]
    fn inputs_broadcast_to_one_another() {
        let column = constant(&[2, 1], &[10.0, 20.0]);
        let row = constant(&[3], &[1.0, 2.0, 3.0]);
        let sum = with(Kind::F32, &[&column, &row], |[a, b, _]| a + b).unwrap();
        assert_eq!(sum.shape(), [2, 3]);
        assert_eq!(*sum.floats(), [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
        assert!(with(Kind::F32, &[&constant(&[2], &[0.0; 2]), &row], |_| 0.0).is_err());
    }

    #[test]
    fn integers_divide_towards_zero_and_stay_integers() {
        let integer = |v: i64| Arc::new(Tensor::of_integers(Kind::I64, &[], vec![v]).unwrap());
        let divide =
            |a: i64, b: i64| operation("Div", Operator::named("Div").unwrap(), &[&integer(a), &integer(b)]);
        assert_eq!(*divide(-7, 2).unwrap().integers(), [-3]);
        assert_eq!(divide(7, 2).unwrap().kind(), Kind::I64);
        assert!(divide(7, 0).is_err());
    }

    #[test]
    fn nothing_is_computed_of_an_empty_array() {
        let empty = constant(&[0, 3], &[]);
        let row = constant(&[3], &[1.0, 2.0, 3.0]);
        assert_eq!(with(Kind::F32, &[&empty, &row], |_| 0.0).unwrap().shape(), [0, 3]);
    }
}
