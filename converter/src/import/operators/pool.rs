//! Pooling: maximum and mean of a window, and of all pixels.

use foldnet_kernels::{MAX_KERNEL, Shape};

use super::super::Importer;
use super::super::moves::Run;
use super::super::node::{Node, Problem};
use super::super::value::Value;
use super::conv;
use crate::graph::{Conv, NodeId, Op, Window};

/// Returns a pooling's window and output shape. If `ceil_mode` lets windows extend beyond the input, padding is
/// added below and to the right.
fn window(node: Node<'_>, input: Shape) -> Result<(Window, [usize; 2], Shape), Problem> {
    let kernel = node.sizes("kernel_shape", [0, 0])?;
    let (mut window, dilation) = conv::window(node, kernel, input)?;
    let reach = |a: usize| (kernel[a] - 1) * dilation[a] + 1;
    if node.int("ceil_mode", 0)? != 0 {
        for (axis, side) in [input.h, input.w].into_iter().enumerate() {
            let (k, s, before) = (reach(axis), window.stride[axis], window.pad[axis]);
            let room = (side + before + window.pad[axis + 2]).saturating_sub(k);
            let mut out = room.div_ceil(s) + 1;
            // A window that would start after the input does not exist.
            if (out - 1) * s >= side + before {
                out -= 1;
            }
            window.pad[axis + 2] = ((out - 1) * s + k).saturating_sub(side + before);
        }
    }
    if window.pad.iter().zip([0, 1, 0, 1]).any(|(&p, axis)| p >= reach(axis)) {
        return Err(format!("padding {:?} as large as the kernel {kernel:?}", window.pad));
    }
    let [h, w] = window
        .output([input.h, input.w], dilation)
        .ok_or_else(|| format!("the kernel is larger than its input of {input}"))?;
    Ok((window, dilation, Shape::new(h, w, input.c)))
}

/// The maximum of a window; padding never wins.
pub fn max<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[&conv::WINDOW[..], &["storage_order"]].concat())?;
    let x = importer.picture(node, 0)?;
    let input = importer.shape(&x);
    let whole = node.sizes("kernel_shape", [0, 0])? == [input.h, input.w] && node.ints("pads")?.is_none();
    if whole && input.h.max(input.w) > MAX_KERNEL && node.ints("dilations")?.is_none() {
        return max_of_all(importer, node, &x, &x);
    }
    let (window, dilation, shape) = window(node, input)?;
    if (0..2).any(|a| dilation[a] != 1 && window.kernel[a] != 1) {
        return Err("dilated maximum poolings are not supported".into());
    }
    importer.define(node, Op::MaxPool { window, floor_at_zero: false }, vec![x.node], shape, &x)
}

/// The mean of a window: a depthwise convolution whose weights are one divided by the number of values that count.
/// Padding that does not count leaves fewer values at the borders; if the windows of a pooling therefore differ,
/// it is not a convolution.
pub fn average<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[&conv::WINDOW[..], &["count_include_pad"]].concat())?;
    let x = importer.picture(node, 0)?;
    let input = importer.shape(&x);
    let (window, dilation, shape) = window(node, input)?;
    let asked = conv::window(node, window.kernel, input)?.0.pad;
    let padding_counts = node.int("count_include_pad", 0)? != 0;
    // The padding added by `ceil_mode` never counts.
    let counted = |axis: usize| {
        let side = [input.h, input.w][axis];
        let (k, s, before) = (window.kernel[axis], window.stride[axis], window.pad[axis]);
        let (lo, hi) =
            if padding_counts { (0, side + before + asked[axis + 2]) } else { (before, before + side) };
        let counts = (0..[shape.h, shape.w][axis]).map(move |o| {
            (0..k).map(|t| o * s + t * dilation[axis]).filter(|i| (lo..hi).contains(i)).count()
        });
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
    let area = match (counted(0), counted(1)) {
        (Ok(rows), Ok(columns)) => rows * columns,
        (Err(problem), _) | (_, Err(problem)) => {
            if padding_counts || dilation != [1, 1] {
                return Err(problem);
            }
            return uneven(importer, node, &x, window, shape);
        }
    };
    if shape.pixels() == 1 && area == input.pixels() {
        return importer.define(node, Op::GlobalAvgPool, vec![x.node], shape, &x);
    }
    let taps = window.kernel[0] * window.kernel[1];
    let op = Op::Conv(Conv {
        weights: vec![1.0 / area as f32; taps * input.c],
        bias: vec![0.0; input.c],
        window,
        dilation,
        groups: input.c,
        pad_value: vec![0.0; input.c],
    });
    importer.define(node, op, vec![x.node], shape, &x)
}

/// Means of windows with fewer values at the borders: rows and then columns, each in runs of windows with the same
/// number of values.
fn uneven<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    x: &Value,
    window: Window,
    output: Shape,
) -> Result<(), Problem> {
    let mut from = x.node;
    for axis in 0..2 {
        let input = importer.nodes[from].shape;
        let sides = [input.h, input.w];
        let (k, s, before) = (window.kernel[axis], window.stride[axis], window.pad[axis]);
        // The first input and the number of inputs of each window.
        let windows: Vec<(usize, usize)> = (0..[output.h, output.w][axis])
            .map(|o| {
                let (lo, hi) = ((o * s).max(before) - before, (o * s + k - before).min(sides[axis]));
                (lo, hi.saturating_sub(lo))
            })
            .collect();
        let mut sum: Option<NodeId> = None;
        let mut at = 0;
        while at < windows.len() {
            let (first, held) = windows[at];
            let alike = |(i, w): &(usize, &(usize, usize))| **w == (first + i * s, held);
            let count = windows[at..].iter().enumerate().take_while(alike).count();
            let mut runs = sides.map(Run::whole);
            runs[axis] = Run { at: 0, count: (count - 1) * s + held, from: first, step: 1 };
            let rows = importer.cropped(node.name(), from, runs)?;
            let mut kernel = [1, 1];
            let mut stride = [1, 1];
            (kernel[axis], stride[axis]) = (held, s);
            let (weights, bias) = (vec![1.0 / held as f32; held * input.c], vec![0.0; input.c]);
            let inner = Window { kernel, stride, pad: [0; 4] };
            let means = importer.convolved(node.name(), rows, weights, bias, inner, [1, 1], input.c)?;
            let mut target = sides;
            target[axis] = windows.len();
            let mut runs = sides.map(Run::whole);
            runs[axis] = Run { at, count, from: 0, step: 1 };
            let part = importer.padded_to(node.name(), means, runs, target)?;
            let shape = importer.nodes[part].shape;
            sum = Some(match sum {
                None => part,
                Some(sum) => importer.push(node.name(), Op::Add, vec![sum, part], shape),
            });
            at += count;
        }
        from = sum.ok_or("it has no windows")?;
    }
    let mut value = Value { node: from, ..x.clone() };
    value.forget_short(output);
    importer.bind(node, value)
}

/// The mean of all pixels.
pub fn global_average<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let x = importer.picture(node, 0)?;
    let c = importer.shape(&x).c;
    importer.define(node, Op::GlobalAvgPool, vec![x.node], Shape::new(1, 1, c), &x)
}

/// The maximum of all pixels.
pub fn global_max<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let x = importer.picture(node, 0)?;
    max_of_all(importer, node, &x, &x.clone())
}

/// Adds the maximum of all pixels as several poolings, each as large as a window may be.
pub fn max_of_all<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    x: &Value,
    like: &Value,
) -> Result<(), Problem> {
    let mut from = x.node;
    loop {
        let Shape { h, w, c } = importer.nodes[from].shape;
        let kernel = [h.min(MAX_KERNEL), w.min(MAX_KERNEL)];
        let out = Shape::new(h.div_ceil(kernel[0]), w.div_ceil(kernel[1]), c);
        // Padding never wins.
        let missing = [out.h * kernel[0] - h, out.w * kernel[1] - w];
        let window = Window { kernel, stride: kernel, pad: [0, 0, missing[0], missing[1]] };
        let op = Op::MaxPool {
            window: Window { stride: if out.pixels() == 1 { [1, 1] } else { kernel }, ..window },
            floor_at_zero: false,
        };
        if out.pixels() == 1 {
            return importer.define(node, op, vec![from], out, like);
        }
        from = importer.push(node.name(), op, vec![from], out);
    }
}
