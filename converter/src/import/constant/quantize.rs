//! QuantizeLinear and DequantizeLinear of constants.

use std::sync::Arc;

use super::tensor::{Kind, Tensor};
use super::{Constant, input};
use crate::import::node::{Node, Problem};

/// The scale and zero point of each number.
struct Grid {
    scales: Vec<f32>,
    zeros: Vec<f32>,
    /// The number of consecutive numbers that share an index along the axis.
    behind: usize,
}

impl Grid {
    fn new(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Self, Problem> {
        if node.int("block_size", 0)? != 0 {
            return Err("scales per block (block_size) are not supported".into());
        }
        let x = input(inputs, 0)?;
        let scales = input(inputs, 1)?.floats().into_owned();
        let zeros = match inputs.get(2).copied().flatten() {
            Some(zeros) => zeros.floats().into_owned(),
            None => vec![0.0; scales.len()],
        };
        if scales.len() != zeros.len() || scales.is_empty() {
            return Err(format!("{} scales and {} zero points", scales.len(), zeros.len()));
        }
        let rank = x.rank();
        let axis = node.int("axis", 1)?;
        let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).unwrap_or(usize::MAX);
        let side = x.shape().get(axis).copied();
        if scales.len() > 1 && side != Some(scales.len()) {
            return Err(format!(
                "{} scales or zero points for a dimension of {}",
                scales.len(),
                side.unwrap_or(1)
            ));
        }
        let behind = x.shape().iter().skip(axis.saturating_add(1)).product();
        Ok(Self { scales, zeros, behind })
    }

    fn of(&self, number: usize) -> (f32, f32) {
        let i = number / self.behind.max(1) % self.scales.len();
        (self.scales[i], self.zeros[i])
    }
}

/// Computes `(q − zero)·scale`.
pub fn dequantize(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["axis", "block_size", "output_dtype"])?;
    let grid = Grid::new(node, inputs)?;
    let x = input(inputs, 0)?;
    let real = |(i, &q): (usize, &f32)| {
        let (scale, zero) = grid.of(i);
        (q - zero) * scale
    };
    Tensor::of_floats(x.shape(), x.floats().iter().enumerate().map(real).collect()).map(Arc::new)
}

/// Computes `clamp(round(x/scale) + zero)`, in the zero point's type; uint8 without one.
pub fn quantize(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["axis", "block_size", "output_dtype", "precision", "saturate"])?;
    let grid = Grid::new(node, inputs)?;
    let x = input(inputs, 0)?;
    let stated = match node.int("output_dtype", 0)? {
        0 => None,
        2 => Some(Kind::U8),
        3 => Some(Kind::I8),
        4 => Some(Kind::U16),
        5 => Some(Kind::I16),
        other => return Err(format!("output_dtype {other} is not supported")),
    };
    let zero = inputs.get(2).copied().flatten().map(|z| z.kind());
    let kind = zero.or(stated).unwrap_or(Kind::U8);
    let (lo, hi) = match kind {
        Kind::U8 => (0.0, 255.0),
        Kind::I8 => (-128.0, 127.0),
        Kind::U16 => (0.0, 65535.0),
        Kind::I16 => (-32768.0, 32767.0),
        other => return Err(format!("quantization to {other:?} is not supported")),
    };
    let level = |(i, &v): (usize, &f32)| {
        let (scale, zero) = grid.of(i);
        f64::from(((v / scale).round_ties_even() + zero).clamp(lo, hi))
    };
    Tensor::of_numbers(kind, x.shape(), x.floats().iter().enumerate().map(level)).map(Arc::new)
}
