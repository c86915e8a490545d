//! Which class an image belongs to.

use crate::calibrate::NEVER;
use crate::metric::{Metric, ONE_SQUARED, distance, norm};
use crate::teaching::Teaching;

/// The score of what is nearest, before all are made shares.
pub(crate) const BEST: u32 = 1 << 20;
/// A score halves so often while the distance grows by the classes' spread. With 4, the mean score of the answers was
/// within 6 points of the share of right ones, for 5, 20 and 100 examples (CIFAR-10, ResNet-20).
const HALVINGS: u64 = 4;

/// Compares images with prototypes. Nothing is allocated after it is made.
#[derive(Clone, Debug)]
pub struct Recognizer {
    metric: Metric,
    /// One after the other, the prototypes of a class side by side.
    means: Vec<i16>,
    /// The squared length of each prototype, and its class.
    prototypes: Vec<(u32, usize)>,
    pub(crate) threshold: u32,
    spread: u32,
    direction: Vec<i16>,
    /// The distance to each class.
    pub(crate) distances: Vec<u32>,
    weights: Vec<u32>,
    scores: Vec<f32>,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    /// The class, as its number among the labels; `None` for what is unknown.
    pub class: Option<usize>,
    /// The distance to the nearest class, 0 to 4.
    pub distance: f32,
    /// A share of 1 for each of [`Teaching::labels`]; the answer's is the greatest. They say how much nearer a class is
    /// than the others and the threshold.
    pub scores: &'a [f32],
}

impl Recognizer {
    /// For these classes.
    pub fn new(teaching: &Teaching) -> Self {
        let all = || {
            teaching.classes.iter().enumerate().flat_map(|(i, c)| c.prototypes.iter().map(move |p| (i, p)))
        };
        Self {
            metric: teaching.metric.clone(),
            means: all().flat_map(|(_, p)| p.mean.iter().copied()).collect(),
            prototypes: all().map(|(class, p)| (p.norm, class)).collect(),
            threshold: teaching.calibration.threshold,
            spread: teaching.calibration.spread,
            direction: vec![0; teaching.metric.len()],
            distances: vec![0; teaching.classes.len()],
            weights: vec![0; teaching.labels().len()],
            scores: vec![0.0; teaching.labels().len()],
        }
    }

    /// Multiply-accumulates of [`Recognizer::recognize`].
    pub fn macs(&self) -> u64 {
        ((self.prototypes.len() + 2) * self.metric.len()) as u64
    }

    /// Compares an image's features, see [`foldnet::Session::run_with_features`], with the prototypes.
    ///
    /// # Panics
    /// When there are more or fewer features than the metric has.
    pub fn recognize(&mut self, features: &[i8]) -> Answer<'_> {
        let nearest = self.measure(features);
        let class = (nearest.distance <= self.threshold).then_some(nearest.class);
        let least = nearest.distance.min(self.threshold);
        // Where nothing is unknown, `NEVER` has no place among the weights.
        for label in 0..self.weights.len() {
            let distance = self.distances.get(label).copied().unwrap_or(self.threshold);
            self.weights[label] = halved(distance - least, self.spread);
        }
        shares_of(&mut self.weights, class.unwrap_or(self.distances.len()), &mut self.scores);
        Answer { class, distance: nearest.as_f32(), scores: &self.scores }
    }

    /// Measures the distance to each class, and returns the nearest.
    pub(crate) fn measure(&mut self, features: &[i8]) -> Nearest {
        assert_eq!(features.len(), self.metric.len(), "features of another network");
        self.metric.direction(features, &mut self.direction);
        let length = norm(&self.direction);
        self.distances.fill(NEVER);
        for (mean, &(mean_norm, class)) in self.means.chunks_exact(self.metric.len()).zip(&self.prototypes) {
            let distance = distance(&self.direction, length, mean, mean_norm);
            self.distances[class] = self.distances[class].min(distance);
        }
        let all = self.distances.iter().zip(0..).map(|(&distance, class)| Nearest { distance, class });
        all.min_by_key(|nearest| nearest.distance).expect("there is a class")
    }

    /// What a class weighs of which the nearest has this distance; [`BEST`] for the nearest.
    pub(crate) fn halved(&self, class: usize, least: u32) -> u32 {
        halved(self.distances[class] - least, self.spread)
    }
}

/// The class that is nearest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nearest {
    pub(crate) distance: u32,
    pub(crate) class: usize,
}

impl Nearest {
    /// As a distance of directions, 0 to 4.
    pub(crate) fn as_f32(self) -> f32 {
        self.distance as f32 / ONE_SQUARED as f32
    }
}

/// Makes shares of 1 of weights. The answer's is the greatest, also where rounding makes others equal.
pub(crate) fn shares_of(weights: &mut [u32], answer: usize, shares: &mut [f32]) {
    let most = weights.iter().copied().max().unwrap_or(0).max(1);
    for (label, weight) in weights.iter_mut().enumerate() {
        *weight = if label == answer { most } else { (*weight).min(most - 1) };
    }
    let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    shares.iter_mut().zip(weights).for_each(|(share, weight)| *share = *weight as f32 / sum as f32);
}

/// `BEST · 2^(−HALVINGS · distance / spread)`, by a table of sixteen steps to the octave and straight lines between.
fn halved(distance: u32, spread: u32) -> u32 {
    const STEPS: [u32; 17] = [
        1_048_576, 1_004_120, 961_548, 920_782, 881_744, 844_361, 808_563, 774_282, 741_455, 710_020,
        679_917, 651_091, 623_487, 597_053, 571_740, 547_500, 524_288,
    ];
    // In 1/65536 of a halving.
    let halvings = u64::from(distance) * HALVINGS * 65_536 / u64::from(spread);
    let whole = halvings >> 16;
    if whole > 20 {
        return 0;
    }
    let (step, between) = ((halvings >> 12) as usize % 16, (halvings & 0xfff) as u32);
    let (above, below) = (STEPS[step], STEPS[step + 1]);
    (above - (((above - below) * between) >> 12)) >> whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::FalseAlarms;
    use crate::teacher::tests::{FEATURES, example, percent, teacher, three};

    #[test]
    fn halves_are_halves() {
        for distance in (0..3_000_000).step_by(997) {
            let exact = f64::from(BEST) * (-4.0 * f64::from(distance) / 250_000.0).exp2();
            let found = f64::from(halved(distance, 250_000));
            assert!((found - exact).abs() <= 1.0 + exact * 3e-4, "{distance}: {found} for {exact}");
            assert!(halved(distance, 250_000) >= halved(distance + 997, 250_000));
        }
        assert_eq!((halved(0, 1), halved(1, 1), halved(u32::MAX, 1)), (BEST, BEST / 16, 0));
    }

    #[test]
    fn taught_classes_are_recognized_and_others_are_unknown() {
        let teaching = three(20).finish(percent(5.0)).unwrap();
        let mut recognizer = Recognizer::new(&teaching);
        let mut known = 0;
        for (class, n) in (0..3).flat_map(|class| (100..120).map(move |n| (class, n))) {
            let answer = recognizer.recognize(&example(class, n).features);
            assert!(answer.class.is_none_or(|found| found == class), "{class}: {answer:?}");
            known += usize::from(answer.class.is_some());
        }
        assert!(known >= 50, "{known} of 60");
        // The fourth feature counts most, and no class has it; zeros point nowhere.
        let mut fourth = [0; FEATURES];
        fourth[3] = 100;
        for other in [fourth, [-3; FEATURES], [-100; FEATURES]] {
            let answer = recognizer.recognize(&other);
            assert_eq!(answer.class, None, "{answer:?}");
        }
    }

    #[test]
    fn scores_are_shares_and_the_answers_is_the_greatest() {
        for false_alarms in [percent(5.0), FalseAlarms::NONE] {
            let teaching = three(12).finish(false_alarms).unwrap();
            let mut recognizer = Recognizer::new(&teaching);
            for seed in 0..500u32 {
                let features: Vec<i8> = (0..FEATURES as u32)
                    .map(|i| (seed.wrapping_mul(747_796_405 + 2 * i) >> 24) as i8)
                    .collect();
                let answer = recognizer.recognize(&features);
                assert_eq!(answer.scores.len(), teaching.labels().len());
                assert!((answer.scores.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{answer:?}");
                let best = answer.class.unwrap_or(3);
                let others = answer.scores.iter().enumerate().filter(|(i, _)| *i != best);
                assert!(others.clone().all(|(_, s)| *s < answer.scores[best]), "{answer:?}");
                assert!(false_alarms != FalseAlarms::NONE || answer.class.is_some());
            }
        }
    }

    #[test]
    fn a_class_that_falls_apart_is_recognized_in_all_of_its_parts() {
        let mut teacher = teacher();
        for n in 0..20 {
            teacher.add("crockery", example(n % 2, n)).unwrap();
            teacher.add("glass", example(2, n)).unwrap();
        }
        let teaching = teacher.finish(percent(5.0)).unwrap();
        let prototypes: Vec<usize> = teaching.classes().iter().map(|c| c.prototypes().len()).collect();
        assert_eq!(prototypes, [2, 1]);
        let mut recognizer = Recognizer::new(&teaching);
        assert_eq!(recognizer.macs(), 5 * FEATURES as u64);
        let class = |c, n| example(c, n);
        assert!((100..110).all(|n| recognizer.recognize(&class(0, n).features).scores[0] > 0.5));
        assert!((100..110).all(|n| recognizer.recognize(&class(1, n).features).scores[0] > 0.5));
    }
}
