//! Poolings: maximum, mean of a window, mean and maximum of everything.

use foldnet_kernels::{MAX_KERNEL, Shape};

use super::super::Importer;
use super::super::constant::integers;
use super::super::node::{Node, Problem};
use super::super::value::{Axis, Value};
use super::conv;
use crate::graph::{Conv, Op, Window};

/// A pooling's window and output shape, with padding added below and to the right where `ceil_mode`
/// lets windows reach beyond the input.
fn window(node: Node<'_>, input: Shape) -> Result<(Window, Shape), Problem> {
    let kernel = node.sizes("kernel_shape", [0, 0])?;
    let (mut window, dilation) = conv::window(node, kernel, input)?;
    if dilation != [1, 1] {
        return Err("dilated poolings are not supported".into());
    }
    if node.int("ceil_mode", 0)? != 0 {
        for (axis, side) in [input.h, input.w].into_iter().enumerate() {
            let (k, s, before) = (kernel[axis], window.stride[axis], window.pad[axis]);
            let room = (side + before + window.pad[axis + 2]).saturating_sub(k);
            let mut out = room.div_ceil(s) + 1;
            // A window that would start behind the input is none.
            if (out - 1) * s >= side + before {
                out -= 1;
            }
            window.pad[axis + 2] = ((out - 1) * s + k).saturating_sub(side + before);
        }
    }
    if window.pad.iter().zip([0, 1, 0, 1]).any(|(&p, axis)| p >= kernel[axis]) {
        return Err(format!("padding {:?} as large as the kernel {kernel:?}", window.pad));
    }
    let [h, w] = window
        .output([input.h, input.w], [1, 1])
        .ok_or_else(|| format!("the kernel is larger than its input of {input}"))?;
    Ok((window, Shape::new(h, w, input.c)))
}

/// Maximum of a window; padding never wins.
pub fn max<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[&conv::WINDOW[..], &["storage_order"]].concat())?;
    let x = importer.picture(node, 0)?;
    let (window, shape) = window(node, importer.shape(&x))?;
    importer.define(node, Op::MaxPool { window, floor_at_zero: false }, vec![x.node], shape, &x)
}

/// Mean of a window: a convolution of each channel with itself, every weight one by the number of values that
/// count. Padding that does not count leaves fewer of them at the borders; where that makes the windows of one
/// pooling differ, it is no convolution.
pub fn average<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[&conv::WINDOW[..], &["count_include_pad"]].concat())?;
    let x = importer.picture(node, 0)?;
    let input = importer.shape(&x);
    let (window, shape) = window(node, input)?;
    let asked = conv::window(node, window.kernel, input)?.0.pad;
    let padding_counts = node.int("count_include_pad", 0)? != 0;
    // What `ceil_mode` adds never counts.
    let counted = |axis: usize| {
        let side = [input.h, input.w][axis];
        let (k, s, before) = (window.kernel[axis], window.stride[axis], window.pad[axis]);
        let (lo, hi) =
            if padding_counts { (0, side + before + asked[axis + 2]) } else { (before, before + side) };
        let counts =
            (0..[shape.h, shape.w][axis]).map(move |o| (o * s + k).min(hi).saturating_sub((o * s).max(lo)));
        let (least, most) = (counts.clone().min().unwrap_or(k), counts.max().unwrap_or(k));
        (least == most && least > 0).then_some(least).ok_or_else(|| {
            format!(
                "its windows hold {least} to {most} {} that count: padding {:?}{} does not. Pool with \
                 count_include_pad=1 or without padding, or choose a picture size that needs none",
                ["rows", "columns"][axis],
                window.pad,
                if padding_counts { " of ceil_mode" } else { "" },
            )
        })
    };
    let area = counted(0)? * counted(1)?;
    if shape.pixels() == 1 && area == input.pixels() {
        return importer.define(node, Op::GlobalAvgPool, vec![x.node], shape, &x);
    }
    let taps = window.kernel[0] * window.kernel[1];
    let op = Op::Conv(Conv {
        weights: vec![1.0 / area as f32; taps * input.c],
        bias: vec![0.0; input.c],
        window,
        dilation: [1, 1],
        groups: input.c,
        pad_value: vec![0.0; input.c],
    });
    importer.define(node, op, vec![x.node], shape, &x)
}

/// Mean of all pixels.
pub fn global_average<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let x = importer.picture(node, 0)?;
    let c = importer.shape(&x).c;
    importer.define(node, Op::GlobalAvgPool, vec![x.node], Shape::new(1, 1, c), &x)
}

/// Maximum of all pixels.
pub fn global_max<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let x = importer.picture(node, 0)?;
    let Shape { h, w, c } = importer.shape(&x);
    if h.max(w) > MAX_KERNEL {
        return Err(format!("over {h}×{w} pixels; up to {MAX_KERNEL}×{MAX_KERNEL} are supported"));
    }
    let window = Window { kernel: [h, w], stride: [1, 1], pad: [0; 4] };
    let op = Op::MaxPool { window, floor_at_zero: false };
    importer.define(node, op, vec![x.node], Shape::new(1, 1, c), &x)
}

/// Mean over rows and columns, however they are ordered.
pub fn reduce_mean<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axes", "keepdims", "noop_with_empty_axes"])?;
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let rank = x.dims.len();
    let given = importer.optional_constant(node, 1)?.map(integers).transpose()?;
    let axes =
        given.or(node.ints("axes")?.map(<[i64]>::to_vec)).ok_or("a mean over everything is not supported")?;
    let axis =
        |a: &i64| usize::try_from(if *a < 0 { a + rank as i64 } else { *a }).ok().filter(|&a| a < rank);
    let axes: Vec<usize> = axes.iter().map(axis).collect::<Option<_>>().ok_or("its axes are out of range")?;
    let reduced: Vec<Axis> = axes.iter().flat_map(|&d| x.dims[d].iter().copied()).collect();
    let all_pixels =
        [(Axis::H, shape.h), (Axis::W, shape.w)].iter().all(|(a, n)| *n == 1 || reduced.contains(a));
    if reduced.contains(&Axis::C) || !all_pixels {
        return Err(format!(
            "over dimensions {axes:?} of {:?}; rows and columns together are supported",
            x.sizes(shape)
        ));
    }
    let keep = node.int("keepdims", 1)? != 0;
    let dims = (0..rank).filter(|d| keep || !axes.contains(d)).map(|d| match axes.contains(&d) {
        true => Vec::new(),
        false => x.dims[d].clone(),
    });
    let like = Value { dims: dims.collect(), ..x.clone() };
    importer.define(node, Op::GlobalAvgPool, vec![x.node], Shape::new(1, 1, shape.c), &like)
}
