//! Weights and biases, channel by channel, with scales that TFLite supports.

use foldnet_archive::{Affine, Conv};

use crate::quantize::apart::{AFFINE_WEIGHT, Quantization};

/// The smallest visible factor from accumulator to int8: 2⁻³² of 2³¹ is half a step.
const LEAST: f32 = 1.0 / 4_294_967_296.0;

/// The weights and biases of a convolution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// The int8 weights, OHWI.
    pub weights: Vec<i8>,
    /// The scale per output channel, positive.
    pub scale: Vec<f32>,
    /// The int32 biases.
    pub bias: Vec<i32>,
    /// The input scale times `scale`.
    pub bias_scale: Vec<f32>,
}

impl Channels {
    /// Converts a convolution whose input has `x_channels` channels, quantized like `x` in the file; `unit` is the
    /// real value of `v = 1`.
    ///
    /// The scales follow from the multipliers, since the plan computes with these. `zeros` are the input's zero
    /// points per channel if they are not the file's. In this case every tap counts (the padding is part of the
    /// input), and the bias compensates for them.
    pub fn conv(c: &Conv, x_channels: usize, x: Quantization, unit: f32, zeros: &[i8]) -> Self {
        let (outputs, per_group) = (c.bias.len(), x_channels / c.groups);
        let depth = c.weights.len() / outputs;
        let mut channels = Self::default();
        for (o, weights) in c.weights.chunks_exact(depth).enumerate() {
            let first = o / (outputs / c.groups) * per_group;
            let off = |i: usize| {
                let own = zeros.get(first + i % per_group).unwrap_or(&x.zero);
                i32::from(x.zero) - i32::from(*own)
            };
            let shift = |bias: i32, (i, &w): (usize, &i8)| bias.wrapping_add(off(i) * i32::from(w));
            let bias = weights.iter().enumerate().fold(c.bias[o], shift);
            channels.push(weights, bias, c.multiplier[o], x.scale, unit);
        }
        channels
    }

    /// Converts `y = x·gain + offset`, one weight per channel; `from` and `to` are the scales of `x` and `y`.
    pub fn affine(a: &Affine, from: f32, to: f32) -> Self {
        let mut channels = Self::default();
        for (&gain, &offset) in a.gain.iter().zip(&a.offset) {
            let (gain, offset) = (f64::from(gain), f64::from(offset));
            // The bias must fit into 31 bits, and the factor must not become zero.
            let least = (offset.abs() / 1e9).max(f64::from(LEAST));
            let factor = (gain.abs() / f64::from(AFFINE_WEIGHT)).max(least);
            let weight = (gain / factor).round() as i8;
            let bias = (offset / factor).round_ties_even() as i32;
            channels.push(&[weight], bias, factor as f32, from, to);
        }
        channels
    }

    /// Adds a channel with the factor `multiplier` from its accumulator to units of `unit`.
    fn push(&mut self, weights: &[i8], bias: i32, multiplier: f32, x_scale: f32, unit: f32) {
        // TFLite requires positive scales.
        let sign = if multiplier.abs() < LEAST { 0 } else { multiplier.signum() as i32 };
        self.weights.extend(weights.iter().map(|&w| (i32::from(w) * sign) as i8));
        self.bias.push(bias.wrapping_mul(sign));
        let scale = multiplier.abs().max(LEAST) * unit / x_scale;
        self.scale.push(scale);
        self.bias_scale.push(scale * x_scale);
    }

    /// Returns the weights as HWO, for filters that each read one channel.
    pub fn channels_last(mut self) -> Self {
        let (outputs, depth) = (self.bias.len(), self.weights.len() / self.bias.len());
        let place = |i: usize| self.weights[i % outputs * depth + i / outputs];
        self.weights = (0..self.weights.len()).map(place).collect();
        self
    }
}
