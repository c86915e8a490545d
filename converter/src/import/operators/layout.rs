//! Operators that move or rename numbers without computing: they add no nodes to the graph.

use super::super::Importer;
use super::super::constant::{Kind, Tensor, dimensions, integers};
use super::super::moves::reshaped;
use super::super::node::{Node, Problem};
use super::super::value::Value;

/// The dimensions as a constant, since all except the batch are known and the batch is 1.
pub fn shape<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let dims = importer.sizes(node, 0)?;
    let output = node.proto.output.first().ok_or("it has no output")?;
    importer.constants.insert(output, dimensions(node, &dims)?.into());
    Ok(())
}

/// The number of values as a constant, with a batch of 1.
pub fn size<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let size = importer.sizes(node, 0)?.iter().product::<usize>() as i64;
    let output = node.proto.output.first().ok_or("it has no output")?;
    importer.constants.insert(output, Tensor::of_integers(Kind::I64, &[], vec![size])?.into());
    Ok(())
}

/// Dimensions in another order.
pub fn transpose<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["perm"])?;
    let value = importer.any_value(node, 0)?;
    let order: Vec<usize> = match node.ints("perm")? {
        Some(perm) => perm.iter().map(|&p| usize::try_from(p).unwrap_or(usize::MAX)).collect(),
        None => (0..value.dims.len()).rev().collect(),
    };
    let turned = value
        .transposed(&order)
        .ok_or_else(|| format!("perm {order:?} does not reorder {} dimensions", value.dims.len()))?;
    importer.bind(node, turned)
}

fn regroup<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    value: &Value,
    target: &[usize],
) -> Result<(), Problem> {
    let shape = importer.shape(value);
    let reshaped = value.reshaped(shape, target).ok_or_else(|| {
        format!("from {:?} to {target:?}: only whole dimensions can be merged or parted", value.sizes(shape))
    })?;
    importer.bind(node, reshaped)
}

/// Other dimensions for the same numbers: 0 copies one, −1 is the remainder.
pub fn reshape<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["allowzero"])?;
    let value = importer.any_value(node, 0)?;
    let sizes = value.sizes(importer.shape(&value));
    let target = integers(importer.constant(node, 1)?);
    let target = reshaped(&sizes, &target, node.int("allowzero", 0)? != 0)?;
    regroup(importer, node, &value, &target)
}

/// Two dimensions: those before the axis, and the rest.
pub fn flatten<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axis"])?;
    let value = importer.any_value(node, 0)?;
    let sizes = value.sizes(importer.shape(&value));
    let axis = node.int("axis", 1)?;
    let axis = if axis < 0 { axis + sizes.len() as i64 } else { axis };
    let axis = usize::try_from(axis).ok().filter(|&a| a <= sizes.len()).ok_or("its axis is out of range")?;
    regroup(importer, node, &value, &[sizes[..axis].iter().product(), sizes[axis..].iter().product()])
}

/// Copies along dimensions of length 1. A product does this by itself, so the operator is ignored before products,
/// and only there.
pub fn expand<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let value = importer.value(node, 0)?;
    let sizes = value.sizes(importer.shape(&value));
    let target = integers(importer.constant(node, 1)?);
    let fits = target.iter().rev().zip(sizes.iter().rev()).all(|(&t, &n)| n == 1 || t == 1 || t == n as i64);
    if target.len() > sizes.len() || !fits {
        return Err(format!("from {sizes:?} to {target:?}"));
    }
    let grows = target.iter().rev().zip(sizes.iter().rev()).any(|(&t, &n)| t > n as i64);
    let output = node.proto.output.first().ok_or("it has no output")?;
    let gate = importer.shape(&value).pixels() == 1 && target.len() == sizes.len();
    if grows && !gate {
        return Err(String::new());
    }
    if grows && !importer.readers(output).iter().all(|reader| reader.op_type == "Mul") {
        return Err(format!(
            "from {sizes:?} to {target:?}: only in front of a product (Mul) is it supported"
        ));
    }
    importer.bind(node, value)
}

/// Returns the axes of a Squeeze or Unsqueeze, from the attribute or the input.
fn axes(importer: &Importer<'_>, node: Node<'_>, rank: usize) -> Result<Option<Vec<usize>>, Problem> {
    let given = match node.input(1).map(|name| importer.constants.get(name)) {
        Some(Some(constant)) => Some(integers(constant)),
        Some(None) => return Err("its axes are computed from the image".into()),
        None => node.ints("axes")?.map(<[i64]>::to_vec),
    };
    let axis = |a: i64| usize::try_from(if a < 0 { a + rank as i64 } else { a }).ok().filter(|&a| a < rank);
    given
        .map(|axes| {
            axes.into_iter().map(axis).collect::<Option<Vec<_>>>().ok_or("its axes are out of range".into())
        })
        .transpose()
}

/// Removes dimensions of length 1.
pub fn squeeze<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axes"])?;
    let mut value = importer.any_value(node, 0)?;
    let rank = value.dims.len();
    let axes = match axes(importer, node, rank)? {
        Some(axes) => axes,
        None => (0..rank).filter(|&d| value.dims[d].is_empty()).collect(),
    };
    if let Some(long) = axes.iter().find(|&&a| !value.dims[a].is_empty()) {
        return Err(format!("dimension {long} is longer than 1"));
    }
    let mut place = 0;
    value.dims.retain(|_| {
        place += 1;
        !axes.contains(&(place - 1))
    });
    importer.bind(node, value)
}

/// Adds dimensions of length 1.
pub fn unsqueeze<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axes"])?;
    let mut value = importer.any_value(node, 0)?;
    let count = match node.input(1) {
        Some(name) => importer.constants.get(name).map_or(0, |c| c.len()),
        None => node.ints("axes")?.map_or(0, <[i64]>::len),
    };
    let rank = value.dims.len() + count;
    let mut axes = axes(importer, node, rank)?.ok_or("it names no axes")?;
    axes.sort_unstable();
    axes.dedup();
    if axes.len() != count {
        return Err("it names an axis twice".into());
    }
    for axis in axes {
        value.dims.insert(axis, Vec::new());
    }
    importer.bind(node, value)
}
