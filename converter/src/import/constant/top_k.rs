//! The largest or smallest of constants.

use std::sync::Arc;

use super::Constant;
use super::tensor::{Kind, Tensor};
use crate::import::node::{Node, Problem};

/// Returns the largest or smallest numbers along a dimension, and their indices; of equal ones the first.
pub fn run(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Vec<Constant>, Problem> {
    let x = inputs.first().copied().flatten().ok_or("it has no input")?;
    let k = match inputs.get(1).copied().flatten() {
        Some(k) => k.integers().first().copied().ok_or("it does not say how many")?,
        None => node.int("k", -1)?,
    };
    let (dims, values) = (x.shape().to_vec(), x.floats());
    let axis = node.int("axis", -1)?;
    let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).unwrap_or(usize::MAX);
    let side = *dims.get(axis).ok_or("its axis is out of range")?;
    let k = usize::try_from(k).ok().filter(|k| *k <= side).ok_or_else(|| format!("{k} of {side}"))?;
    let largest = node.int("largest", 1)? != 0;
    let behind: usize = dims[axis + 1..].iter().product();
    let mut shape = dims.clone();
    shape[axis] = k;
    let volume: usize = shape.iter().product();
    let (mut best, mut places) = (vec![0.0f32; volume], vec![0i64; volume]);
    for line in 0..values.len().checked_div(side).unwrap_or(0) {
        let first = line / behind * side * behind + line % behind;
        let mut order: Vec<usize> = (0..side).collect();
        let at = |i: usize| values[first + i * behind];
        order.sort_by(|&a, &b| if largest { at(b).total_cmp(&at(a)) } else { at(a).total_cmp(&at(b)) });
        for (n, &i) in order.iter().take(k).enumerate() {
            let to = line / behind * k * behind + line % behind + n * behind;
            (best[to], places[to]) = (at(i), i as i64);
        }
    }
    let best = Tensor::of_floats(&shape, best)?.cast(x.kind());
    Ok(vec![Arc::new(best), Arc::new(Tensor::of_integers(Kind::I64, &shape, places)?)])
}
