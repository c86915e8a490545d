//! How features are compared.
//!
//! The converter may have scaled each channel of the features by a factor of its own, which the last layer's weights
//! take back. So a channel counts as much as the last layer lets it: by the spread of its weights over the classes.
//! What is left of the features is their direction, as a vector of length [`ONE`].

use foldnet::Quantized;
use foldnet_archive::{Conv, Network, OutputKind, Step};

use crate::error::TeachError;

/// The length of a direction.
pub(crate) const ONE: i32 = 1 << 14;
/// The squared length of a direction: the unit of distances.
pub(crate) const ONE_SQUARED: u32 = 1 << 28;
/// The greatest squared length of a direction or of a mean of such, after rounding: a distance is then below 2³¹.
pub(crate) const MAX_NORM: u32 = 16_640 * 16_640;
/// The most features.
pub const MAX_FEATURES: usize = 1 << 16;

/// How much each feature counts, and where its zero is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    pub(crate) zero: i8,
    pub(crate) scales: Vec<u16>,
}

impl Metric {
    /// That of a network that ends in a dense layer.
    pub fn of(network: &Network) -> Result<Self, TeachError> {
        let quantized = Quantized::features(network).ok_or(TeachError::NoFeatures)?;
        let writer = |tensor| network.steps.iter().find(|step| step.outputs().contains(&tensor));
        let last = match writer(network.logits) {
            // Scores that the dense layer rounds, see `Quantized::features`.
            Some(Step::Dequantize(d)) => writer(d.x),
            last => last,
        };
        let Some(Step::Conv(conv)) = last else { return Err(TeachError::NoFeatures) };
        let weights = weights(network, conv);
        let count = network.shape(conv.x).len();
        if count > MAX_FEATURES {
            return Err(TeachError::TooManyFeatures(count));
        }
        let outputs = weights.len() / count;
        // A softmax does not see what all of its classes have in common.
        let relative = OutputKind::of(network.activation, outputs) == OutputKind::Softmax;
        let spread = |feature: usize| {
            let column = || weights.iter().skip(feature).step_by(count);
            let mean = if relative { column().sum::<f64>() / outputs as f64 } else { 0.0 };
            let squares: f64 = column().map(|w| (w - mean) * (w - mean)).sum();
            (squares / outputs as f64).sqrt()
        };
        let spreads: Vec<f64> = (0..count).map(spread).collect();
        let most = spreads.iter().copied().fold(0.0, f64::max);
        if most == 0.0 {
            return Err(TeachError::NoFeatures);
        }
        let scales = spreads.iter().map(|s| (s / most * f64::from(u16::MAX)).round() as u16).collect();
        Ok(Self { zero: quantized.zero, scales })
    }

    /// The number of features.
    #[allow(clippy::len_without_is_empty)] // it is never empty
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// The direction of an image's features, a vector of length [`ONE`]; zeros where every feature is zero.
    pub(crate) fn direction(&self, features: &[i8], to: &mut [i16]) {
        let scaled = |(&q, &scale): (&i8, &u16)| (i64::from(q) - i64::from(self.zero)) * i64::from(scale);
        let squares: u64 =
            features.iter().zip(&self.scales).map(scaled).map(|p| p.unsigned_abs().pow(2)).sum();
        if squares == 0 {
            to.fill(0);
            return;
        }
        // Short vectors are made longer first, so that the root keeps 31 bits.
        let shift = squares.leading_zeros() & !1;
        let length = (squares << shift).isqrt() as i64;
        for (to, p) in to.iter_mut().zip(features.iter().zip(&self.scales).map(scaled)) {
            let p = p << (shift / 2);
            *to = ((p * i64::from(ONE) + p.signum() * (length / 2)) / length) as i16;
        }
    }
}

/// The last layer's weights, one row of all features for each output, in the same unit.
fn weights(network: &Network, conv: &Conv) -> Vec<f64> {
    let x = network.shape(conv.x);
    let outputs = conv.multiplier.len();
    let (per_group, outputs_per_group) = (x.c / conv.groups, outputs / conv.groups);
    let mut all = vec![0.0; outputs * x.len()];
    for (output, row) in all.chunks_exact_mut(x.len()).enumerate() {
        let first = output / outputs_per_group * per_group;
        for (ky, kx) in (0..conv.kernel[0]).flat_map(|ky| (0..conv.kernel[1]).map(move |kx| (ky, kx))) {
            let place = |k: usize, axis: usize, size: usize| {
                (k * conv.dilation[axis]).checked_sub(conv.pad[axis]).filter(|&at| at < size)
            };
            let (Some(row_of_x), Some(column)) = (place(ky, 0, x.h), place(kx, 1, x.w)) else { continue };
            let tap = (output * conv.kernel[0] + ky) * conv.kernel[1] + kx;
            for channel in 0..per_group {
                let weight = f64::from(conv.weights[tap * per_group + channel]);
                let at = (row_of_x * x.w + column) * x.c + first + channel;
                row[at] = weight * f64::from(conv.multiplier[output]);
            }
        }
    }
    all
}

/// The squared length of a direction or a mean.
pub(crate) fn norm(x: &[i16]) -> u32 {
    dot(x, x) as u32
}

/// The inner product of two vectors that are no longer than [`MAX_NORM`] allows, so that no sum overflows.
pub(crate) fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).fold(0, i32::wrapping_add)
}

/// The squared distance of two vectors with these squared lengths.
pub(crate) fn distance(a: &[i16], a_norm: u32, b: &[i16], b_norm: u32) -> u32 {
    (a_norm as i32).wrapping_add(b_norm as i32).wrapping_sub(dot(a, b).wrapping_mul(2)) as u32
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::{every_step, every_step_without_a_dense_layer, resnet8};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_networks_with_a_dense_layer_have_one() {
        let metric = Metric::of(&resnet8()).unwrap();
        assert_eq!((metric.len(), metric.zero, metric.scales.iter().max()), (64, -128, Some(&u16::MAX)));
        assert_eq!(Metric::of(&every_step()).unwrap().len(), 5);
        let without = Metric::of(&every_step_without_a_dense_layer());
        assert!(matches!(without, Err(TeachError::NoFeatures)));
    }

    #[test]
    fn rounded_scores_change_nothing() {
        let network = resnet8();
        let mut rounded = network.clone();
        let logits = rounded.logits;
        rounded.tensors[logits].scale = 0.1;
        let rounded = foldnet_archive::testing::end(rounded);
        rounded.validate().unwrap();
        assert_eq!(Metric::of(&rounded), Metric::of(&network));
    }

    #[test]
    fn what_the_last_layer_does_not_tell_apart_does_not_count() {
        let mut network = resnet8();
        let Some(Step::Conv(last)) = network.steps.last_mut() else { unreachable!("a dense layer") };
        last.multiplier.fill(0.01);
        for (i, weight) in last.weights.iter_mut().enumerate() {
            *weight = match (i % 64, i / 64) {
                (0, _) => 50,
                (1, class) => class as i8,
                (2, class) => 2 * class as i8,
                _ => 0,
            };
        }
        let metric = Metric::of(&network).unwrap();
        assert_eq!(metric.scales[..4], [0, u16::MAX / 2 + 1, u16::MAX, 0]);
    }

    #[test]
    fn factors_that_the_last_layer_takes_back_change_nothing() {
        let metric = Metric { zero: 3, scales: vec![400, 800, 1200, 6] };
        let other = Metric { zero: -5, scales: vec![200, 1600, 400, 6] };
        let (mut a, mut b) = ([0; 4], [0; 4]);
        metric.direction(&[13, 11, 23, 103], &mut a);
        other.direction(&[15, -1, 55, 95], &mut b);
        assert_eq!(a, b);
    }

    proptest! {
        #[test]
        fn directions_have_length_one_and_distances_do_not_overflow(
            scales in proptest::collection::vec(0u16.., 1..300),
            zero in any::<i8>(),
            seed in any::<u64>(),
        ) {
            let metric = Metric { zero, scales };
            let features = |salt: u64| -> Vec<i8> {
                (0..metric.len() as u64).map(|i| (seed.wrapping_add(salt).wrapping_mul(2 * i + 1) >> 31) as i8).collect()
            };
            let (mut a, mut b) = (vec![0; metric.len()], vec![0; metric.len()]);
            metric.direction(&features(1), &mut a);
            metric.direction(&features(77), &mut b);
            for x in [&a, &b] {
                let length = f64::from(norm(x)).sqrt();
                // Rounding moves each of the numbers by a half at most, and the root by less than one.
                let bound = (metric.len() as f64).sqrt() / 2.0 + 1.0;
                prop_assert!(norm(x) == 0 || (length - f64::from(ONE)).abs() <= bound, "{length}");
            }
            let exact: i64 = a.iter().zip(&b).map(|(&a, &b)| (i64::from(a) - i64::from(b)).pow(2)).sum();
            prop_assert_eq!(i64::from(distance(&a, norm(&a), &b, norm(&b))), exact);
        }
    }

    #[test]
    fn the_largest_vectors_do_not_overflow() {
        let metric = Metric { zero: -128, scales: vec![u16::MAX; MAX_FEATURES] };
        let mut to = vec![0; MAX_FEATURES];
        metric.direction(&vec![127; MAX_FEATURES], &mut to);
        assert_eq!(to[0], 64);
        let metric = Metric { zero: 0, scales: vec![1, 0] };
        metric.direction(&[1, 9], &mut to[..2]);
        assert_eq!(to[..2], [ONE as i16, 0]);
        metric.direction(&[0, 9], &mut to[..2]);
        assert_eq!(to[..2], [0, 0]);
    }
}
