//! Operators whose constant indices define where each number goes.

use super::super::node::{Node, Problem};
use super::operators::{Inputs, dimension};
use super::places::Places;

/// Returns the indices at an input, as an array.
fn indices(inputs: &dyn Inputs, input: usize) -> Result<Places, Problem> {
    let (dims, items) = inputs.integers(input)?.ok_or("it has no indices")?;
    Ok(Places { dims, items })
}

/// Converts an index into a dimension, counted from the end if it is negative.
fn index(i: i64, side: usize) -> Result<usize, Problem> {
    usize::try_from(if i < 0 { i + side as i64 } else { i })
        .ok()
        .filter(|&i| i < side)
        .ok_or_else(|| format!("index {i} is out of range for a dimension of {side}"))
}

/// Selects slices along one dimension.
pub fn gather(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axis"])?;
    let (x, which) = (inputs.places(0)?, indices(inputs, 1)?);
    let axis = dimension(node.int("axis", 0)?, x.dims.len())?;
    let dims = [&x.dims[..axis], &which.dims, &x.dims[axis + 1..]].concat();
    let middle = axis..axis + which.dims.len();
    let gathered = Places::build(dims, |at| {
        let i = index(which.at(&at[middle.clone()]), x.dims[axis])?;
        Ok(x.at(&[&at[..axis], &[i], &at[middle.end..]].concat()))
    })?;
    Ok(vec![gathered])
}

/// Selects one number per index.
pub fn gather_elements(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axis"])?;
    let (x, which) = (inputs.places(0)?, indices(inputs, 1)?);
    let axis = dimension(node.int("axis", 0)?, x.dims.len())?;
    fits_inside(&which, &x, axis)?;
    let gathered = Places::build(which.dims.clone(), |at| {
        let mut from = at.to_vec();
        from[axis] = index(which.at(at), x.dims[axis])?;
        Ok(x.at(&from))
    })?;
    Ok(vec![gathered])
}

fn fits_inside(which: &Places, x: &Places, axis: usize) -> Result<(), Problem> {
    let inside = |d: usize| d == axis || which.dims[d] <= x.dims[d];
    match which.dims.len() == x.dims.len() && (0..x.dims.len()).all(inside) {
        true => Ok(()),
        false => Err(format!("indices of {:?} on {:?}", which.dims, x.dims)),
    }
}

/// Selects slices given by tuples of indices.
pub fn gather_nd(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["batch_dims"])?;
    let (x, which) = (inputs.places(0)?, indices(inputs, 1)?);
    let batch = usize::try_from(node.int("batch_dims", 0)?).unwrap_or(usize::MAX);
    let (&depth, lead) = which.dims.split_last().ok_or("its indices have no dimensions")?;
    let end = batch.saturating_add(depth);
    if end > x.dims.len() || batch > lead.len() || lead[..batch] != x.dims[..batch] {
        return Err(format!("indices of {:?} on {:?} with {batch} batch dimensions", which.dims, x.dims));
    }
    let dims = [lead, &x.dims[end..]].concat();
    let gathered = Places::build(dims, |at| {
        let tuple = (0..depth).map(|k| {
            let i = which.at(&[&at[..lead.len()], &[k]].concat());
            index(i, x.dims[batch + k])
        });
        let tuple: Vec<usize> = tuple.collect::<Result<_, _>>()?;
        Ok(x.at(&[&at[..batch], &tuple, &at[lead.len()..]].concat()))
    })?;
    Ok(vec![gathered])
}

fn replaces(node: Node<'_>) -> Result<(), Problem> {
    match node.word("reduction", "none")?.as_str() {
        "none" => Ok(()),
        other => Err(format!("reduction {other} is not supported")),
    }
}

/// Writes numbers into an array, one per index.
pub fn scatter_elements(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axis", "reduction"])?;
    replaces(node)?;
    let (mut x, which, updates) = (inputs.places(0)?, indices(inputs, 1)?, inputs.places(2)?);
    let axis = dimension(node.int("axis", 0)?, x.dims.len())?;
    fits_inside(&which, &x, axis)?;
    if updates.dims != which.dims {
        return Err(format!("updates of {:?} for indices of {:?}", updates.dims, which.dims));
    }
    let targets = Places::build(which.dims.clone(), |at| {
        let mut to = at.to_vec();
        to[axis] = index(which.at(at), x.dims[axis])?;
        Ok(to.iter().zip(&x.dims).fold(0, |flat, (&i, &d)| flat * d + i) as i64)
    })?;
    targets.items.iter().zip(&updates.items).for_each(|(&to, &place)| x.items[to as usize] = place);
    Ok(vec![x])
}

/// Writes slices into an array, given by tuples of indices.
pub fn scatter_nd(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["reduction"])?;
    replaces(node)?;
    let (mut x, which, updates) = (inputs.places(0)?, indices(inputs, 1)?, inputs.places(2)?);
    let (&depth, lead) = which.dims.split_last().ok_or("its indices have no dimensions")?;
    if depth > x.dims.len() || updates.dims != [lead, &x.dims[depth..]].concat() {
        return Err(format!("indices of {:?} and updates of {:?}", which.dims, updates.dims));
    }
    let targets = Places::build(updates.dims.clone(), |at| {
        let mut flat = 0;
        for (d, &side) in x.dims.iter().enumerate() {
            let i = match d < depth {
                true => index(which.at(&[&at[..lead.len()], &[d]].concat()), side)?,
                false => at[lead.len() + d - depth],
            };
            flat = flat * side + i;
        }
        Ok(flat as i64)
    })?;
    targets.items.iter().zip(&updates.items).for_each(|(&to, &place)| x.items[to as usize] = place);
    Ok(vec![x])
}

/// Reverses the first numbers of each sequence.
pub fn reverse_sequence(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["batch_axis", "time_axis"])?;
    let (x, lengths) = (inputs.places(0)?, indices(inputs, 1)?);
    let rank = x.dims.len();
    let (batch, time) =
        (dimension(node.int("batch_axis", 1)?, rank)?, dimension(node.int("time_axis", 0)?, rank)?);
    if lengths.items.len() != x.dims[batch] || batch == time {
        return Err(format!("{} lengths for a dimension of {}", lengths.items.len(), x.dims[batch]));
    }
    let turned = Places::build(x.dims.clone(), |at| {
        let length = usize::try_from(lengths.items[at[batch]]).unwrap_or(0).min(x.dims[time]);
        let mut from = at.to_vec();
        if at[time] < length {
            from[time] = length - 1 - at[time];
        }
        Ok(x.at(&from))
    })?;
    Ok(vec![turned])
}
