//! Moves blocks of pixels to channels and back.

use super::super::node::{Node, Problem};
use super::operators::Inputs;
use super::places::Places;

fn sizes(node: Node<'_>, x: &Places) -> Result<([usize; 4], usize), Problem> {
    let block = usize::try_from(node.int("blocksize", 0)?).ok().filter(|&b| b > 0);
    let dims: [usize; 4] =
        x.dims[..].try_into().map_err(|_| format!("an input of {:?}; four dimensions are needed", x.dims))?;
    Ok((dims, block.ok_or("its blocksize is not a positive number")?))
}

/// Moves channels to blocks of pixels.
pub fn depth_to_space(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["blocksize", "mode"])?;
    let x = inputs.places(0)?;
    let ([n, c, h, w], b) = sizes(node, &x)?;
    if b.checked_mul(b).is_none_or(|area| !c.is_multiple_of(area)) {
        return Err(format!("{c} channels do not make blocks of {b}×{b}"));
    }
    let parts = c / (b * b);
    let (dims, order) = match node.word("mode", "DCR")?.as_str() {
        "DCR" => (vec![n, b, b, parts, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => (vec![n, parts, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        other => return Err(format!("mode {other} is not known")),
    };
    Ok(vec![x.regrouped(dims)?.transposed(&order)?.regrouped(vec![n, parts, h * b, w * b])?])
}

/// Moves blocks of pixels to channels.
pub fn space_to_depth(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["blocksize"])?;
    let x = inputs.places(0)?;
    let ([n, c, h, w], b) = sizes(node, &x)?;
    if !h.is_multiple_of(b) || !w.is_multiple_of(b) {
        return Err(format!("{h}×{w} pixels do not divide into blocks of {b}×{b}"));
    }
    let parts = x.regrouped(vec![n, c, h / b, b, w / b, b])?.transposed(&[0, 3, 5, 1, 2, 4])?;
    Ok(vec![parts.regrouped(vec![n, c * b * b, h / b, w / b])?])
}
