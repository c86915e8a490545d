//! QuantizeLinear and DequantizeLinear of constants.

use std::sync::Arc;

use tract_onnx::prelude::{Datum, DatumType, Tensor};

use super::{Constant, floats};
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
        let scales = floats(input(inputs, 1)?)?;
        let zeros = match inputs.get(2).copied().flatten() {
            Some(zeros) => floats(zeros)?,
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

fn input<'i>(inputs: &[Option<&'i Constant>], i: usize) -> Result<&'i Constant, Problem> {
    inputs.get(i).copied().flatten().ok_or_else(|| format!("input {i} is missing"))
}

/// Computes `(q − zero)·scale`.
pub fn dequantize(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["axis", "block_size", "output_dtype"])?;
    let grid = Grid::new(node, inputs)?;
    let x = input(inputs, 0)?;
    let real = floats(x)?.into_iter().enumerate().map(|(i, q)| {
        let (scale, zero) = grid.of(i);
        (q - zero) * scale
    });
    let real: Vec<f32> = real.collect();
    Tensor::from_shape(x.shape(), &real).map(Arc::new).map_err(|e| e.to_string())
}

/// Computes `clamp(round(x/scale) + zero)`, in the zero point's type; uint8 without one.
pub fn quantize(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["axis", "block_size", "output_dtype", "precision", "saturate"])?;
    let grid = Grid::new(node, inputs)?;
    let x = input(inputs, 0)?;
    let stated = match node.int("output_dtype", 0)? {
        0 => None,
        2 => Some(DatumType::U8),
        3 => Some(DatumType::I8),
        4 => Some(DatumType::U16),
        5 => Some(DatumType::I16),
        other => return Err(format!("output_dtype {other} is not supported")),
    };
    let zero = inputs.get(2).copied().flatten().map(|z| z.datum_type());
    let datum = zero.or(stated).unwrap_or(DatumType::U8);
    let levels = |lo: f32, hi: f32| -> Result<Vec<f32>, Problem> {
        let levels = floats(x)?.into_iter().enumerate().map(|(i, v)| {
            let (scale, zero) = grid.of(i);
            ((v / scale).round_ties_even() + zero).clamp(lo, hi)
        });
        Ok(levels.collect())
    };
    match datum {
        DatumType::U8 => integers::<u8>(x, levels(0.0, 255.0)?),
        DatumType::I8 => integers::<i8>(x, levels(-128.0, 127.0)?),
        DatumType::U16 => integers::<u16>(x, levels(0.0, 65535.0)?),
        DatumType::I16 => integers::<i16>(x, levels(-32768.0, 32767.0)?),
        other => Err(format!("quantization to {other:?} is not supported")),
    }
}

fn integers<T: Datum + Copy>(like: &Constant, levels: Vec<f32>) -> Result<Constant, Problem> {
    let tensor = tract_onnx::prelude::tensor1(&levels);
    let tensor = tensor.cast_to::<T>().and_then(|t| t.into_owned().into_shape(like.shape()));
    tensor.map(Arc::new).map_err(|e| e.to_string())
}
