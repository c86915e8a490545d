//! Limits results to the size that a layer's weights may have, because a file of a kilobyte can ask for a
//! terabyte.

use foldnet_kernels::{MAX_SIDE, MAX_VOLUME};

use super::{Constant, floats, integers};
use crate::import::node::{Node, Problem};

/// Refuses a node whose result on these constants would be too large.
pub fn bound_output(node: Node<'_>, inputs: &[Constant]) -> Result<(), Problem> {
    let claimed = claimed(node, inputs)?;
    if claimed > MAX_VOLUME {
        return Err(format!("a constant of {claimed} values is too large"));
    }
    for attribute in ["pads", "output_shape", "output_padding", "k"] {
        let big = |&n: &i64| n.unsigned_abs() > MAX_SIDE as u64;
        if node.ints(attribute).ok().flatten().is_some_and(|v| v.iter().any(big)) {
            return Err(format!("attribute {attribute} is too large"));
        }
    }
    Ok(())
}

fn volume(shape: &[i64]) -> usize {
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?.max(1)))
        .unwrap_or(usize::MAX)
}

/// Returns an upper bound of the numbers in a node's outputs.
fn claimed(node: Node<'_>, inputs: &[Constant]) -> Result<usize, Problem> {
    let all = || inputs.iter().fold(1usize, |n, t| n.saturating_mul(t.len().max(1)));
    let last = || inputs.last().map(integers);
    Ok(match node.proto.op_type.as_str() {
        "ConstantOfShape" => volume(&last().unwrap_or_default()),
        "Expand" | "Tile" | "OneHot" | "Upsample" | "Resize" => {
            let from = inputs.first().map_or(1, |t| t.len().max(1));
            // Any input may define the size, so none may ask for more than allowed.
            let numbers = inputs.iter().skip(1).filter(|t| t.len() <= 8);
            let product = |t: &Constant| t.doubles().iter().fold(1.0f64, |n, f| n * f.abs().max(1.0));
            let factors = numbers.map(product).fold(1.0, f64::max);
            let depth = node.floats("scales")?.map_or(1.0, |s| s.iter().product::<f32>().into());
            (factors.max(depth) * from as f64) as usize
        }
        "Range" => {
            let [start, limit, delta] = &inputs.iter().map(floats).collect::<Vec<_>>()[..] else {
                return Err("it does not have three inputs".into());
            };
            let one = |v: &[f32]| v.first().copied().map(f64::from).unwrap_or(0.0);
            match ((one(limit) - one(start)) / one(delta)).ceil() {
                n if n.is_finite() => n.max(0.0) as usize,
                _ => return Err("its step is 0".into()),
            }
        }
        "Pad" => {
            let pads = inputs.get(1).map(integers);
            let pads = pads.or(node.ints("pads")?.map(<[i64]>::to_vec)).unwrap_or_default();
            let most = pads.iter().map(|p| p.unsigned_abs() as usize).max().unwrap_or(0);
            let sides = inputs[..1].iter().flat_map(|t| t.shape());
            sides.fold(1usize, |n, &s| n.saturating_mul(s.saturating_add(most.saturating_mul(2))))
        }
        // Matrix products, convolutions, and operators that combine each number with each other one.
        "Conv" | "ConvInteger" | "ConvTranspose" | "Einsum" | "Gather" | "GatherElements" | "GatherND"
        | "Gemm" | "MatMul" | "MatMulInteger" => all(),
        "EyeLike" | "Multinomial" | "NonZero" => {
            inputs.iter().map(|t| t.len().saturating_mul(t.rank().max(1))).max().unwrap_or(0)
        }
        "BlackmanWindow" | "HammingWindow" | "HannWindow" | "MelWeightMatrix" => {
            let numbers = inputs.iter().map(integers).collect::<Vec<_>>();
            volume(&numbers.concat())
        }
        // All other results have at most the size to which their inputs broadcast.
        _ => {
            let rank = inputs.iter().map(|t| t.rank()).max().unwrap_or(0);
            (0..rank).fold(1usize, |n, d| {
                let side = |t: &Constant| t.shape().iter().rev().nth(d).copied().unwrap_or(1);
                n.saturating_mul(inputs.iter().map(side).max().unwrap_or(1))
            })
        }
    })
}
