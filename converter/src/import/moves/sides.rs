//! Operators that cut, pad or repeat along whole dimensions.

use super::super::node::{Node, Problem};
use super::operators::{Inputs, dimension, list};
use super::places::{MOST_PLACES, Places, ZERO};

/// Cuts parts out of dimensions, also backwards and with steps.
pub fn slice(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axes", "ends", "starts"])?;
    let x = inputs.places(0)?;
    let rank = x.dims.len();
    let starts = list(node, inputs, "starts", 1)?.ok_or("it names no starts")?;
    let ends = list(node, inputs, "ends", 2)?.ok_or("it names no ends")?;
    let axes = list(node, inputs, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = inputs.integers(4)?.map_or_else(|| vec![1; starts.len()], |(_, steps)| steps);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("its starts, ends, axes and steps differ in number".into());
    }
    let mut along = x.everything();
    for i in 0..starts.len() {
        let axis = dimension(axes[i], rank)?;
        along[axis] = stepped(x.dims[axis], starts[i], ends[i], steps[i])?;
    }
    Ok(vec![x.picked(&along, ZERO)?])
}

/// Returns the coordinates from `start` to before `end`, as ONNX and NumPy clamp them.
fn stepped(side: usize, start: i64, end: i64, step: i64) -> Result<Vec<Option<usize>>, Problem> {
    let n = side as i64;
    let from_end = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    let (mut i, end) = match step {
        1.. => (from_end(start).clamp(0, n), from_end(end).clamp(0, n)),
        0 => return Err("its step is 0".into()),
        _ => (from_end(start).clamp(-1, n - 1), from_end(end).clamp(-1, n - 1)),
    };
    let mut picked = Vec::new();
    while (step > 0 && i < end) || (step < 0 && i > end) {
        picked.push(Some(i as usize));
        i = i.saturating_add(step);
    }
    Ok(picked)
}

/// Pads with a constant, the border, its mirror image, or the opposite end. Negative pads cut.
pub fn pad(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["mode", "pads", "value"])?;
    let x = inputs.places(0)?;
    let rank = x.dims.len();
    let pads = list(node, inputs, "pads", 1)?.ok_or("it does not say how much")?;
    let axes: Vec<usize> = match inputs.integers(3)? {
        Some((_, axes)) => axes.into_iter().map(|a| dimension(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} dimensions", pads.len(), axes.len()));
    }
    let mode = node.word("mode", "constant")?;
    let fill = match inputs.floats(2)?.and_then(|v| v.first().copied()) {
        Some(value) => inputs.fill(value)?,
        None => inputs.fill(node.float("value", 0.0)?)?,
    };
    let mut along = x.everything();
    for (i, &axis) in axes.iter().enumerate() {
        along[axis] = padded(x.dims[axis], pads[i], pads[i + axes.len()], &mode)?;
    }
    Ok(vec![x.picked(&along, fill)?])
}

fn padded(side: usize, before: i64, after: i64, mode: &str) -> Result<Vec<Option<usize>>, Problem> {
    let n = side as i64;
    let most = MOST_PLACES as i64;
    let total = before.checked_add(after).and_then(|p| p.checked_add(n)).filter(|t| (0..=most).contains(t));
    let total = total.filter(|_| before.abs() <= most).ok_or("its pads are too large")?;
    let source = |i: i64| -> Result<Option<usize>, Problem> {
        let at = i - before;
        if (0..n).contains(&at) {
            return Ok(Some(at as usize));
        }
        let source = match mode {
            "constant" => return Ok(None),
            _ if n == 0 => return Err("there is nothing to repeat".into()),
            "edge" => at.clamp(0, n - 1),
            "wrap" => at.rem_euclid(n),
            "reflect" if n == 1 => 0,
            "reflect" => {
                let at = at.rem_euclid(2 * (n - 1));
                at.min(2 * (n - 1) - at)
            }
            other => return Err(format!("mode {other} is not known")),
        };
        Ok(Some(source as usize))
    };
    (0..total).map(source).collect()
}

/// Returns the centre of a tensor, cut or padded with zeros to a size.
pub fn center_crop_pad(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["axes"])?;
    let x = inputs.places(0)?;
    let rank = x.dims.len();
    let (_, target) = inputs.integers(1)?.ok_or("it has no target shape")?;
    let axes = node.ints("axes")?.map_or_else(|| (0..rank as i64).collect(), <[i64]>::to_vec);
    if axes.len() != target.len() {
        return Err(format!("{} lengths for {} axes", target.len(), axes.len()));
    }
    let mut along = x.everything();
    for (&axis, &target) in axes.iter().zip(&target) {
        let axis = dimension(axis, rank)?;
        let more = target - x.dims[axis] as i64;
        // If the difference is odd, the additional element is cut or added at the end.
        let before = if more < 0 { -((-more) / 2) } else { more / 2 };
        along[axis] = padded(x.dims[axis], before, more - before, "constant")?;
    }
    Ok(vec![x.picked(&along, ZERO)?])
}

/// Enlarges by whole factors (opset 9 and earlier).
pub fn upsample(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&["mode", "scales"])?;
    let x = inputs.places(0)?;
    let scales = match inputs.floats(1)? {
        Some(scales) => scales,
        None => node.floats("scales")?.ok_or("it has no scales")?.to_vec(),
    };
    let scales: Vec<f64> = scales.into_iter().map(f64::from).collect();
    let sizes = scaled(&x.dims, &scales)?;
    let nearest = node.word("mode", "nearest")? == "nearest";
    resampled(&x, &scales, &sizes, nearest, &Sampling { transform: "asymmetric", rounding: "floor" })
}

/// How an enlarged tensor's coordinates are mapped to those of its source.
struct Sampling<'a> {
    transform: &'a str,
    rounding: &'a str,
}

/// Changes the size. Only resizing that repeats or drops whole pixels moves numbers; interpolation is refused,
/// unless the size stays the same.
pub fn resize(node: Node<'_>, inputs: &dyn Inputs) -> Result<Vec<Places>, Problem> {
    node.only(&[
        "antialias",
        "axes",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "keep_aspect_ratio_policy",
        "mode",
        "nearest_mode",
    ])?;
    let x = inputs.places(0)?;
    let rank = x.dims.len();
    let given = |input: usize| Ok::<_, Problem>(inputs.floats(input)?.filter(|v| !v.is_empty()));
    // Before opset 11, the second input contains the scales.
    let scales = if node.opset < 11 { given(1)? } else { given(2)? };
    let sizes = if node.opset < 11 { None } else { inputs.integers(3)?.map(|(_, v)| v) };
    if node.word("keep_aspect_ratio_policy", "stretch")? != "stretch" {
        return Err("only keep_aspect_ratio_policy stretch is supported".into());
    }
    let transform = match node.opset {
        ..11 => "asymmetric".into(),
        _ => node.word("coordinate_transformation_mode", "half_pixel")?,
    };
    if transform == "tf_crop_and_resize" {
        return Err("coordinate_transformation_mode tf_crop_and_resize is not supported".into());
    }
    let axes: Vec<usize> = match node.ints("axes")? {
        Some(axes) => axes.iter().map(|&a| dimension(a, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).collect(),
    };
    let (mut factors, mut target) = (vec![1.0; rank], x.dims.clone());
    match (scales, sizes) {
        (Some(scales), _) if scales.len() == axes.len() => {
            axes.iter().zip(scales).for_each(|(&a, s)| factors[a] = f64::from(s));
            target = scaled(&x.dims, &factors)?;
        }
        (None, Some(sizes)) if sizes.len() == axes.len() => {
            for (&a, size) in axes.iter().zip(sizes) {
                target[a] = usize::try_from(size).map_err(|_| format!("a size of {size}"))?;
                factors[a] = target[a] as f64 / x.dims[a] as f64;
            }
        }
        _ => return Err("its scales or sizes do not fit its dimensions".into()),
    }
    let rounding = match node.opset {
        ..11 => "floor".into(),
        _ => node.word("nearest_mode", "round_prefer_floor")?,
    };
    let nearest = node.word("mode", "nearest")? == "nearest";
    resampled(&x, &factors, &target, nearest, &Sampling { transform: &transform, rounding: &rounding })
}

fn scaled(dims: &[usize], factors: &[f64]) -> Result<Vec<usize>, Problem> {
    let side = |(&n, &f): (&usize, &f64)| {
        let side = (n as f64 * f).floor();
        (side >= 1.0 && side <= MOST_PLACES as f64).then_some(side as usize)
    };
    let sizes: Option<Vec<usize>> = dims.iter().zip(factors).map(side).collect();
    sizes.filter(|_| dims.len() == factors.len()).ok_or_else(|| format!("scales {factors:?} on {dims:?}"))
}

fn resampled(
    x: &Places,
    factors: &[f64],
    target: &[usize],
    nearest: bool,
    sampling: &Sampling<'_>,
) -> Result<Vec<Places>, Problem> {
    let same = target == x.dims && factors.iter().all(|&f| f == 1.0);
    if same {
        return Ok(vec![x.clone()]);
    }
    if !nearest {
        return Err(format!("from {:?} to {target:?} with interpolation: not supported", x.dims));
    }
    let along = (0..target.len()).map(|d| {
        (0..target[d]).map(|i| source(i, x.dims[d], target[d], factors[d], sampling).map(Some)).collect()
    });
    Ok(vec![x.picked(&along.collect::<Result<Vec<_>, Problem>>()?, ZERO)?])
}

/// Returns the source of coordinate `i` of `to`.
fn source(i: usize, from: usize, to: usize, factor: f64, how: &Sampling<'_>) -> Result<usize, Problem> {
    let i = i as f64;
    let at = match how.transform {
        "asymmetric" => i / factor,
        "half_pixel" => (i + 0.5) / factor - 0.5,
        "pytorch_half_pixel" if to == 1 => 0.0,
        "pytorch_half_pixel" => (i + 0.5) / factor - 0.5,
        "align_corners" if to == 1 => 0.0,
        "align_corners" => i * (from - 1) as f64 / (to - 1) as f64,
        other => return Err(format!("coordinate_transformation_mode {other} is not supported")),
    };
    let rounded = match how.rounding {
        "floor" => at.floor(),
        "ceil" => at.ceil(),
        "round_prefer_floor" => (at - 0.5).ceil(),
        "round_prefer_ceil" => (at + 0.5).floor(),
        other => return Err(format!("nearest_mode {other} is not known")),
    };
    Ok(rounded.clamp(0.0, (from - 1) as f64) as usize)
}
