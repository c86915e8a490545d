//! MatMul and Gemm with constant weights: convolutions whose kernel covers the input.

use foldnet_kernels::{MAX_KERNEL, Shape};

use super::super::Importer;
use super::super::node::{Node, Problem};
use super::super::value::{Axis, Value};
use crate::graph::{Conv, Op, Window};

/// `y = x·W`.
pub fn matmul<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    if node.input(0).is_some_and(|name| importer.constants.contains_key(name)) {
        return from_left(importer, node);
    }
    let (dims, values) = importer.weights(node, 1)?;
    let [depth, outputs] = match dims[..] {
        [depth, outputs] => [depth, outputs],
        // A batch of one matrix product.
        [ref lead @ .., depth, outputs] if lead.iter().all(|d| *d == 1) => [depth, outputs],
        _ => return Err(format!("weights of dimensions {dims:?}; two are supported")),
    };
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let last = x.dims.last().cloned().unwrap_or_default();
    let pixels = !last.is_empty() && !last.contains(&Axis::C) && shape.c > 1;
    if pixels && outputs == 1 && depth == shape.pixels() {
        return weighted_pixels(importer, node, &x, &values);
    }
    let matrix = Matrix { values, depth, outputs, transposed: false };
    dense(importer, node, &matrix, vec![0.0; outputs])
}

/// `y = W·x` for a column `x`.
fn from_left<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let (dims, values) = importer.weights(node, 0)?;
    let x = importer.value(node, 1)?;
    let ([outputs, depth], [lead @ .., column, one]) = (
        <[usize; 2]>::try_from(&dims[..]).map_err(|_| format!("weights of dimensions {dims:?}"))?,
        &x.dims[..],
    ) else {
        return Err("a product with a vector from the left is not supported".into());
    };
    if !one.is_empty() || !lead.iter().all(Vec::is_empty) {
        let sizes = x.sizes(importer.shape(&x));
        return Err(format!("{dims:?} weights times {sizes:?}: a column is supported on the right"));
    }
    let row = Value { dims: [lead, &[one.clone(), column.clone()]].concat(), ..x.clone() };
    let bias = vec![0.0; outputs];
    of_value(importer, node, &row, &Matrix { values, depth, outputs, transposed: true }, bias)?;
    let output = node.proto.output.first().ok_or("it has no output")?;
    if let Some(value) = importer.values.get_mut(output.as_str()) {
        let rank = value.dims.len();
        value.dims.swap(rank - 2, rank - 1);
    }
    Ok(())
}

/// `Σ x·w` over the pixels of each channel, with the same weights for all.
fn weighted_pixels<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    x: &Value,
    weights: &[f32],
) -> Result<(), Problem> {
    let shape = importer.shape(x);
    let Shape { h, w, c } = shape;
    let mut dims = x.dims.clone();
    if let Some(last) = dims.last_mut() {
        last.clear();
    }
    let like = Value { dims, ..x.clone() };
    let window = Window { kernel: [h, w], stride: [1, 1], pad: [0; 4] };
    if weights.iter().all(|v| *v == weights[0]) {
        let mean = importer.push(node.name(), Op::GlobalAvgPool, vec![x.node], Shape::new(1, 1, c));
        let gain = vec![weights[0] * shape.pixels() as f32; c];
        let op = Op::Affine { gain, offset: vec![0.0; c] };
        return importer.define(node, op, vec![mean], Shape::new(1, 1, c), &like);
    }
    if h.max(w) > MAX_KERNEL || x.dims.last().is_some_and(|d| d.first() == Some(&Axis::W) && h > 1) {
        return Err(format!("a weighted sum of {h}×{w} pixels is not supported"));
    }
    let weights = weights.iter().copied().cycle().take(c * h * w).collect();
    let id = importer.convolved(node.name(), x.node, weights, vec![0.0; c], window, [1, 1], c)?;
    importer.bind(node, Value { node: id, ..like })
}

/// `y = α·x·W + β·b`.
pub fn gemm<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha", "beta", "transA", "transB"])?;
    let mut x = importer.value(node, 0)?;
    if node.int("transA", 0)? != 0 {
        x = x.transposed(&[1, 0]).ok_or("its input has more dimensions than two")?;
    }
    let transposed = node.int("transB", 0)? != 0;
    let (dims, mut values) = importer.weights(node, 1)?;
    let [depth, outputs] = match dims[..] {
        [n, k] if transposed => [k, n],
        [k, n] => [k, n],
        _ => return Err(format!("weights of dimensions {dims:?}; two are supported")),
    };
    let (alpha, beta) = (node.float("alpha", 1.0)?, node.float("beta", 1.0)?);
    values.iter_mut().for_each(|w| *w *= alpha);
    let bias = match node.input(2) {
        None => vec![0.0; outputs],
        Some(_) => {
            let (dims, bias) = importer.weights(node, 2)?;
            let bias = if bias.len() == 1 { vec![bias[0]; outputs] } else { bias };
            if bias.len() != outputs
                || dims.last() == Some(&1) && outputs > 1 && dims.len() > 1 && dims[0] > 1
            {
                return Err(format!("a bias of dimensions {dims:?} for {outputs} outputs"));
            }
            bias.iter().map(|b| b * beta).collect()
        }
    };
    of_value(importer, node, &x, &Matrix { values, depth, outputs, transposed }, bias)
}

/// The weights of a dense layer.
pub struct Matrix {
    /// The values.
    pub values: Vec<f32>,
    /// The number of inputs.
    pub depth: usize,
    /// The number of outputs.
    pub outputs: usize,
    /// Whether the order is output by output rather than input by input.
    pub transposed: bool,
}

impl Matrix {
    fn at(&self, input: usize, output: usize) -> f32 {
        match self.transposed {
            true => self.values[output * self.depth + input],
            false => self.values[input * self.outputs + output],
        }
    }
}

/// `y = x·W + b` for the value at input 0.
pub fn dense<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    matrix: &Matrix,
    bias: Vec<f32>,
) -> Result<(), Problem> {
    let x = importer.value(node, 0)?;
    of_value(importer, node, &x, matrix, bias)
}

/// `y = x·W + b`.
pub fn of_value<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    x: &Value,
    matrix: &Matrix,
    bias: Vec<f32>,
) -> Result<(), Problem> {
    let shape = importer.shape(x);
    let sizes = x.sizes(shape);
    if sizes.last() != Some(&matrix.depth) || matrix.outputs == 0 {
        return Err(format!("an input of {sizes:?} and {}×{} weights", matrix.depth, matrix.outputs));
    }
    let last = x.dims.last().cloned().unwrap_or_default();
    // Over channels alone it is a 1×1 convolution; over everything, the kernel covers the input.
    let pixelwise = last.iter().all(|a| *a == Axis::C);
    let (kernel, out) = match pixelwise {
        true => (Shape::new(1, 1, shape.c), Shape::new(shape.h, shape.w, matrix.outputs)),
        false => (shape, Shape::new(1, 1, matrix.outputs)),
    };
    if kernel.len() != matrix.depth {
        return Err(format!("weights over part of an image of {shape} are not supported"));
    }
    if kernel.h.max(kernel.w) > MAX_KERNEL {
        return Err(format!(
            "a dense layer on {}×{} pixels; up to {MAX_KERNEL}×{MAX_KERNEL} are supported: pool before it",
            kernel.h, kernel.w
        ));
    }
    // The distance in the matrix's rows of one step along each axis.
    let (mut stride, mut step) = ([0; 3], 1);
    for axis in last.iter().rev() {
        let (place, size) = match axis {
            Axis::H => (0, kernel.h),
            Axis::W => (1, kernel.w),
            Axis::C => (2, kernel.c),
        };
        stride[place] = step;
        step *= size;
    }
    let mut weights = Vec::with_capacity(matrix.values.len());
    for output in 0..matrix.outputs {
        for row in 0..kernel.h {
            for column in 0..kernel.w {
                weights.extend(
                    (0..kernel.c)
                        .map(|c| matrix.at(row * stride[0] + column * stride[1] + c * stride[2], output)),
                );
            }
        }
    }
    let op = Op::Conv(Conv {
        weights,
        bias,
        window: Window { kernel: [kernel.h, kernel.w], stride: [1, 1], pad: [0; 4] },
        dilation: [1, 1],
        groups: 1,
        pad_value: vec![0.0; shape.c],
    });
    let mut dims = x.dims.clone();
    if let Some(last) = dims.last_mut() {
        *last = vec![Axis::C];
    }
    importer.define(node, op, vec![x.node], out, &Value { dims, ..x.clone() })
}
