//! Convolutions of constants. Weights that are a product of two kernels are computed in this way.

use std::sync::Arc;

use super::Constant;
use super::tensor::Tensor;
use crate::graph::Window;
use crate::import::node::{Node, Problem};

/// Runs `Conv` on constants of four dimensions.
pub fn convolve(node: Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant, Problem> {
    node.only(&["dilations", "group", "kernel_shape", "pads", "strides"])?;
    let input = |i: usize| inputs.get(i).copied().flatten();
    let (x, w) = (input(0).ok_or("input 0 is missing")?, input(1).ok_or("input 1 is missing")?);
    let (&[images, channels, rows, columns], &[outputs, per_group, height, width]) = (x.shape(), w.shape())
    else {
        return Err(format!("dimensions {:?} and {:?}; four each are supported", x.shape(), w.shape()));
    };
    let groups = usize::try_from(node.int("group", 1)?).unwrap_or(0);
    if groups == 0 || channels != groups * per_group || outputs % groups != 0 {
        return Err(format!("{channels} channels in {groups} groups for weights of {:?}", w.shape()));
    }
    let dilation = node.sizes("dilations", [1, 1])?;
    let window = Window {
        kernel: [height, width],
        stride: node.sizes("strides", [1, 1])?,
        pad: node.sizes("pads", [0; 4])?,
    };
    let size = window.output([rows, columns], dilation).filter(|_| !window.stride.contains(&0));
    let [h, wide] = size.ok_or("the kernel is larger than its input")?;
    let bias = input(2).map(|b| b.doubles());
    if bias.as_ref().is_some_and(|b| b.len() != outputs) {
        return Err(format!("its biases are not {outputs}"));
    }
    let (values, weights) = (x.doubles(), w.doubles());
    let mut sums = Vec::new();
    for (image, output) in (0..images).flat_map(|i| (0..outputs).map(move |o| (i, o))) {
        for (row, column) in (0..h).flat_map(|r| (0..wide).map(move |c| (r, c))) {
            let mut sum = bias.as_ref().map_or(0.0, |b| b[output]);
            for k in 0..per_group * height * width {
                let (channel, dy, dx) = (k / (height * width), k / width % height, k % width);
                let place = window.place(0, row, dy, dilation[0], rows);
                let place = place.zip(window.place(1, column, dx, dilation[1], columns));
                let channel = output / (outputs / groups) * per_group + channel;
                let value = place
                    .map_or(0.0, |(r, c)| values[((image * channels + channel) * rows + r) * columns + c]);
                sum += value * weights[output * per_group * height * width + k];
            }
            sums.push(sum);
        }
    }
    Tensor::of_numbers(x.kind(), &[images, outputs, h, wide], sums).map(Arc::new)
}
