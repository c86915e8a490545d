//! Normalizations of constants, mostly by their own mean and variance. Weights are standardized in this way.

use std::sync::Arc;

use super::tensor::Tensor;
use super::{Constant, input};
use crate::import::moves::dimension;
use crate::import::node::{Node, Problem};

/// Runs a normalization; returns `None` if the node is something else.
pub fn run(node: Node<'_>, inputs: &[Option<&Constant>]) -> Option<Result<Constant, Problem>> {
    Some(match node.proto.op_type.as_str() {
        "BatchNormalization" => batch(node, inputs),
        "InstanceNormalization" => instance(node, inputs),
        "LayerNormalization" => layer(node, inputs),
        _ => return None,
    })
}

/// Gives the numbers of each group mean 0 and variance 1, then the gain and the offset of their place.
fn normalized(
    x: &Constant,
    epsilon: f64,
    groups: usize,
    group: impl Fn(usize) -> usize,
    gain: impl Fn(usize) -> f64,
    offset: impl Fn(usize) -> f64,
) -> Result<Constant, Problem> {
    let values = x.doubles();
    let mut moments = vec![(0.0f64, 0.0f64, 0.0f64); groups];
    for (i, v) in values.iter().enumerate() {
        let (count, sum, _) = &mut moments[group(i)];
        *count += 1.0;
        *sum += v;
    }
    for (i, v) in values.iter().enumerate() {
        let (count, sum, squares) = &mut moments[group(i)];
        *squares += (v - *sum / *count).powi(2);
    }
    let result = values.iter().enumerate().map(|(i, v)| {
        let (count, sum, squares) = moments[group(i)];
        (v - sum / count) / (squares / count + epsilon).sqrt() * gain(i) + offset(i)
    });
    Tensor::of_numbers(x.kind(), x.shape(), result).map(Arc::new)
}

/// Returns scale and offset, one of each per channel, and how many numbers of one channel follow one another.
fn per_channel(x: &Constant, inputs: &[Option<&Constant>]) -> Result<(Vec<f64>, Vec<f64>, usize), Problem> {
    let (scale, offset) = (input(inputs, 1)?.doubles(), input(inputs, 2)?.doubles());
    let channels = x.shape().get(1).copied().unwrap_or(1);
    if scale.len() != channels || offset.len() != channels || x.len() == 0 {
        return Err(format!(
            "scale and shift of {} and {} for {channels} channels",
            scale.len(),
            offset.len()
        ));
    }
    Ok((scale.into_owned(), offset.into_owned(), x.shape().iter().skip(2).product()))
}

fn batch(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    let x = input(inputs, 0)?;
    let (scale, offset, behind) = per_channel(x, inputs)?;
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let channel = |i: usize| i / behind % scale.len();
    if node.int("training_mode", 0)? != 0 {
        return normalized(x, epsilon, scale.len(), channel, |i| scale[channel(i)], |i| offset[channel(i)]);
    }
    let (mean, variance) = (input(inputs, 3)?.doubles(), input(inputs, 4)?.doubles());
    if mean.len() != scale.len() || variance.len() != scale.len() {
        return Err(format!("{} means and {} variances", mean.len(), variance.len()));
    }
    let value = |(i, v): (usize, &f64)| {
        let c = channel(i);
        (v - mean[c]) / (variance[c] + epsilon).sqrt() * scale[c] + offset[c]
    };
    Tensor::of_numbers(x.kind(), x.shape(), x.doubles().iter().enumerate().map(value)).map(Arc::new)
}

fn instance(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["epsilon"])?;
    let x = input(inputs, 0)?;
    let (scale, offset, behind) = per_channel(x, inputs)?;
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let channel = |i: usize| i / behind % scale.len();
    let groups = x.len() / behind;
    normalized(x, epsilon, groups, |i| i / behind, |i| scale[channel(i)], |i| offset[channel(i)])
}

fn layer(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["axis", "epsilon", "stash_type"])?;
    let x = input(inputs, 0)?;
    let axis = dimension(node.int("axis", -1)?, x.rank())?;
    let length: usize = x.shape()[axis..].iter().product();
    let scale = input(inputs, 1)?.doubles();
    let offset = inputs.get(2).copied().flatten().map(|c| c.doubles());
    let fits = |n: usize| n == length;
    if !fits(scale.len()) || !offset.as_ref().is_none_or(|o| fits(o.len())) || x.len() == 0 {
        return Err(format!("a scale of {} for {length} numbers", scale.len()));
    }
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let shift = |i: usize| offset.as_ref().map_or(0.0, |o| o[i % length]);
    normalized(x, epsilon, x.len() / length, |i| i / length, |i| scale[i % length], shift)
}
