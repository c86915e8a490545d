//! Operators on constants that combine the numbers along a dimension but keep all of them.

use std::sync::Arc;

use super::Constant;
use super::tensor::Tensor;
use crate::import::moves::dimension;
use crate::import::node::{Node, Problem};

/// Runs such an operator; returns `None` if the node is something else.
pub fn run(node: Node<'_>, inputs: &[Option<&Constant>]) -> Option<Result<Constant, Problem>> {
    Some(match node.proto.op_type.as_str() {
        "Softmax" => softmax(node, inputs, false),
        "LogSoftmax" => softmax(node, inputs, true),
        "CumSum" => cumulative_sum(node, inputs),
        "LpNormalization" => length_one(node, inputs),
        _ => return None,
    })
}

fn first<'c>(inputs: &[Option<&'c Constant>]) -> Result<&'c Constant, Problem> {
    inputs.first().copied().flatten().ok_or_else(|| "it has no input".into())
}

/// Replaces the numbers along dimensions `axis..end`, line by line.
fn lines(x: &Constant, axis: usize, end: usize, change: impl Fn(&mut [f64])) -> Result<Constant, Problem> {
    let mut values = x.doubles().into_owned();
    let behind: usize = x.shape()[end..].iter().product();
    let length: usize = x.shape()[axis..end].iter().product();
    for block in values.chunks_exact_mut((length * behind).max(1)) {
        for i in 0..behind {
            let mut line: Vec<f64> = block[i..].iter().step_by(behind).copied().collect();
            change(&mut line);
            block[i..].iter_mut().step_by(behind).zip(line).for_each(|(to, v)| *to = v);
        }
    }
    Tensor::of_numbers(x.kind(), x.shape(), values).map(Arc::new)
}

fn softmax(node: Node<'_>, inputs: &[Option<&Constant>], logarithm: bool) -> Result<Constant, Problem> {
    node.only(&["axis"])?;
    let x = first(inputs)?;
    // Before opset 13, all dimensions from the axis on are one.
    let flat = node.opset < 13;
    let axis = dimension(node.int("axis", if flat { 1 } else { -1 })?, x.rank())?;
    lines(x, axis, if flat { x.rank() } else { axis + 1 }, |line| {
        let most = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = line.iter().map(|v| libm::exp(v - most)).sum();
        let log = libm::log(sum);
        line.iter_mut()
            .for_each(|v| *v = if logarithm { *v - most - log } else { libm::exp(*v - most) / sum });
    })
}

fn cumulative_sum(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["exclusive", "reverse"])?;
    let x = first(inputs)?;
    let axis = inputs.get(1).copied().flatten().ok_or("input 1 is missing")?;
    let axis = dimension(axis.integers().first().copied().ok_or("input 1 is empty")?, x.rank())?;
    let (exclusive, reverse) = (node.int("exclusive", 0)? != 0, node.int("reverse", 0)? != 0);
    lines(x, axis, axis + 1, |line| {
        if reverse {
            line.reverse();
        }
        let mut sum = 0.0;
        for v in line.iter_mut() {
            let before = sum;
            sum += *v;
            *v = if exclusive { before } else { sum };
        }
        if reverse {
            line.reverse();
        }
    })
}

/// Divides by the sum of magnitudes (`p` = 1) or by the length (`p` = 2).
fn length_one(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["axis", "p"])?;
    let x = first(inputs)?;
    let axis = dimension(node.int("axis", -1)?, x.rank())?;
    let p = node.int("p", 2)?;
    if p != 1 && p != 2 {
        return Err(format!("its p is {p}; 1 and 2 are supported"));
    }
    lines(x, axis, axis + 1, |line| {
        let length = match p {
            1 => line.iter().map(|v| v.abs()).sum::<f64>(),
            _ => line.iter().map(|v| v * v).sum::<f64>().sqrt(),
        };
        // A line of zeros stays one.
        line.iter_mut().for_each(|v| *v /= if length == 0.0 { 1.0 } else { length });
    })
}
