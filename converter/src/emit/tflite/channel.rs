//! Weights and biases, channel by channel, with scales that TFLite can use.

use foldnet_archive::{Affine, Conv};

use crate::quantize::apart::{AFFINE_WEIGHT, Quantization};

/// Least factor from accumulator to int8 that can show: 2⁻³² of 2³¹ is half a step.
const LEAST: f32 = 1.0 / 4_294_967_296.0;

/// Of a convolution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// int8, OHWI.
    pub weights: Vec<i8>,
    /// Per output channel, positive.
    pub scale: Vec<f32>,
    /// int32.
    pub bias: Vec<i32>,
    /// Input scale times `scale`.
    pub bias_scale: Vec<f32>,
}

impl Channels {
    /// Of a convolution whose input has `x_channels` channels, quantized like `x` in the file; `unit` is the
    /// real value of `v = 1`.
    ///
    /// The scales follow from the multipliers, since these are what the plan computes with. `zeros` are the
    /// input's zero points per channel where they are not the file's: then every tap counts (what pads it is
    /// part of the input), and the bias makes up for them.
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

    /// `y = x·gain + offset`, one weight per channel; `from` and `to` are the scales of `x` and `y`.
    pub fn affine(a: &Affine, from: f32, to: f32) -> Self {
        let mut channels = Self::default();
        for (&gain, &offset) in a.gain.iter().zip(&a.offset) {
            let (gain, offset) = (f64::from(gain), f64::from(offset));
            // The bias must fit into 31 bits, and the factor must not vanish.
            let least = (offset.abs() / 1e9).max(f64::from(LEAST));
            let factor = (gain.abs() / f64::from(AFFINE_WEIGHT)).max(least);
            let weight = (gain / factor).round() as i8;
            let bias = (offset / factor).round_ties_even() as i32;
            channels.push(&[weight], bias, factor as f32, from, to);
        }
        channels
    }

    /// A channel with the factor `multiplier` from its accumulator to units of `unit`.
    fn push(&mut self, weights: &[i8], bias: i32, multiplier: f32, x_scale: f32, unit: f32) {
        // TFLite wants positive scales.
        let sign = if multiplier.abs() < LEAST { 0 } else { multiplier.signum() as i32 };
        self.weights.extend(weights.iter().map(|&w| (i32::from(w) * sign) as i8));
        self.bias.push(bias.wrapping_mul(sign));
        let scale = multiplier.abs().max(LEAST) * unit / x_scale;
        self.scale.push(scale);
        self.bias_scale.push(scale * x_scale);
    }

    /// Returns the weights as HWO, for filters that each see one channel.
    pub fn channels_last(mut self) -> Self {
        let (outputs, depth) = (self.bias.len(), self.weights.len() / self.bias.len());
        let place = |i: usize| self.weights[i % outputs * depth + i / outputs];
        self.weights = (0..self.weights.len()).map(place).collect();
        self
    }
}
