//! Matrix products of constants.

use std::sync::Arc;

use super::tensor::Tensor;
use super::walk::Walk;
use super::{Constant, input};
use crate::import::moves::broadcast;
use crate::import::node::{Node, Problem};

/// Runs a matrix product; returns `None` if the node is something else.
pub fn run(node: Node<'_>, inputs: &[Option<&Constant>]) -> Option<Result<Constant, Problem>> {
    match node.proto.op_type.as_str() {
        "MatMul" => Some(matmul(inputs)),
        "Gemm" => Some(gemm(node, inputs)),
        _ => None,
    }
}

/// A matrix in an array of numbers.
#[derive(Clone, Copy)]
struct Matrix<'n> {
    numbers: &'n [f64],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl Matrix<'_> {
    fn at(&self, row: usize, column: usize) -> f64 {
        match self.transposed {
            true => self.numbers[column * self.rows + row],
            false => self.numbers[row * self.columns + column],
        }
    }

    /// Appends the product with another matrix, whose rows are as many as the columns here.
    fn times(&self, other: Matrix<'_>, to: &mut Vec<f64>) {
        for row in 0..self.rows {
            for column in 0..other.columns {
                to.push((0..self.columns).map(|k| self.at(row, k) * other.at(k, column)).sum());
            }
        }
    }
}

/// Multiplies the last two dimensions as matrices; the others are broadcast. A vector is one row or one column.
fn matmul(inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
    let (mut left, mut right) = (a.shape().to_vec(), b.shape().to_vec());
    let fit = || format!("matrices of {:?} and {:?} do not fit together", a.shape(), b.shape());
    if left.is_empty() || right.is_empty() {
        return Err(fit());
    }
    let vectors = [left.len() == 1, right.len() == 1];
    if vectors[0] {
        left.insert(0, 1);
    }
    if vectors[1] {
        right.push(1);
    }
    let (outer_left, &[rows, depth]) = left.split_last_chunk().ok_or_else(fit)?;
    let (outer_right, &[deep, columns]) = right.split_last_chunk().ok_or_else(fit)?;
    if depth != deep {
        return Err(fit());
    }
    let outer = broadcast(&[outer_left, outer_right])?;
    let (x, y) = (a.doubles(), b.doubles());
    let mut product = Vec::new();
    let mut walk = Walk::new(&[outer_left, outer_right], &outer);
    for _ in 0..outer.iter().product() {
        let (at, of) = (walk.places()[0], walk.places()[1]);
        let numbers = &x[at * rows * depth..][..rows * depth];
        let by = &y[of * depth * columns..][..depth * columns];
        Matrix { numbers, rows, columns: depth, transposed: false }
            .times(Matrix { numbers: by, rows: depth, columns, transposed: false }, &mut product);
        walk.step();
    }
    let inner = [(vectors[0], rows), (vectors[1], columns)];
    let inner = inner.into_iter().filter(|(vector, _)| !vector).map(|(_, side)| side);
    let dims: Vec<usize> = outer.into_iter().chain(inner).collect();
    Tensor::of_numbers(a.kind(), &dims, product).map(Arc::new)
}

/// Computes `alpha·A·B + beta·C`.
fn gemm(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["alpha", "beta", "transA", "transB"])?;
    let (a, b) = (input(inputs, 0)?, input(inputs, 1)?);
    let (x, y) = (a.doubles(), b.doubles());
    let matrix = |shape: &[usize], attribute: &str| -> Result<(usize, usize, bool), Problem> {
        let transposed = node.int(attribute, 0)? != 0;
        match *shape {
            [rows, columns] if transposed => Ok((columns, rows, true)),
            [rows, columns] => Ok((rows, columns, false)),
            _ => Err(format!("dimensions {shape:?} are no matrix")),
        }
    };
    let (rows, depth, left) = matrix(a.shape(), "transA")?;
    let (deep, columns, right) = matrix(b.shape(), "transB")?;
    if depth != deep {
        return Err(format!("matrices of {:?} and {:?} do not fit together", a.shape(), b.shape()));
    }
    let mut product = Vec::new();
    Matrix { numbers: &x, rows, columns: depth, transposed: left }
        .times(Matrix { numbers: &y, rows: depth, columns, transposed: right }, &mut product);
    let (alpha, beta) = (f64::from(node.float("alpha", 1.0)?), f64::from(node.float("beta", 1.0)?));
    product.iter_mut().for_each(|v| *v *= alpha);
    if let Some(c) = inputs.get(2).copied().flatten() {
        let dims = [rows, columns];
        if broadcast(&[&dims, c.shape()])? != dims {
            return Err(format!("dimensions {:?} do not broadcast to {dims:?}", c.shape()));
        }
        let added = c.doubles();
        let mut walk = Walk::new(&[c.shape()], &dims);
        for v in &mut product {
            *v += beta * added[walk.places()[0]];
            walk.step();
        }
    }
    Tensor::of_numbers(a.kind(), &[rows, columns], product).map(Arc::new)
}
