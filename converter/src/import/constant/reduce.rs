//! Reductions of constants along dimensions.

use std::sync::Arc;

use super::Constant;
use super::tensor::Tensor;
use super::walk::Walk;
use crate::import::moves::dimension;
use crate::import::node::{Node, Problem};

/// What is computed of the numbers that become one, in f64.
type Reduction = fn(&[f64]) -> f64;

const TABLE: &[(&str, Reduction)] = &[
    ("ReduceL1", |v| v.iter().map(|v| v.abs()).sum()),
    ("ReduceL2", |v| v.iter().map(|v| v * v).sum::<f64>().sqrt()),
    ("ReduceLogSum", |v| libm::log(v.iter().sum())),
    ("ReduceLogSumExp", |v| {
        let most = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + libm::log(v.iter().map(|v| libm::exp(v - most)).sum())
    }),
    ("ReduceMax", |v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
    ("ReduceMean", |v| v.iter().sum::<f64>() / v.len() as f64),
    ("ReduceMin", |v| v.iter().copied().fold(f64::INFINITY, f64::min)),
    ("ReduceProd", |v| v.iter().product()),
    ("ReduceSum", |v| v.iter().sum()),
    ("ReduceSumSquare", |v| v.iter().map(|v| v * v).sum()),
];

/// Runs a reduction; returns `None` if the node is something else.
pub fn run(node: Node<'_>, inputs: &[Option<&Constant>]) -> Option<Result<Constant, Problem>> {
    let (_, reduction) = TABLE.iter().find(|(name, _)| *name == node.proto.op_type)?;
    Some(reduce(node, inputs, *reduction))
}

fn reduce(node: Node<'_>, inputs: &[Option<&Constant>], reduction: Reduction) -> Result<Constant, Problem> {
    node.only(&["axes", "keepdims", "noop_with_empty_axes"])?;
    let x = inputs.first().copied().flatten().ok_or("it has no input")?;
    let axes = match inputs.get(1).copied().flatten() {
        Some(axes) => axes.integers().into_owned(),
        None => node.ints("axes")?.map(<[i64]>::to_vec).unwrap_or_default(),
    };
    if axes.is_empty() && node.int("noop_with_empty_axes", 0)? != 0 {
        return Ok(x.clone());
    }
    let axes: Vec<usize> = axes.iter().map(|&a| dimension(a, x.rank())).collect::<Result<_, _>>()?;
    let gone = |d: &usize| axes.is_empty() || axes.contains(d);
    let sides: Vec<usize> =
        x.shape().iter().enumerate().map(|(d, &n)| if gone(&d) { 1 } else { n }).collect();
    let mut groups: Vec<Vec<f64>> = vec![Vec::new(); sides.iter().product()];
    // Each result is broadcast, so to speak, to the numbers that it is computed from.
    let mut walk = Walk::new(&[&sides], x.shape());
    for &v in x.doubles().iter() {
        groups[walk.places()[0]].push(v);
        walk.step();
    }
    let keep = node.int("keepdims", 1)? != 0;
    let dims: Vec<usize> = (0..x.rank()).filter(|d| keep || !gone(d)).map(|d| sides[d]).collect();
    if groups.iter().any(Vec::is_empty) {
        return Err("it reduces nothing".into());
    }
    Tensor::of_numbers(x.kind(), &dims, groups.iter().map(|v| reduction(v))).map(Arc::new)
}
