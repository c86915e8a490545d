//! Error per layer.

use std::collections::BTreeMap;

use crate::quantize::score::sqnr;

/// Running sums for one tensor, per channel.
///
/// Signal to noise after the gain per channel that fits best, since equalization changes gains without
/// changing what is said:
///
/// ```text
/// SQNR = 10·log10( Σ a² / Σ_c (Σ a² − (Σ ab)²/Σ b²) )
/// ```
#[derive(Clone, Debug)]
pub struct Noise {
    aa: Vec<f64>,
    ab: Vec<f64>,
    bb: Vec<f64>,
}

/// By tensor name.
pub type NoiseMap = BTreeMap<String, Noise>;

impl Noise {
    /// Nothing added.
    pub fn new(channels: usize) -> Self {
        Self { aa: vec![0.0; channels], ab: vec![0.0; channels], bb: vec![0.0; channels] }
    }

    /// Adds one picture's values, NHWC: the true ones and the others.
    pub fn add(&mut self, truth: &[f32], other: &[f32]) {
        let n = self.aa.len();
        for (a, b) in truth.chunks_exact(n).zip(other.chunks_exact(n)) {
            for c in 0..n {
                let (a, b) = (f64::from(a[c]), f64::from(b[c]));
                self.aa[c] += a * a;
                self.ab[c] += a * b;
                self.bb[c] += b * b;
            }
        }
    }

    /// In dB.
    pub fn sqnr(&self) -> f64 {
        let signal: f64 = self.aa.iter().sum();
        let noise: f64 = (0..self.aa.len())
            .map(|c| {
                let explained = if self.bb[c] > 0.0 { self.ab[c] * self.ab[c] / self.bb[c] } else { 0.0 };
                (self.aa[c] - explained).max(0.0)
            })
            .sum();
        sqnr(signal, noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_per_channel_are_no_noise_and_errors_are() {
        let truth = [1.0, -2.0, 3.0, 4.0, -5.0, 6.0];
        let mut same = Noise::new(2);
        same.add(&truth, &truth.iter().enumerate().map(|(i, v)| v * (i % 2 + 2) as f32).collect::<Vec<_>>());
        assert!(same.sqnr() > 120.0);
        let mut off = Noise::new(2);
        off.add(&truth, &[1.1, -2.0, 3.0, 4.2, -5.0, 6.0]);
        assert!((20.0..40.0).contains(&off.sqnr()), "{}", off.sqnr());
    }
}
