//! A histogram of fixed size over values whose range is not known in advance.

/// Number of bins.
pub const BINS: usize = 2048;

/// The distribution of one tensor's values.
///
/// Bin `i` counts the values in `[(first + i)·width, (first + i + 1)·width)`. A value outside doubles the width,
/// merging pairs of bins, until it fits. The edges stay multiples of the width, so merging is exact and its result
/// does not depend on the order of the values. Exact zeros, which a ReLU produces frequently and every scale
/// represents exactly, are counted separately.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    width: f64,
    first: i64,
    bins: Vec<u64>,
    zeros: u64,
    /// The smallest value seen; 0 before the first.
    pub min: f32,
    /// The largest value seen; 0 before the first.
    pub max: f32,
}

impl Histogram {
    /// Creates an empty histogram; `width` is the finest bin width, for example 1/1024 of the first image's
    /// largest value. Histograms to be merged must start from the same width.
    pub fn new(width: f64) -> Self {
        let width = if width.is_finite() && width > 0.0 { width } else { 1e-6 };
        Self { width, first: 0, bins: vec![0; BINS], zeros: 0, min: 0.0, max: 0.0 }
    }

    /// Counts values, each multiplied by its channel's factor; NHWC, as many channels as factors.
    pub fn add(&mut self, values: &[f32], factors: &[f32]) {
        let mut inverse = 1.0 / self.width;
        for pixel in values.chunks_exact(factors.len()) {
            for (&v, &f) in pixel.iter().zip(factors) {
                let v = v * f;
                if v == 0.0 || !v.is_finite() {
                    self.zeros += 1;
                    continue;
                }
                self.min = self.min.min(v);
                self.max = self.max.max(v);
                let bin = floor(f64::from(v) * inverse);
                let at = bin.wrapping_sub(self.first);
                if (0..BINS as i64).contains(&at) {
                    self.bins[at as usize] += 1;
                } else {
                    self.cover(f64::from(v));
                    inverse = 1.0 / self.width;
                    let bin = (f64::from(v) * inverse).floor() as i64;
                    self.bins[(bin - self.first) as usize] += 1;
                }
            }
        }
    }

    /// Makes room for a value.
    fn cover(&mut self, v: f64) {
        loop {
            let bin = (v / self.width).floor() as i64;
            let used = |i: Option<usize>| i.map(|i| self.first + i as i64);
            let low = used(self.bins.iter().position(|&n| n > 0)).map_or(bin, |l| l.min(bin));
            let high = used(self.bins.iter().rposition(|&n| n > 0)).map_or(bin, |h| h.max(bin));
            if high.saturating_sub(low) < BINS as i64 {
                // Shift so that both ends fit, keeping the existing counts.
                let first = if bin < self.first { low } else { high - BINS as i64 + 1 };
                let mut bins = vec![0; BINS];
                for (i, &n) in self.bins.iter().enumerate().filter(|(_, n)| **n > 0) {
                    bins[(self.first + i as i64 - first) as usize] = n;
                }
                (self.first, self.bins) = (first, bins);
                return;
            }
            self.widen();
        }
    }

    fn widen(&mut self) {
        let first = self.first.div_euclid(2);
        let mut bins = vec![0; BINS];
        for (i, &n) in self.bins.iter().enumerate() {
            bins[((self.first + i as i64).div_euclid(2) - first) as usize] += n;
        }
        (self.width, self.first, self.bins) = (self.width * 2.0, first, bins);
    }

    /// Adds the counts of another histogram, which must have started from the same width.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.width < other.width {
            self.widen();
        }
        while other.width < self.width {
            other.widen();
        }
        self.zeros += other.zeros;
        let ends = (other.min, other.max);
        for (i, &n) in other.bins.iter().enumerate().filter(|(_, n)| **n > 0) {
            // The bin's middle at its current width, which `cover` may change.
            let middle = (other.first + i as i64) as f64 * other.width + other.width / 2.0;
            let mut at = (middle / self.width).floor() as i64 - self.first;
            if !(0..BINS as i64).contains(&at) {
                self.cover(middle);
                at = (middle / self.width).floor() as i64 - self.first;
            }
            self.bins[at as usize] += n;
        }
        self.min = self.min.min(ends.0);
        self.max = self.max.max(ends.1);
    }

    /// Returns middle and count of every bin that is not empty, in ascending order.
    pub fn filled(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let middle = move |i: usize| (self.first + i as i64) as f64 * self.width + self.width / 2.0;
        self.bins.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(i, &n)| (middle(i), n))
    }

    /// Returns the width of a bin.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Returns the number of values counted.
    pub fn count(&self) -> u64 {
        self.zeros + self.bins.iter().sum::<u64>()
    }

    /// Returns the number of values that are exactly zero.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Returns up to `n` counts over the whole range, for a plot, with the range.
    pub fn plot(&self, n: usize) -> (f32, f32, Vec<u64>) {
        let mut counts = vec![0; n];
        let span = f64::from(self.max - self.min).max(f64::MIN_POSITIVE);
        for (x, count) in self.filled() {
            let at = ((x - f64::from(self.min)) / span * n as f64) as usize;
            counts[at.min(n - 1)] += count;
        }
        (self.min, self.max, counts)
    }
}

/// Rounds down. Unlike `f64::floor`, it is no call on processors whose common instructions cannot round.
fn floor(v: f64) -> i64 {
    let cut = v as i64;
    if cut as f64 > v { cut.saturating_sub(1) } else { cut }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_and_order_does_not_matter(
            values in prop::collection::vec(-1e3f32..1e4, 1..200),
            split in 0usize..200,
        ) {
            let mut whole = Histogram::new(0.001);
            whole.add(&values, &[1.0]);
            let (a, b) = values.split_at(split.min(values.len()));
            let (mut first, mut second) = (Histogram::new(0.001), Histogram::new(0.001));
            first.add(b, &[1.0]);
            second.add(a, &[1.0]);
            first.merge(&second);
            prop_assert_eq!(whole.count(), values.len() as u64);
            prop_assert_eq!(first.count(), values.len() as u64);
            prop_assert_eq!((whole.min, whole.max), (first.min, first.max));
            if whole.width() == first.width() {
                let filled = |h: &Histogram| h.filled().collect::<Vec<_>>();
                prop_assert_eq!(filled(&whole), filled(&first));
            }
        }
    }

    #[test]
    fn numbers_are_rounded_down() {
        let values = [0.0, 0.5, 1.0, -0.5, -1.0, -1.5, 1e300, -1e300, f64::MIN_POSITIVE, -f64::MIN_POSITIVE];
        for v in values {
            assert_eq!(floor(v), v.floor() as i64, "{v}");
        }
    }

    #[test]
    fn zeros_are_apart_and_factors_apply() {
        let mut h = Histogram::new(0.5);
        h.add(&[0.0, 3.0, 1.0, 2.0], &[1.0, -0.5]);
        assert_eq!((h.zeros(), h.count(), h.min, h.max), (1, 4, -1.5, 1.0));
    }
}
