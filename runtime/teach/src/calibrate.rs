//! The threshold between known and unknown, for a rate of false alarms that the user chooses.
//!
//! Each example is compared with prototypes that were made without it, as a new image of its class would be. Of n such
//! distances and the next image's, each is equally likely to be the greatest, so the rank of the threshold among them
//! gives the rate at which known images are called unknown (conformal calibration: Vovk et al., *Algorithmic Learning in
//! a Random World*, 2005). The rate that one set of examples gives follows a beta distribution, whose width is what so
//! few examples cannot know.
//!
//! The promise holds for images like the examples. Twenty frames of one still scene are little more than one example.

use crate::cluster::Clusters;
use crate::metric::{ONE_SQUARED, norm};

/// A threshold that no distance exceeds: nothing is unknown.
pub(crate) const NEVER: u32 = u32::MAX;

/// The share of known images that may be called unknown, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FalseAlarms(pub(crate) u32);

/// A whole, in millionths.
const WHOLE: u32 = 1_000_000;

impl FalseAlarms {
    /// Nothing is ever unknown.
    pub const NONE: Self = Self(0);

    /// From 0, which never calls an image unknown, to 50 percent; `None` for what is not between them.
    pub fn percent(percent: f64) -> Option<Self> {
        Self::millionths((0.0..=50.0).contains(&percent).then(|| (percent * 1e4).round() as u32)?)
    }

    /// The same, in millionths.
    pub fn millionths(millionths: u32) -> Option<Self> {
        (millionths <= WHOLE / 2).then_some(Self(millionths))
    }

    /// As a share of 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// The fewest examples that can keep this rate; 0 if nothing is unknown.
    pub fn fewest_examples(self) -> u32 {
        if self.0 == 0 { 0 } else { WHOLE.div_ceil(self.0) - 1 }
    }
}

/// What the examples' distances say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// The rate that was asked for.
    pub asked: FalseAlarms,
    /// The number of examples that were held out, each in its turn.
    pub examples: u32,
    /// The threshold is so many-th of their distances, counted from the smallest; 0 if nothing is unknown.
    pub rank: u32,
    /// Distances above this are unknown.
    pub(crate) threshold: u32,
    /// The mean distance of a held-out example from its class: the unit of scores.
    pub(crate) spread: u32,
}

/// A rate, and what it is between with 90 % certainty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Below with 5 %.
    pub low: f64,
    /// The mean.
    pub expected: f64,
    /// Above with 5 %.
    pub high: f64,
}

impl Calibration {
    /// Whether anything can be unknown.
    pub fn tells_unknown(&self) -> bool {
        self.threshold != NEVER
    }

    /// Whether there are enough examples for the rate that was asked for. If not, the rate is higher.
    pub fn keeps_the_rate(&self) -> bool {
        self.examples >= self.asked.fewest_examples()
    }

    /// The threshold, where the greatest distance of two directions is 4; `None` if nothing is unknown.
    pub fn threshold(&self) -> Option<f64> {
        self.tells_unknown().then(|| f64::from(self.threshold) / f64::from(ONE_SQUARED))
    }

    /// The rate of false alarms on images like the examples; `None` if nothing is unknown.
    pub fn rate(&self) -> Option<Interval> {
        let n = self.examples;
        let above = (n + 1).checked_sub(self.rank).filter(|_| self.tells_unknown())?;
        Some(beta_interval(n, above))
    }

    /// From the distances of held-out examples to the nearest prototype, and those to the nearest of their own class.
    /// `None` if there are no distances, but something shall be unknown.
    pub(crate) fn new(asked: FalseAlarms, mut nearest: Vec<u32>, own: &[u32]) -> Option<Self> {
        let mean = own.iter().map(|&d| u64::from(d)).sum::<u64>().checked_div(own.len() as u64);
        // One example for each class tells no spread; a quarter is what a small ResNet's classes have.
        let spread = mean.map_or(ONE_SQUARED / 4, |mean| mean.max(1) as u32);
        let n = nearest.len();
        let examples = n as u32;
        if asked == FalseAlarms::NONE {
            return Some(Self { asked, examples, rank: 0, threshold: NEVER, spread });
        }
        let rank = (examples + 1).checked_sub(ranks_above(asked, n)).filter(|&rank| rank > 0)?;
        nearest.sort_unstable();
        Some(Self { asked, examples, rank, threshold: nearest[rank as usize - 1], spread })
    }
}

/// How many of the n + 1 ranks of a new image among n held-out ones are beyond a threshold for this rate.
pub(crate) fn ranks_above(asked: FalseAlarms, n: usize) -> u32 {
    (u64::from(asked.0) * (n as u64 + 1) / u64::from(WHOLE)).max(1) as u32
}

/// The rate of a threshold that so many of n + 1 ranks are beyond.
pub(crate) fn beta_interval(n: u32, above: u32) -> Interval {
    let quantile = |share| beta_quantile(above, n + 1 - above, share);
    let expected = f64::from(above) / f64::from(n + 1);
    Interval { low: quantile(0.05), expected, high: quantile(0.95) }
}

/// What held-out examples say: their distances, and how many are nearest to their own class.
pub(crate) struct HeldOut {
    /// To the nearest prototype of any class.
    pub(crate) nearest: Vec<u32>,
    /// To the nearest prototype of their own class.
    pub(crate) own: Vec<u32>,
    /// For each class, the examples that their own class is nearest to.
    pub(crate) right: Vec<u32>,
}

/// Holds out each example in its turn. An example that is all there is of its class is left out.
pub(crate) fn hold_out(classes: &[(Vec<&[i16]>, Clusters)]) -> HeldOut {
    let mut held = HeldOut { nearest: Vec::new(), own: Vec::new(), right: vec![0; classes.len()] };
    for (class, (examples, clusters)) in classes.iter().enumerate() {
        for (x, &of) in examples.iter().zip(&clusters.of) {
            let x_norm = norm(x);
            let without = |k: usize| {
                let distance = u64::from(clusters.prototypes[k].distance(x, x_norm));
                let m = u64::from(clusters.prototypes[k].examples);
                match (k == of, m) {
                    (false, _) => Some(distance),
                    (true, 1) => None,
                    // The mean of the others lies on the line through the example and the mean of all.
                    (true, m) => Some(distance * m * m / ((m - 1) * (m - 1))),
                }
            };
            let Some(own) = (0..clusters.prototypes.len()).filter_map(without).min() else { continue };
            let others = classes.iter().enumerate().filter(|(other, _)| *other != class);
            let prototypes = others.flat_map(|(_, (_, clusters))| &clusters.prototypes);
            let other = prototypes.map(|p| u64::from(p.distance(x, x_norm))).min().unwrap_or(u64::MAX);
            held.right[class] += u32::from(own <= other);
            // `NEVER` is no distance.
            let bounded = |d: u64| d.min(u64::from(NEVER - 1)) as u32;
            held.nearest.push(bounded(own.min(other)));
            held.own.push(bounded(own));
        }
    }
    held
}

/// The value below which a variable with the distribution Beta(a, b) is with this probability; a and b are at least 1.
fn beta_quantile(a: u32, b: u32, probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle: f64 = f64::midpoint(low, high);
        if beta_below(a, b, middle) < probability { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The probability that such a variable is below x: that of a or more successes in a + b − 1 trials.
fn beta_below(a: u32, b: u32, x: f64) -> f64 {
    let n = f64::from(a) + f64::from(b) - 1.0;
    let odds = (x / (1.0 - x)).ln();
    let (mut log, mut fewer) = (n * (1.0 - x).ln(), 0.0);
    for k in 0..a {
        fewer += log.exp();
        log += ((n - f64::from(k)) / f64::from(k + 1)).ln() + odds;
    }
    1.0 - fewer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(percent: f64) -> FalseAlarms {
        FalseAlarms::percent(percent).unwrap()
    }

    #[test]
    fn the_rank_follows_from_the_rate() {
        let of = |asked, n: u32| Calibration::new(asked, (1..=n).rev().collect(), &[]).unwrap();
        assert_eq!(of(percent(5.0), 19).threshold, 19);
        assert_eq!(of(percent(5.0), 39).threshold, 38);
        assert_eq!(of(percent(1.0), 999).threshold, 990);
        // Too few: the greatest, which is exceeded more often than was asked for.
        let few = of(percent(1.0), 5);
        assert_eq!(
            (few.threshold, few.keeps_the_rate(), few.rate().unwrap().expected),
            (5, false, 1.0 / 6.0)
        );
        assert_eq!((percent(5.0).fewest_examples(), percent(1.0).fewest_examples()), (19, 99));
        assert!(of(percent(5.0), 19).keeps_the_rate() && !of(percent(5.0), 18).keeps_the_rate());
        let never = of(FalseAlarms::NONE, 0);
        assert_eq!((never.threshold(), never.rate(), never.keeps_the_rate()), (None, None, true));
        assert_eq!(Calibration::new(percent(5.0), Vec::new(), &[]), None);
        assert_eq!(Calibration::new(percent(5.0), vec![4, 8], &[3, 5]).unwrap().spread, 4);
        for bad in [-1.0, 50.1, f64::NAN, f64::INFINITY] {
            assert_eq!(FalseAlarms::percent(bad), None);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_beta_distribution() {
        // Beta(1, b) has 1 − (1 − x)^b below x, Beta(a, 1) has x^a.
        for b in [1, 5, 200] {
            for p in [0.05_f64, 0.5, 0.95] {
                let exact = 1.0 - (1.0 - p).powf(1.0 / f64::from(b));
                assert!((beta_quantile(1, b, p) - exact).abs() < 1e-9);
                assert!((beta_quantile(b, 1, p) - p.powf(1.0 / f64::from(b))).abs() < 1e-9);
            }
        }
        // A symmetric one, and SciPy's beta.ppf(0.95, 5, 96).
        assert!((beta_quantile(7, 7, 0.5) - 0.5).abs() < 1e-9);
        assert!((beta_quantile(5, 96, 0.95) - 0.089_196_250_158_879_9).abs() < 1e-9);
        assert!(beta_quantile(50_000, 950_000, 0.5).is_finite());
    }

    #[test]
    fn the_next_distance_exceeds_the_threshold_as_often_as_promised() {
        let mut seed = 9u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 34) as u32
        };
        for (n, rate) in [(5, 5.0), (25, 5.0), (100, 5.0), (100, 1.0)] {
            let (mut alarms, mut inside, trials, new) = (0, 0, 2000, 50);
            let mut expected = 0.0;
            for _ in 0..trials {
                let calibration =
                    Calibration::new(percent(rate), (0..n).map(|_| random()).collect(), &[]).unwrap();
                let interval = calibration.rate().unwrap();
                let unknown = (0..new).filter(|_| random() > calibration.threshold).count();
                alarms += unknown;
                expected = interval.expected;
                // Uniform numbers below 2³⁰ tell the threshold's own rate.
                let true_rate = 1.0 - f64::from(calibration.threshold) / f64::from(1u32 << 30);
                inside += usize::from((interval.low..=interval.high).contains(&true_rate));
            }
            let measured = alarms as f64 / f64::from(trials * new);
            assert!((measured - expected).abs() < 0.1 * expected + 0.001, "{n}: {measured} for {expected}");
            let share = inside as f64 / f64::from(trials);
            assert!((0.87..0.93).contains(&share), "{n}: {share} of the rates lie in the interval");
        }
    }
}
