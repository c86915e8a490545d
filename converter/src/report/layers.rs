//! Measures the error of each layer.

use std::collections::BTreeMap;

use crate::quantize::score::sqnr;

/// Running sums for one tensor, per channel.
///
/// It is the signal-to-noise ratio after the best straight line per channel, since equalization changes gains and
/// centring changes offsets without a loss of information; both sides are relative to their channel's mean:
///
/// ```text
/// SQNR = 10·log10( Σ a² / Σ_c (Σ a² − (Σ ab)²/Σ b²) )
/// ```
#[derive(Clone, Debug)]
pub struct Noise {
    channels: Vec<Sums>,
    pixels: f64,
}

/// The sums of one channel. They are of differences from its first values, so that a channel that hardly varies
/// around a large mean keeps its precision.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    first: Option<(f64, f64)>,
    a: f64,
    b: f64,
    aa: f64,
    ab: f64,
    bb: f64,
}

/// The noise by tensor name.
pub type NoiseMap = BTreeMap<String, Noise>;

impl Noise {
    /// Creates empty sums.
    pub fn new(channels: usize) -> Self {
        Self { channels: vec![Sums::default(); channels], pixels: 0.0 }
    }

    /// Adds one image's values, NHWC: first the true ones.
    pub fn add(&mut self, truth: &[f32], other: &[f32]) {
        let n = self.channels.len();
        for (a, b) in truth.chunks_exact(n).zip(other.chunks_exact(n)) {
            for (sums, (&a, &b)) in self.channels.iter_mut().zip(a.iter().zip(b)) {
                let (a, b) = (f64::from(a), f64::from(b));
                let (a0, b0) = *sums.first.get_or_insert((a, b));
                let (a, b) = (a - a0, b - b0);
                sums.a += a;
                sums.b += b;
                sums.aa += a * a;
                sums.ab += a * b;
                sums.bb += b * b;
            }
            self.pixels += 1.0;
        }
    }

    /// Returns the signal-to-noise ratio in dB.
    pub fn sqnr(&self) -> f64 {
        let (mut signal, mut noise) = (0.0, 0.0);
        for s in &self.channels {
            let n = self.pixels.max(1.0);
            let (aa, ab, bb) = (s.aa - s.a * s.a / n, s.ab - s.a * s.b / n, s.bb - s.b * s.b / n);
            let explained = if bb > 0.0 { ab * ab / bb } else { 0.0 };
            signal += aa.max(0.0);
            noise += (aa - explained).max(0.0);
        }
        sqnr(signal, noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_per_channel_are_no_noise_and_errors_are() {
        let truth = [1.0, -2.0, 3.0, 4.0, -5.0, 6.0];
        let mut same = Noise::new(2);
        same.add(&truth, &truth.iter().enumerate().map(|(i, v)| v * (i % 2 + 2) as f32).collect::<Vec<_>>());
        assert!(same.sqnr() > 120.0);
        let mut off = Noise::new(2);
        off.add(&truth, &[1.1, -2.0, 3.0, 4.2, -5.0, 6.0]);
        assert!((20.0..40.0).contains(&off.sqnr()), "{}", off.sqnr());
    }
}
