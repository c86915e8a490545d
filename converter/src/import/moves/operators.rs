//! The operators that only move numbers, on arrays of places.

use super::super::node::{Node, Problem};
use super::places::{Places, ZERO, broadcast, spread};

/// The dimensions and values of an array of integers.
type Integers = (Vec<usize>, Vec<i64>);

/// The inputs of an operator: places for numbers that are moved, and integers that define how.
pub trait Inputs {
    /// Returns the array at an input.
    fn places(&self, input: usize) -> Result<Places, Problem>;
    /// Returns dimensions and values of the integers at an input, if it is given.
    fn integers(&self, input: usize) -> Result<Option<Integers>, Problem>;
    /// Returns the numbers at an input, if it is given.
    fn floats(&self, input: usize) -> Result<Option<Vec<f32>>, Problem>;
    /// Returns the place of a constant number, which padding inserts.
    fn fill(&self, value: f32) -> Result<i64, Problem>;
}

type Move = fn(Node<'_>, &dyn Inputs) -> Result<Vec<Places>, Problem>;

/// All operators that only move numbers.
const TABLE: &[(&str, Move)] = &[
    ("CenterCropPad", super::sides::center_crop_pad),
    ("Compress", compress),
    ("Concat", concat),
    ("DepthToSpace", super::blocks::depth_to_space),
    ("Expand", expand),
    ("Flatten", flatten),
    ("Gather", super::indexed::gather),
    ("GatherElements", super::indexed::gather_elements),
    ("GatherND", super::indexed::gather_nd),
    ("Pad", super::sides::pad),
    ("Reshape", reshape),
    ("Resize", super::sides::resize),
    ("ReverseSequence", super::indexed::reverse_sequence),
    ("Scatter", super::indexed::scatter_elements),
    ("ScatterElements", super::indexed::scatter_elements),
    ("ScatterND", super::indexed::scatter_nd),
    ("Slice", super::sides::slice),
    ("SpaceToDepth", super::blocks::space_to_depth),
    ("Split", split),
    ("Squeeze", squeeze),
    ("Tile", tile),
    ("Transpose", transpose),
    ("Trilu", trilu),
    ("Unsqueeze", unsqueeze),
    ("Upsample", super::sides::upsample),
    ("Where", choose),
];

/// Returns the function for an operator that only moves numbers.
pub fn of(op: &str) -> Option<Move> {
    TABLE.iter().find(|(name, _)| *name == op).map(|(_, run)| *run)
}

/// Returns the operators that only move numbers.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}

/// Converts a dimension, counted from the end if it is negative.
pub fn dimension(axis: i64, rank: usize) -> Result<usize, Problem> {
    usize::try_from(if axis < 0 { axis + rank as i64 } else { axis })
        .ok()
        .filter(|&a| a < rank)
        .ok_or_else(|| format!("its axis {axis} is out of range for {rank} dimensions"))
}

/// Reads an attribute that newer versions of an operator take as an input.
pub fn list(
    node: Node<'_>,
    inputs: &dyn Inputs,
    attribute: &str,
    input: usize,
) -> Result<Option<Vec<i64>>, Problem> {
    match inputs.integers(input)? {
        Some((_, values)) => Ok(Some(values)),
        None => Ok(node.ints(attribute)?.map(<[i64]>::to_vec)),
    }
}

fn one(places: Places) -> Vec<Places> {
    vec![places]
}

fn transpose(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["perm"])?;
    let x = inputs.places(0)?;
    let rank = x.dims.len();
    let order: Vec<usize> = match node.ints("perm")? {
        Some(perm) => perm.iter().map(|&p| dimension(p, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(format!("perm {order:?} does not reorder {rank} dimensions"));
    }
    Ok(one(x.transposed(&order)?))
}

/// Returns the dimensions that a Reshape requests: 0 copies one unless `allowzero` is set, −1 is the remainder.
pub fn reshaped(sizes: &[usize], target: &[i64], allow_zero: bool) -> Result<Vec<usize>, Problem> {
    let total: usize = sizes.iter().product();
    let copied = |(i, &n): (usize, &i64)| match n {
        0 if !allow_zero => sizes.get(i).map_or(-2, |&n| n as i64),
        n => n,
    };
    let target: Vec<i64> = target.iter().enumerate().map(copied).collect();
    let fits = || format!("from {sizes:?} to {target:?} (the batch is 1)");
    let known =
        target.iter().filter(|&&n| n != -1).try_fold(1usize, |p, &n| p.checked_mul(usize::try_from(n).ok()?));
    let rest = match (known, target.iter().filter(|&&n| n == -1).count()) {
        (Some(known), 0) if known == total => 1,
        (Some(known), 1) if known > 0 && total.is_multiple_of(known) => total / known,
        _ => return Err(fits()),
    };
    Ok(target.iter().map(|&n| if n == -1 { rest } else { n as usize }).collect())
}

fn reshape(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["allowzero", "shape"])?;
    let x = inputs.places(0)?;
    let target = list(node, inputs, "shape", 1)?.ok_or("it has no target shape")?;
    let dims = reshaped(&x.dims, &target, node.int("allowzero", 0)? != 0)?;
    Ok(one(x.regrouped(dims)?))
}

fn flatten(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axis"])?;
    let x = inputs.places(0)?;
    let rank = x.dims.len();
    let axis = node.int("axis", 1)?;
    let axis = if axis == rank as i64 { rank } else { dimension(axis, rank)? };
    let dims = vec![x.dims[..axis].iter().product(), x.dims[axis..].iter().product()];
    Ok(one(x.regrouped(dims)?))
}

fn squeeze(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axes"])?;
    let x = inputs.places(0)?;
    let rank = x.dims.len();
    let axes: Vec<usize> = match list(node, inputs, "axes", 1)? {
        Some(axes) => axes.into_iter().map(|a| dimension(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).filter(|&d| x.dims[d] == 1).collect(),
    };
    if let Some(long) = axes.iter().find(|&&a| x.dims[a] != 1) {
        return Err(format!("dimension {long} is longer than 1"));
    }
    let dims = (0..rank).filter(|d| !axes.contains(d)).map(|d| x.dims[d]).collect();
    Ok(one(x.regrouped(dims)?))
}

fn unsqueeze(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axes"])?;
    let x = inputs.places(0)?;
    let axes = list(node, inputs, "axes", 1)?.ok_or("it names no axes")?;
    let rank = x.dims.len() + axes.len();
    let mut axes: Vec<usize> = axes.into_iter().map(|a| dimension(a, rank)).collect::<Result<_, _>>()?;
    axes.sort_unstable();
    let mut dims = x.dims.clone();
    for pair in axes.windows(2) {
        if pair[0] == pair[1] {
            return Err("it names an axis twice".into());
        }
    }
    axes.into_iter().for_each(|a| dims.insert(a, 1));
    Ok(one(x.regrouped(dims)?))
}

fn concat(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axis"])?;
    let parts: Vec<Places> =
        (0..node.proto.input.len()).map(|i| inputs.places(i)).collect::<Result<_, _>>()?;
    let rank = parts.first().ok_or("it has no inputs")?.dims.len();
    let axis = dimension(node.int("axis", 1)?, rank)?;
    let others = |p: &Places| {
        let mut dims = p.dims.clone();
        (dims.len() == rank).then(|| dims.remove(axis));
        dims
    };
    if let Some(other) = parts.iter().find(|p| others(p) != others(&parts[0])) {
        return Err(format!("parts of {:?} and {:?} along dimension {axis}", parts[0].dims, other.dims));
    }
    let mut dims = parts[0].dims.clone();
    let starts: Vec<usize> = parts
        .iter()
        .scan(0, |end, p| {
            let start = *end;
            *end += p.dims[axis];
            Some(start)
        })
        .collect();
    dims[axis] = parts.iter().map(|p| p.dims[axis]).sum();
    let mut from = vec![0; rank];
    let joined = Places::build(dims, |at| {
        let part = starts.partition_point(|&s| s <= at[axis]) - 1;
        // An empty part starts where the next one does.
        from.copy_from_slice(at);
        from[axis] -= starts[part];
        Ok(parts[part].at(&from))
    })?;
    Ok(one(joined))
}

fn split(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axis", "split", "num_outputs"])?;
    let x = inputs.places(0)?;
    let axis = dimension(node.int("axis", 0)?, x.dims.len())?;
    let side = x.dims[axis];
    let count = node.proto.output.len();
    let lengths: Vec<usize> = match list(node, inputs, "split", 1)? {
        Some(lengths) => lengths.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect(),
        None => {
            if !side.is_multiple_of(count) && node.int("num_outputs", 0)? == 0 {
                return Err(format!("a dimension of {side} does not split into {count} equal parts"));
            }
            let each = side.div_ceil(count);
            (0..count).map(|i| side.saturating_sub(i * each).min(each)).collect()
        }
    };
    let sum = lengths.iter().try_fold(0usize, |n, &l| n.checked_add(l));
    if lengths.len() != count || sum != Some(side) {
        return Err(format!("parts of {lengths:?} for {count} outputs from a dimension of {side}"));
    }
    let mut start = 0;
    let part = |n: usize| {
        let mut along = x.everything();
        along[axis] = (start..start + n).map(Some).collect();
        start += n;
        x.picked(&along, ZERO)
    };
    lengths.into_iter().map(part).collect()
}

fn expand(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&[])?;
    let x = inputs.places(0)?;
    let (_, target) = inputs.integers(1)?.ok_or("it has no target shape")?;
    let target: Vec<usize> = target.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    let dims = broadcast(&[&x.dims, &target])?;
    Ok(one(spread(&x, &dims)?))
}

fn tile(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&[])?;
    let x = inputs.places(0)?;
    let (_, repeats) = inputs.integers(1)?.ok_or("it has no repeats")?;
    if repeats.len() != x.dims.len() {
        return Err(format!("{} repeats for {} dimensions", repeats.len(), x.dims.len()));
    }
    let along = x.dims.iter().zip(&repeats).map(|(&n, &r)| {
        let length = usize::try_from(r).ok().and_then(|r| n.checked_mul(r));
        let length = length.filter(|&l| l <= super::places::MOST_PLACES);
        length.map(|l| (0..l).map(|i| Some(i % n)).collect()).ok_or(format!("repeats of {repeats:?}"))
    });
    Ok(one(x.picked(&along.collect::<Result<Vec<_>, _>>()?, ZERO)?))
}

fn choose(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&[])?;
    let (shape, condition) = inputs.integers(0)?.ok_or("it has no condition")?;
    let (yes, no) = (inputs.places(1)?, inputs.places(2)?);
    let condition = Places { dims: shape, items: condition };
    let dims = broadcast(&[&condition.dims, &yes.dims, &no.dims])?;
    let (condition, yes, no) = (spread(&condition, &dims)?, spread(&yes, &dims)?, spread(&no, &dims)?);
    let items = (0..condition.items.len())
        .map(|i| if condition.items[i] != 0 { yes.items[i] } else { no.items[i] })
        .collect();
    Ok(one(Places { dims, items }))
}

fn trilu(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["upper"])?;
    let x = inputs.places(0)?;
    let upper = node.int("upper", 1)? != 0;
    let k = inputs.integers(1)?.and_then(|(_, v)| v.first().copied()).unwrap_or(0);
    let rank = x.dims.len();
    if rank < 2 {
        return Err(format!("a triangle of {:?}", x.dims));
    }
    let kept = Places::build(x.dims.clone(), |at| {
        let distance = (at[rank - 1] as i64 - at[rank - 2] as i64).saturating_sub(k);
        Ok(if (upper && distance >= 0) || (!upper && distance <= 0) { x.at(at) } else { ZERO })
    })?;
    Ok(one(kept))
}

fn compress(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axis"])?;
    let mut x = inputs.places(0)?;
    let (_, keep) = inputs.integers(1)?.ok_or("it has no condition")?;
    let axis = match node.ints("axis") {
        Err(_) => dimension(node.int("axis", 0)?, x.dims.len())?,
        Ok(_) => {
            let volume = x.items.len();
            x = x.regrouped(vec![volume])?;
            0
        }
    };
    let mut along = x.everything();
    let kept = keep.iter().take(x.dims[axis]).enumerate().filter(|(_, k)| **k != 0);
    along[axis] = kept.map(|(i, _)| Some(i)).collect();
    Ok(one(x.picked(&along, ZERO)?))
}
