//! How far a quantized network's answers are from the float network's.

use foldnet::Session;
use foldnet_archive::{Activation, Network};

use super::QuantizeError;
use crate::calibrate::in_lanes;

/// Logits of every picture, on all cores; the same on every machine, since the kernels are exact.
pub fn logits(network: &Network, pictures: &[Vec<u8>]) -> Result<Vec<Vec<f32>>, QuantizeError> {
    let lanes = std::thread::available_parallelism().map_or(1, usize::from).min(pictures.len().max(1));
    let results = in_lanes(lanes, |lane| {
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
        Ok(pictures.iter().skip(lane).step_by(lanes).map(|p| session.run(p).to_vec()).collect())
    });
    let results = results.into_iter().collect::<Result<Vec<Vec<Vec<f32>>>, QuantizeError>>()?;
    Ok((0..pictures.len()).map(|i| results[i % lanes][i / lanes].clone()).collect())
}

/// What separates two networks' answers to the same pictures.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Distance {
    /// Pictures compared.
    pub images: usize,
    /// Share with the same top-1.
    pub agreement: f64,
    /// Mean over pictures of `Σ p·ln(p/q)`, p and q the softmax of the logits (or, for sigmoid, the sum
    /// over classes of the binary divergence).
    pub kl: f64,
    /// Signal to noise of the logits in dB: `10·log10(Σ (a − mean a)² / Σ (a − b)²)`, both centred per
    /// picture.
    pub sqnr: f64,
    /// Of the pictures with another top-1, the greatest lead that the true one had over the other: the
    /// difference of their softmax. None where no picture has another.
    pub lost_lead: Option<f64>,
}

impl Distance {
    /// From the true logits and the others.
    pub fn between(truth: &[Vec<f32>], other: &[Vec<f32>], activation: Activation) -> Self {
        let n = truth.len();
        let (mut same, mut kl, mut signal, mut noise) = (0, 0.0, 0.0, 0.0);
        let mut lost_lead: Option<f64> = None;
        for (a, b) in truth.iter().zip(other) {
            let (first, others) = (top(a), top(b));
            same += usize::from(first == others);
            if first != others {
                let p = log_softmax(a);
                let lead = p[first].exp() - p[others].exp();
                lost_lead = Some(lost_lead.unwrap_or(0.0).max(lead));
            }
            kl += match activation {
                Activation::Sigmoid => a.iter().zip(b).map(|(&a, &b)| binary_kl(a, b)).sum(),
                _ => divergence(a, b),
            };
            let (ma, mb) = (mean(a), mean(b));
            for (&a, &b) in a.iter().zip(b) {
                let (a, b) = (f64::from(a) - ma, f64::from(b) - mb);
                signal += a * a;
                noise += (a - b) * (a - b);
            }
        }
        let share = |v: f64| if n == 0 { 0.0 } else { v / n as f64 };
        Self { images: n, agreement: share(same as f64), kl: share(kl), sqnr: sqnr(signal, noise), lost_lead }
    }
}

/// `10·log10(signal / noise)`, bounded where one of them is zero.
pub fn sqnr(signal: f64, noise: f64) -> f64 {
    if noise <= 0.0 { 200.0 } else { (10.0 * (signal / noise).log10()).clamp(-200.0, 200.0) }
}

/// Index of the largest, the first of equals.
pub fn top(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}

fn mean(v: &[f32]) -> f64 {
    v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len().max(1) as f64
}

fn log_softmax(v: &[f32]) -> Vec<f64> {
    let max = v.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
    let sum: f64 = v.iter().map(|&v| (f64::from(v) - max).exp()).sum();
    v.iter().map(|&v| f64::from(v) - max - sum.ln()).collect()
}

fn divergence(a: &[f32], b: &[f32]) -> f64 {
    log_softmax(a).iter().zip(log_softmax(b)).map(|(a, b)| a.exp() * (a - b)).sum::<f64>().max(0.0)
}

fn binary_kl(a: f32, b: f32) -> f64 {
    divergence(&[a, 0.0], &[b, 0.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_answers_are_at_no_distance() {
        let a = vec![vec![1.0, 2.0, -3.0], vec![0.0, 0.5, 9.0]];
        let d = Distance::between(&a, &a, Activation::Softmax);
        assert_eq!((d.agreement, d.kl, d.sqnr, d.lost_lead), (1.0, 0.0, 200.0, None));
    }

    #[test]
    fn a_common_shift_is_no_error() {
        let (a, b) = (vec![vec![1.0, 2.0]], vec![vec![2.0, 3.0]]);
        let d = Distance::between(&a, &b, Activation::Softmax);
        assert!(d.kl < 1e-12 && d.sqnr > 100.0);
    }

    #[test]
    fn a_flip_is_seen() {
        let (a, b) = (vec![vec![1.0, 2.0]], vec![vec![2.0, 1.0]]);
        let d = Distance::between(&a, &b, Activation::Softmax);
        assert!(d.agreement == 0.0 && d.kl > 0.4 && d.sqnr < 0.0, "{d:?}");
    }

    #[test]
    fn a_lost_lead_is_the_greatest_and_counts_flips_alone() {
        // Leads of 3/5 − 1/5, 1/2 − 1/4 (to the class that wins instead, not to the second), and one that stays.
        let truth = [[3.0_f32, 1.0, 1.0], [1.0, 4.0, 3.0], [9.0, 1.0, 1.0]].map(|v| v.map(f32::ln).to_vec());
        let other = [[1.0_f32, 3.0, 1.0], [5.0, 4.0, 3.0], [8.0, 1.0, 1.0]].map(|v| v.map(f32::ln).to_vec());
        let lead = |n: usize| Distance::between(&truth[n..], &other[n..], Activation::Softmax).lost_lead;
        assert!((lead(0).unwrap() - 0.4).abs() < 1e-6 && (lead(1).unwrap() - 0.375).abs() < 1e-6);
        assert_eq!(lead(2), None);
    }
}
