//! Derives the input's statistics from those of a trained first layer.
//!
//! A batch normalization after the first convolution has measured the convolution's outputs. For an input with
//! mean `m` and deviation `s` in every colour, channel `c` with the weights `w` and the bias `b` has
//!
//! ```text
//! mean(c)     = m · Σw + b
//! variance(c) = s² · wᵀ·R·w      R: how pixels of photographs correlate, by distance and colour
//! ```
//!
//! so one number each determines both from the weights. They are believed only if they explain most of the
//! differences between the channels: in an untrained network they explain nothing.
//!
//! Exporters fold the normalization into the convolution, which leaves `b = β − m·Σw` with a `β` that is
//! independent of the weights. In this case the biases are evidence if they fall with the weights' sums, that is,
//! if the input is far from centred; biases that do not fall prove nothing.

use std::collections::HashMap;
use std::fmt;

use super::inside::Chain;
use super::readers_of;
use crate::graph::{Conv, Graph, Op};
use crate::import::BatchNorm;

/// The smallest number of channels for useful statistics.
const LEAST_CHANNELS: usize = 8;
/// The smallest number of biases for useful statistics.
const LEAST_BIASES: usize = 16;
/// The smallest correlation between measured and expected variances, of their logarithms.
const LEAST_CORRELATION: f64 = 0.75;
/// The smallest share of the biases' variance that the weights' sums must explain.
const LEAST_SHARE: f64 = 0.6;
/// The correlation of neighbouring pixels, and of colours.
const NEIGHBOURS: f64 = 0.94;
const COLOURS: f64 = 0.93;

/// The mean and deviation of photographs after each preprocessing.
const USUAL: [(&str, f64, f64); 5] = [
    ("none", 115.0, 66.0),
    ("0-1", 0.45, 0.26),
    ("tf", -0.1, 0.52),
    ("torch", 0.0, 1.15),
    ("caffe", 0.0, 66.0),
];

/// The statistics that were found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Numbers {
    /// The input's mean and deviation.
    Both {
        /// The mean.
        mean: f64,
        /// The deviation.
        deviation: f64,
    },
    /// The input's mean, which is not zero.
    Mean(f64),
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both { mean, deviation } => write!(
                f,
                "the first layer's statistics are of inputs with mean {mean:.2} and deviation {deviation:.2}"
            ),
            Self::Mean(mean) => write!(f, "the first layer's biases are for inputs with mean {mean:.2}"),
        }
    }
}

impl Numbers {
    /// Returns the usual preprocessings that agree with the statistics, the nearest first.
    pub fn fitting(&self, channels: usize) -> Vec<&'static str> {
        let usual = USUAL.iter().filter(|(name, ..)| channels == 3 || !matches!(*name, "torch" | "caffe"));
        let mut fits: Vec<(f64, &str)> = match *self {
            Self::Both { mean, deviation } => usual
                .map(|&(name, m, s)| {
                    let scale = libm::log(deviation / s) / libm::log(1.9);
                    let centre = (mean / deviation - m / s) / 0.7;
                    (scale * scale + centre * centre, name)
                })
                .filter(|(distance, _)| *distance < 3.0)
                .collect(),
            Self::Mean(mean) => usual
                .filter(|(_, m, _)| *m > 0.0 && (0.5..2.0).contains(&(mean / m)))
                .map(|&(name, m, _)| (libm::log(mean / m).abs(), name))
                .collect(),
        };
        fits.sort_by(|a, b| a.0.total_cmp(&b.0));
        fits.into_iter().map(|(_, name)| name).collect()
    }
}

/// Examines the first convolution and the node after it.
pub fn measure(graph: &Graph, chain: &Chain, norms: &HashMap<String, BatchNorm>) -> Option<Numbers> {
    let convs = readers_of(graph, chain.end);
    let (id, conv) = convs.iter().find_map(|&id| match &graph.nodes[id].op {
        Op::Conv(conv) if conv.groups == 1 => Some((id, conv)),
        _ => None,
    })?;
    let follower = match readers_of(graph, id)[..] {
        [only] => Some(&graph.nodes[only]),
        _ => None,
    };
    if let Some(norm) = follower.and_then(|node| norms.get(&node.name)) {
        return from_norm(conv, norm);
    }
    match follower.map(|node| &node.op) {
        Some(Op::Affine { gain, offset }) => from_biases(conv, gain, offset),
        _ => from_biases(conv, &vec![1.0; conv.bias.len()], &vec![0.0; conv.bias.len()]),
    }
}

/// Returns, per output channel, the sum of the weights and `wᵀ·R·w`.
fn expected(conv: &Conv) -> Vec<(f64, f64)> {
    let [rows, columns] = conv.window.kernel;
    let colours = conv.pad_value.len();
    let near: Vec<f64> = (0..rows * columns)
        .map(|i| libm::pow(NEIGHBOURS, libm::hypot((i / columns) as f64, (i % columns) as f64)))
        .collect();
    let expect = |filter: &[f32]| {
        let (mut sum, mut energy) = (0.0, 0.0);
        for (i, &a) in filter.iter().enumerate() {
            sum += f64::from(a);
            let (y, x, c) = (i / (columns * colours), i / colours % columns, i % colours);
            for (j, &b) in filter.iter().enumerate() {
                let (v, u, d) = (j / (columns * colours), j / colours % columns, j % colours);
                let colour = if c == d { 1.0 } else { COLOURS };
                energy +=
                    f64::from(a) * f64::from(b) * near[y.abs_diff(v) * columns + x.abs_diff(u)] * colour;
            }
        }
        (sum, energy)
    };
    conv.weights.chunks_exact(rows * columns * colours).map(expect).collect()
}

fn from_norm(conv: &Conv, norm: &BatchNorm) -> Option<Numbers> {
    let mut points = Vec::new(); // ln expected, ln measured
    let (mut weighted, mut squares) = (0.0, 0.0);
    for ((sum, energy), ((&mean, &variance), &bias)) in
        expected(conv).into_iter().zip(norm.mean.iter().zip(&norm.variance).zip(&conv.bias))
    {
        let variance = f64::from(variance);
        if energy > 0.0 && variance > 0.0 {
            points.push((libm::log(energy), libm::log(variance)));
            // The weight is the inverse of the uncertainty of the channel's mean.
            weighted += sum * (f64::from(mean) - f64::from(bias)) / variance;
            squares += sum * sum / variance;
        }
    }
    if points.len() < LEAST_CHANNELS || squares <= 0.0 || correlation(&points)? < LEAST_CORRELATION {
        return None;
    }
    let log: f64 = points.iter().map(|(x, y)| y - x).sum::<f64>() / points.len() as f64;
    Some(Numbers::Both { mean: weighted / squares, deviation: libm::exp(log / 2.0) })
}

fn from_biases(conv: &Conv, gain: &[f32], offset: &[f32]) -> Option<Numbers> {
    let filters = conv.weights.chunks_exact(conv.weights.len() / conv.bias.len().max(1));
    let points: Vec<(f64, f64)> = filters
        .zip(&conv.bias)
        .zip(gain.iter().zip(offset))
        .map(|((filter, &bias), (&g, &o))| {
            let sum: f64 = filter.iter().map(|&w| f64::from(w)).sum();
            (sum * f64::from(g), f64::from(bias) * f64::from(g) + f64::from(o))
        })
        .collect();
    if points.len() < LEAST_BIASES {
        return None;
    }
    let r = correlation(&points)?;
    let slope = r * (variance(points.iter().map(|p| p.1)) / variance(points.iter().map(|p| p.0))).sqrt();
    (r < 0.0 && r * r >= LEAST_SHARE).then_some(Numbers::Mean(-slope))
}

fn variance(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    values.map(|v| (v - mean) * (v - mean)).sum::<f64>() / n
}

/// Returns Pearson's correlation, or `None` if one of the two does not vary.
fn correlation(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let (xx, yy) = (sum(&|p| (p.0 - x).powi(2)), sum(&|p| (p.1 - y).powi(2)));
    let r = sum(&|p| (p.0 - x) * (p.1 - y)) / (xx * yy).sqrt();
    r.is_finite().then_some(r)
}
