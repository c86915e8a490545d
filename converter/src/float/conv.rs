//! The f32 convolution.
//!
//! Each tile of output pixels copies its inputs into rows in the order of the weights (im2col for one tile), with
//! the padding's value where a tap is outside of the image. Then it is multiplied by one panel of output channels
//! after the other.

use foldnet_kernels::Shape;

use crate::graph::{Conv, Window};

use super::tile::{Lanes, MOST_PIXELS, PANEL, Tile};

/// A convolution with its weights in panels.
pub struct Convolution {
    window: Window,
    dilation: [usize; 2],
    groups: usize,
    pad_value: Vec<f32>,
    shape: Shape,
    tile: Tile,
    weights: Weights,
}

/// The weights in the order in which the loops read them.
enum Weights {
    /// Of each group, its panels: the biases, then one row per weight. Missing channels are zeros.
    Panels(Vec<Lanes>),
    /// One input channel per output channel: the biases, then one row of all channels per tap.
    Depthwise(Vec<f32>),
}

impl Convolution {
    /// Prepares a convolution with outputs of this shape.
    pub fn new(conv: &Conv, shape: Shape) -> Self {
        Self::with(conv, shape, Tile::best())
    }

    fn with(conv: &Conv, shape: Shape, tile: Tile) -> Self {
        let depthwise = conv.groups == shape.c && conv.pad_value.len() == shape.c;
        let weights = if depthwise { depthwise_rows(conv) } else { panels(conv, shape.c) };
        Self {
            window: conv.window,
            dilation: conv.dilation,
            groups: conv.groups,
            pad_value: conv.pad_value.clone(),
            shape,
            tile,
            weights,
        }
    }

    /// Computes the output, HWC, of an input of shape `from`.
    pub fn run(&self, x: &[f32], from: Shape) -> Vec<f32> {
        match &self.weights {
            Weights::Panels(panels) => self.run_panels(x, from, panels),
            Weights::Depthwise(rows) => self.run_depthwise(x, from, rows),
        }
    }

    /// Returns the input's values under each tap of the kernel at an output pixel, tap by tap.
    fn taps<'a>(&'a self, x: &'a [f32], from: Shape, at: usize) -> impl Iterator<Item = &'a [f32]> + 'a {
        let [height, width] = self.window.kernel;
        (0..height * width).map(move |tap| {
            let row = self.window.place(0, at / self.shape.w, tap / width, self.dilation[0], from.h);
            let column = self.window.place(1, at % self.shape.w, tap % width, self.dilation[1], from.w);
            match row.zip(column) {
                Some((row, column)) => &x[(row * from.w + column) * from.c..][..from.c],
                None => &self.pad_value,
            }
        })
    }

    fn run_panels(&self, x: &[f32], from: Shape, panels: &[Lanes]) -> Vec<f32> {
        let (inputs, outputs) = (from.c / self.groups, self.shape.c / self.groups);
        let depth = self.window.kernel[0] * self.window.kernel[1] * inputs;
        let pixels = self.tile.pixels();
        let mut y = vec![0.0; self.shape.len()];
        let mut rows = vec![0.0; pixels * depth];
        let mut sums = [Lanes([0.0; PANEL]); MOST_PIXELS];
        let per_group = outputs.div_ceil(PANEL) * (1 + depth);
        for first in (0..self.shape.pixels()).step_by(pixels) {
            let count = pixels.min(self.shape.pixels() - first);
            for (group, panels) in panels.chunks_exact(per_group).enumerate() {
                for (p, row) in rows.chunks_exact_mut(depth).take(count).enumerate() {
                    let taps = self.taps(x, from, first + p);
                    for (to, tap) in row.chunks_exact_mut(inputs).zip(taps) {
                        to.copy_from_slice(&tap[group * inputs..][..inputs]);
                    }
                }
                for (n, panel) in panels.chunks_exact(1 + depth).enumerate() {
                    let (bias, panel) = (panel[0], &panel[1..]);
                    sums[..pixels].fill(bias);
                    self.tile.run(&rows, panel, &mut sums[..pixels]);
                    let channel = n * PANEL;
                    let width = PANEL.min(outputs - channel);
                    for (p, sums) in sums[..count].iter().enumerate() {
                        let at = (first + p) * self.shape.c + group * outputs + channel;
                        y[at..at + width].copy_from_slice(&sums.0[..width]);
                    }
                }
            }
        }
        y
    }

    fn run_depthwise(&self, x: &[f32], from: Shape, rows: &[f32]) -> Vec<f32> {
        let (bias, rows) = rows.split_at(self.shape.c);
        let mut y = vec![0.0; self.shape.len()];
        for (at, sums) in y.chunks_exact_mut(self.shape.c).enumerate() {
            sums.copy_from_slice(bias);
            for (tap, weights) in self.taps(x, from, at).zip(rows.chunks_exact(self.shape.c)) {
                sums.iter_mut().zip(tap.iter().zip(weights)).for_each(|(sum, (x, w))| *sum += x * w);
            }
        }
        y
    }
}

fn panels(conv: &Conv, channels: usize) -> Weights {
    let depth = conv.weights.len() / channels.max(1);
    let outputs = channels / conv.groups;
    let mut panels = Vec::new();
    for group in 0..conv.groups {
        for first in (0..outputs).step_by(PANEL) {
            let row = |of: &dyn Fn(usize) -> f32| {
                let lane = |n| if first + n < outputs { of(group * outputs + first + n) } else { 0.0 };
                Lanes(std::array::from_fn(lane))
            };
            panels.push(row(&|channel| conv.bias[channel]));
            panels.extend((0..depth).map(|k| row(&|channel| conv.weights[channel * depth + k])));
        }
    }
    Weights::Panels(panels)
}

fn depthwise_rows(conv: &Conv) -> Weights {
    let taps = conv.window.kernel[0] * conv.window.kernel[1];
    let row = |tap: usize| conv.weights.iter().skip(tap).step_by(taps);
    Weights::Depthwise(conv.bias.iter().chain((0..taps).flat_map(row)).copied().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: one output after the other.
    fn reference(conv: &Conv, x: &[f32], from: Shape, to: Shape) -> Vec<f32> {
        let (inputs, outputs) = (from.c / conv.groups, to.c / conv.groups);
        let [height, width] = conv.window.kernel;
        let mut y = Vec::new();
        for (row, column, o) in
            (0..to.h).flat_map(|r| (0..to.w).flat_map(move |c| (0..to.c).map(move |o| (r, c, o))))
        {
            let mut sum = conv.bias[o];
            for (k, &w) in
                conv.weights[o * height * width * inputs..][..height * width * inputs].iter().enumerate()
            {
                let (tap, channel) = (k / inputs, o / outputs * inputs + k % inputs);
                let place = |at: usize, axis: usize, tap: usize, side: usize| {
                    let at = (at * conv.window.stride[axis] + tap * conv.dilation[axis]) as isize;
                    usize::try_from(at - conv.window.pad[axis] as isize).ok().filter(|&at| at < side)
                };
                let at = place(row, 0, tap / width, from.h).zip(place(column, 1, tap % width, from.w));
                let value =
                    at.map_or(conv.pad_value[channel], |(r, c)| x[(r * from.w + c) * from.c + channel]);
                sum += value * w;
            }
            y.push(sum);
        }
        y
    }

    proptest! {
        #[test]
        fn every_way_to_compute_it_has_the_bits_of_the_definition(
            (groups, inputs, outputs) in (1usize..4, 1usize..6, prop_oneof![1usize..3, 15usize..18, Just(33)]),
            (h, w) in (1usize..7, 1usize..7),
            kernel in prop::array::uniform2(1usize..4),
            stride in prop::array::uniform2(1usize..3),
            dilation in prop::array::uniform2(1usize..3),
            pad in prop::array::uniform4(0usize..3),
            depthwise: bool,
            seed: u64,
        ) {
            let (inputs, outputs) = if depthwise { (1, 1) } else { (inputs, outputs) };
            let groups = if depthwise { groups * 7 } else { groups };
            let window = Window { kernel, stride, pad };
            let Some([oh, ow]) = window.output([h, w], dilation) else { return Ok(()) };
            let from = Shape { h, w, c: groups * inputs };
            let to = Shape { h: oh, w: ow, c: groups * outputs };
            let mut state = seed;
            let mut numbers = |n: usize| -> Vec<f32> {
                (0..n).map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    ((state >> 40) as f32 - 8_388_608.0) / 1_000_000.0
                }).collect()
            };
            let conv = Conv {
                weights: numbers(to.c * kernel[0] * kernel[1] * inputs),
                bias: numbers(to.c),
                window,
                dilation,
                groups,
                pad_value: numbers(from.c),
            };
            let x = numbers(from.len());
            let expected: Vec<u32> = reference(&conv, &x, from, to).iter().map(|v| v.to_bits()).collect();
            for tile in Tile::available() {
                let got = Convolution::with(&conv, to, tile).run(&x, from);
                prop_assert_eq!(&got.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), &expected, "{:?}", tile);
            }
        }
    }
}
