//! Chooses the ranges of values that the NPU rounds and our network does not.
//!
//! Our network rounds the sum of a convolution and its residual once; the NPU rounds the convolution first. With
//! the full range of these values, its steps would be two or three times those of the sum: a ReLU after the sum
//! clips most negative values, and few values are large. So the chosen range is the one with which the int8
//! results of the step are closest to ours, on a sample of values from images.

use foldnet::{Session, SessionError};
use foldnet_archive::{Conv, Network, Out, PIXELS, Step};
use foldnet_kernels::reference::{ConvResult, conv};
use foldnet_kernels::{ConvDesc, ConvOutput, ConvScalars, ConvWeights, Requant};

use super::{Quantization, has_parts};
use crate::image::Pixels;

/// The approximate number of values of a layer that are tried, over all images.
const SAMPLES: usize = 200_000;
/// The fractions of the lowest and of the highest value that are tried, in twentieths.
const PARTS: std::ops::RangeInclusive<u8> = 2..=20;

/// The scales and zero points of values that have none in the network.
pub struct Ranges(pub(super) Vec<Range>);

/// The quantization of one step's values.
#[derive(Clone, Copy, Default)]
pub(super) struct Range {
    /// A convolution before its residual.
    pub bare: Option<Quantization>,
    /// The input of an affine map, if it is a separate sum.
    pub sum: Option<Quantization>,
}

/// One value of a convolution and its results, as real values.
struct Sample {
    bare: f32,
    skip: f32,
    /// The int8 value of the sum.
    y: Option<i8>,
    /// The int8 value of the affine map, and its channel.
    mapped: Option<(i8, usize)>,
}

impl Ranges {
    /// Measures the values on images (u8, HWC).
    pub fn measure(network: &Network, images: &[Pixels]) -> Result<Self, SessionError> {
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 0)?;
        let mut sampled: Vec<Vec<Sample>> = network.steps.iter().map(|_| Vec::new()).collect();
        for pixels in images {
            let mut tensors: Vec<Vec<i8>> = vec![Vec::new(); network.tensors.len()];
            tensors[PIXELS] = pixels.values().iter().map(|&p| (i16::from(p) - 128) as i8).collect();
            session.run_traced(pixels.values(), |step, outputs| {
                for (id, values) in network.steps[step].outputs().into_iter().zip(outputs) {
                    tensors[id] = values;
                }
            });
            for (step, values) in network.steps.iter().zip(&mut sampled) {
                match step {
                    Step::Conv(c) if has_parts(network, c) => {
                        sample(network, c, &tensors, images.len(), values);
                    }
                    _ => {}
                }
            }
        }
        let range = |(step, values): (&Step, &Vec<Sample>)| match step {
            Step::Conv(c) if !values.is_empty() => Layer { network, conv: c, values }.range(),
            _ => Range::default(),
        };
        Ok(Self(network.steps.iter().zip(&sampled).map(range).collect()))
    }
}

fn sample(network: &Network, c: &Conv, tensors: &[Vec<i8>], images: usize, values: &mut Vec<Sample>) {
    let unit = unit(network, c);
    let bare = without_skip(network, c, &tensors[c.x]);
    let channels = c.bias.len();
    // The stride is odd, so that all channels are sampled.
    let stride = (bare.len() * images / SAMPLES) | 1;
    let skip = c.skip.map(|(id, m)| (&tensors[id], f32::from(network.tensors[id].zero), m));
    for i in (0..bare.len()).step_by(stride) {
        values.push(Sample {
            bare: bare[i] * unit,
            skip: skip.map_or(0.0, |(q, zero, m)| (f32::from(q[i]) - zero) * m * unit),
            y: c.y.map(|y| tensors[y.tensor][i]),
            mapped: c.affine.as_ref().map(|a| (tensors[a.out.tensor][i], i % channels)),
        });
    }
}

struct Layer<'a> {
    network: &'a Network,
    conv: &'a Conv,
    values: &'a [Sample],
}

impl Layer<'_> {
    fn range(&self) -> Range {
        let bare = self.conv.skip.is_some().then(|| {
            best(self.values.iter().map(|v| v.bare), |range| {
                self.values.iter().map(|v| self.error(v, range.rounded(v.bare) + v.skip, true)).sum()
            })
        });
        let summed = |v: &Sample| bare.map_or(v.bare, |bare| bare.rounded(v.bare)) + v.skip;
        let sum = reads_sum(self.conv).then(|| {
            best(self.values.iter().map(summed), |range| {
                self.values.iter().map(|v| self.error(v, range.rounded(summed(v)), false)).sum()
            })
        });
        Range { bare, sum }
    }

    /// Returns the squared distance from our int8 results, in their steps, for this sum.
    fn error(&self, value: &Sample, sum: f32, with_y: bool) -> f64 {
        let distance = |out: Out, real: f32, ours: i8| {
            let tensor = &self.network.tensors[out.tensor];
            let to = Quantization { scale: tensor.scale, zero: tensor.zero };
            f64::from(to.quantize(real, out.lo, out.hi) - f32::from(ours)).powi(2)
        };
        let y = match (self.conv.y, value.y) {
            (Some(out), Some(ours)) if with_y => distance(out, sum, ours),
            _ => 0.0,
        };
        let mapped = match (&self.conv.affine, value.mapped) {
            (Some(a), Some((ours, c))) => {
                let step = self.network.tensors[a.out.tensor].scale;
                let v = sum / unit(self.network, self.conv);
                distance(a.out, (v * a.gain[c] + a.offset[c]) * step, ours)
            }
            _ => 0.0,
        };
        y + mapped
    }
}

/// Returns the range with the smallest error among fractions of the whole.
fn best(values: impl Iterator<Item = f32>, error: impl Fn(Quantization) -> f64) -> Quantization {
    let (lo, hi) = values.fold((0.0_f32, 0.0_f32), |(lo, hi), v| (lo.min(v), hi.max(v)));
    let mut best = (f64::INFINITY, Quantization::covering(lo, hi));
    let part = |whole: f32, twentieths: u8| whole * f32::from(twentieths) / 20.0;
    for range in PARTS.flat_map(|a| PARTS.map(move |b| Quantization::covering(part(lo, a), part(hi, b)))) {
        let error = error(range);
        if error < best.0 {
            best = (error, range);
        }
    }
    best.1
}

/// Returns whether the affine map after a convolution reads a separate sum and not the step's first output.
fn reads_sum(c: &Conv) -> bool {
    c.affine.is_some() && (c.skip.is_some() || c.y.is_none())
}

/// Returns the real value of `v = 1`.
fn unit(network: &Network, c: &Conv) -> f32 {
    match (c.y, &c.affine) {
        (Some(y), _) => network.tensors[y.tensor].scale,
        (None, Some(a)) => network.tensors[a.out.tensor].scale,
        (None, None) => 1.0,
    }
}

/// Computes `v` of a convolution without its residual.
fn without_skip(network: &Network, c: &Conv, x: &[i8]) -> Vec<f32> {
    let described = network.conv_desc(c).expect("a network that has been compiled");
    let desc = ConvDesc { skip: false, output: ConvOutput::Float32, ..described };
    let x_zero: Vec<i8> =
        if c.x == PIXELS { network.pixel_zero.clone() } else { vec![network.tensors[c.x].zero] };
    let weights = ConvWeights {
        weights: &c.weights,
        bias: &c.bias,
        multiplier: &c.multiplier,
        x_zero: &x_zero,
        gain: &[],
        offset: &[],
    };
    let none = Requant::full(0);
    let scalars =
        ConvScalars { x_zero: [x_zero[0]; 4], skip_zero: 0, skip_multiplier: 0.0, y: none, y2: none };
    let mut logits = vec![0.0; desc.y.len()];
    conv(&desc, &weights, &scalars, x, &[], ConvResult { y: &mut [], y2: &mut [], logits: &mut logits });
    logits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_covers_its_ends_and_zero() {
        let range = Quantization::covering(-3.0, 7.2);
        assert_eq!((range.scale, range.zero), (0.04, -53));
        assert_eq!(range.rounded(0.0), 0.0);
        assert!((range.rounded(7.19) - 7.2).abs() < 1e-5 && (range.rounded(-9.0) + 3.0).abs() < 1e-5);
        assert_eq!(Quantization::covering(1.0, 2.55), Quantization { scale: 0.01, zero: -128 });
    }

    #[test]
    fn what_is_cut_off_anyway_costs_no_steps() {
        // After a ReLU all values below zero are equal, so the range needs no room for them.
        let values: Vec<f32> = (-1000..=500).map(|v| v as f32 / 100.0).collect();
        let to = Quantization::covering(0.0, 5.0);
        let relu = |v: f32| to.quantize(v, -128, 127);
        let error = |range: Quantization| {
            values.iter().map(|&v| f64::from(relu(range.rounded(v)) - relu(v)).powi(2)).sum::<f64>()
        };
        let found = best(values.iter().copied(), error);
        assert!(found.scale < 0.6 * Quantization::covering(-10.0, 5.0).scale, "{found:?}");
        assert!(error(found) < 0.6 * error(Quantization::covering(-10.0, 5.0)));
    }
}
