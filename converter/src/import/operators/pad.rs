//! Pad with zeros around rows and columns.

use foldnet_kernels::{MAX_SIDE, Shape};

use super::super::Importer;
use super::super::constant::{floats, integers};
use super::super::node::{Node, Problem};
use super::super::value::Axis;
use crate::graph::Op;

/// Zeros above, to the left, below and to the right.
pub fn pad<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["mode", "pads", "value"])?;
    let mode = node.word("mode", "constant")?;
    if mode != "constant" {
        return Err(format!("mode {mode} is not supported; zeros are"));
    }
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let given = importer.optional_constant(node, 1)?.map(integers);
    let pads = match (given, node.ints("pads")?) {
        (Some(pads), _) => pads,
        (None, Some(pads)) => pads.to_vec(),
        (None, None) => return Err("it does not say how much".into()),
    };
    let fill = importer.optional_constant(node, 2)?.map(floats);
    if fill.and_then(|v| v.first().copied()).unwrap_or(node.float("value", 0.0)?) != 0.0 {
        return Err("padding with another value than 0 is not supported".into());
    }
    let rank = x.dims.len();
    let axes: Vec<usize> = match importer.optional_constant(node, 3)?.map(integers) {
        None => (0..rank).collect(),
        Some(axes) => {
            let axis = |a: i64| usize::try_from(if a < 0 { a + rank as i64 } else { a }).ok();
            axes.into_iter().map(axis).collect::<Option<_>>().ok_or("its axes are out of range")?
        }
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} dimensions", pads.len(), axes.len()));
    }
    let mut around = [0; 4];
    for (i, &axis) in axes.iter().enumerate() {
        let (before, after) = (pads[i], pads[i + axes.len()]);
        let place = match axis {
            a if x.dim_of(Axis::H) == Some(a) => 0,
            a if x.dim_of(Axis::W) == Some(a) => 1,
            _ if before == 0 && after == 0 => continue,
            a => return Err(format!("padding dimension {a} is not supported; rows and columns are")),
        };
        let side = |n: i64| usize::try_from(n).ok().filter(|&n| n <= MAX_SIDE);
        let (Some(before), Some(after)) = (side(before), side(after)) else {
            return Err(format!("pads {pads:?}; cropping is not supported"));
        };
        (around[place], around[place + 2]) = (before, after);
    }
    let padded = Shape::new(shape.h + around[0] + around[2], shape.w + around[1] + around[3], shape.c);
    if around == [0; 4] {
        return importer.bind(node, x);
    }
    importer.define(node, Op::Pad(around), vec![x.node], padded, &x)
}
