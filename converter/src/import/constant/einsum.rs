//! Sums of products of constants, as Einstein's notation describes them.

use std::sync::Arc;

use foldnet_kernels::MAX_VOLUME;

use super::Constant;
use super::tensor::Tensor;
use crate::import::node::{Node, Problem};
use crate::import::operators::Equation;

/// Runs `Einsum`: a letter names a dimension, and letters that the result does not have are summed over.
pub fn einsum(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["equation"])?;
    let text = node.word("equation", "")?;
    let equation = Equation::parse(&text);
    let Equation { operands, output } =
        equation.ok_or_else(|| format!("its equation {text} is not of the form ab,bc->ac"))?;
    let given: Vec<&Constant> = inputs.iter().flatten().copied().collect();
    if given.len() != 2 {
        return Err(format!("it has {} inputs; 2 are supported", given.len()));
    }
    // The result's letters come first, so that the sums of one result follow one another.
    let mut letters = output.clone();
    for &letter in operands.iter().flatten() {
        if !letters.contains(&letter) {
            letters.push(letter);
        }
    }
    let mut sides: Vec<Option<usize>> = vec![None; letters.len()];
    for (names, tensor) in operands.iter().zip(&given) {
        if names.len() != tensor.rank() {
            return Err(format!("its equation {text} does not fit dimensions {:?}", tensor.shape()));
        }
        for (name, &side) in names.iter().zip(tensor.shape()) {
            let known = &mut sides[letters.iter().position(|l| l == name).unwrap_or(0)];
            if known.is_some_and(|known| known != side) {
                return Err(format!("the dimensions named {name} differ"));
            }
            *known = Some(side);
        }
    }
    let sides: Vec<usize> =
        sides.into_iter().collect::<Option<_>>().ok_or("a letter of the result is unknown")?;
    let products = sides.iter().try_fold(1usize, |n, &s| n.checked_mul(s)).filter(|&n| n <= MAX_VOLUME);
    let products = products.ok_or_else(|| format!("{sides:?} products are too many"))?;
    let numbers: Vec<_> = given.iter().map(|t| t.doubles()).collect();
    let places: Vec<Vec<usize>> =
        operands.iter().zip(&given).map(|(names, t)| strides(&letters, names, t)).collect();
    let dims = &sides[..output.len()];
    let mut sums = vec![0.0; dims.iter().product()];
    let per_sum = products.checked_div(sums.len()).unwrap_or(0);
    for product in 0..products {
        let mut at = vec![0; given.len()];
        let mut rest = product;
        for (letter, &side) in sides.iter().enumerate().rev() {
            at.iter_mut().zip(&places).for_each(|(at, strides)| *at += rest % side * strides[letter]);
            rest /= side;
        }
        sums[product / per_sum] += at.iter().zip(&numbers).map(|(&at, numbers)| numbers[at]).product::<f64>();
    }
    Tensor::of_numbers(given[0].kind(), dims, sums).map(Arc::new)
}

/// Returns how far apart a tensor's numbers are along each letter.
fn strides(letters: &[char], names: &[char], tensor: &Constant) -> Vec<usize> {
    let mut strides = vec![0; letters.len()];
    let mut stride = 1;
    for (name, &side) in names.iter().zip(tensor.shape()).rev() {
        if let Some(letter) = letters.iter().position(|l| l == name) {
            strides[letter] += stride;
        }
        stride *= side;
    }
    strides
}
