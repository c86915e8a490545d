//! Scores over time, and a label that does not flicker.
//!
//! ```text
//! m ← (1 − a)·m + a·p,  a = 1 / smooth      (the first frame: m = p)
//! label ← argmax m    when m[argmax] − m[label] > hysteresis, else as it was
//! ```
//! `m` of probabilities stays one: their sum is kept.

/// See the module.
#[derive(Clone, Debug)]
pub struct Smoother {
    rate: f32,
    hysteresis: f32,
    mean: Vec<f32>,
    label: Option<usize>,
}

/// The class with the highest score; of equals the first.
pub fn most_likely(scores: &[f32]) -> Option<usize> {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)))
}

impl Smoother {
    /// A mean over about `smooth` frames (1: none), and the lead that a new label needs.
    pub fn new(smooth: f32, hysteresis: f32) -> Self {
        Self { rate: 1.0 / smooth.max(1.0), hysteresis, mean: Vec::new(), label: None }
    }

    /// Takes a frame's scores; the label now.
    pub fn push(&mut self, scores: &[f32]) -> Option<usize> {
        if self.mean.len() != scores.len() {
            self.mean = scores.to_vec();
            self.label = None;
        }
        for (mean, score) in self.mean.iter_mut().zip(scores) {
            *mean = (1.0 - self.rate) * *mean + self.rate * score;
        }
        let best = most_likely(&self.mean)?;
        let lead = |label: usize| self.mean[best] - self.mean[label];
        if self.label.is_none_or(|label| lead(label) > self.hysteresis) {
            self.label = Some(best);
        }
        self.label
    }

    /// The smoothed scores.
    pub fn scores(&self) -> &[f32] {
        &self.mean
    }

    /// The `k` most likely classes, the best first, by smoothed score.
    pub fn top(&self, k: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.mean.len()).collect();
        order.sort_by(|&a, &b| self.mean[b].total_cmp(&self.mean[a]).then(a.cmp(&b)));
        order.truncate(k);
        order
    }

    /// Forgets the past, for another network.
    pub fn reset(&mut self) {
        self.mean.clear();
        self.label = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_smoothing_every_frame_counts_for_itself() {
        let mut s = Smoother::new(1.0, 0.0);
        assert_eq!(s.push(&[0.9, 0.1]), Some(0));
        assert_eq!(s.push(&[0.2, 0.8]), Some(1));
        assert_eq!(s.scores(), [0.2, 0.8]);
        assert_eq!(s.top(5), [1, 0]);
        assert_eq!(s.push(&[]), None);
    }

    #[test]
    fn one_odd_frame_changes_nothing_and_a_lasting_change_does() {
        let mut s = Smoother::new(5.0, 0.1);
        for _ in 0..20 {
            assert_eq!(s.push(&[1.0, 0.0]), Some(0));
        }
        assert_eq!(s.push(&[0.0, 1.0]), Some(0));
        assert_eq!(s.push(&[1.0, 0.0]), Some(0));
        let after = (0..10).position(|_| s.push(&[0.0, 1.0]) == Some(1));
        // (4/5)ⁿ·0.84 falls below 0.45 at the third.
        assert_eq!(after, Some(2));
        assert!((s.scores().iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn hysteresis_holds_a_label_between_equals() {
        let flips = |hysteresis| {
            let mut s = Smoother::new(1.0, hysteresis);
            let labels: Vec<_> =
                (0..50).map(|i| s.push(if i % 2 == 0 { &[0.51, 0.49] } else { &[0.49, 0.51] })).collect();
            labels.windows(2).filter(|w| w[0] != w[1]).count()
        };
        assert_eq!((flips(0.0), flips(0.05)), (49, 0));
    }
}
