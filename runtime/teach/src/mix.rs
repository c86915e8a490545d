//! Which of the taught classes and the network's own an image belongs to.
//!
//! Two p-values are compared. That of the taught classes is the share of held-out examples that lie as far from their
//! class as the image does, or farther. That of the network's classes is the share of their held-out images for which
//! the network was as unsure, or less sure. The image belongs to the side with the greater p-value, and to the taught
//! side where they are equal; a side whose threshold the image misses is no choice. If both are missed, it is unknown.
//!
//! An image is called unknown only if its own side's threshold is missed, so the rate of false alarms holds for both
//! sides. The comparison uses integers only.

use crate::own::{Own, bits, largest};
use crate::recognize::{Answer, BEST, Nearest, Recognizer, shares_of};
use crate::teaching::Teaching;

/// Compares images with prototypes, and the outcome with what the network says. Nothing is allocated after it is made.
#[derive(Clone, Debug)]
pub struct Mixer {
    recognizer: Recognizer,
    /// Distances of held-out examples, and the largest shares of held-out images; the smallest first.
    distances: Vec<u32>,
    shares: Vec<u32>,
    /// The share below which the network's classes are no choice.
    least_share: u32,
    /// The number of each of the network's classes among the labels; a taught class of the same name is the same label.
    own: Vec<usize>,
    unknown: Option<usize>,
    /// What a side weighs that is just rejected.
    rejected: u32,
    weights: Vec<u32>,
    scores: Vec<f32>,
}

impl Mixer {
    /// For a teaching and the names of the network's own classes; `None` if the teaching does not mix them.
    pub fn new(teaching: &Teaching, own: &[String]) -> Option<Self> {
        if !teaching.own.mixed {
            return None;
        }
        let labels = teaching.labels_with(own);
        let at = |name: &String| labels.iter().position(|label| label == name);
        let shares = teaching.own.sorted();
        let calibration = teaching.calibration;
        let unknown = calibration.tells_unknown().then(|| labels.len() - 1);
        let rejected = calibration.rate().into_iter().chain(teaching.own.rate(calibration.asked));
        let rejected = rejected.map(|rate| rate.expected).fold(0.0, f64::max);
        Some(Self {
            recognizer: Recognizer::new(teaching),
            distances: teaching.distances.clone(),
            least_share: Own::threshold(&shares, calibration.asked),
            shares,
            own: own.iter().map(|name| at(name).expect("a label for each")).collect(),
            unknown,
            rejected: ((rejected * f64::from(BEST)) as u32).max(1),
            weights: vec![0; labels.len()],
            scores: vec![0.0; labels.len()],
        })
    }

    /// Decides, from an image's features and the shares of 1 that the network gives its own classes. The answer's class
    /// is the number among [`Teaching::labels_with`].
    ///
    /// # Panics
    /// When there are more or fewer features than the metric has, or shares than the network has classes.
    pub fn recognize(&mut self, features: &[i8], shares: &[f32]) -> Answer<'_> {
        assert_eq!(shares.len(), self.own.len(), "shares of another network");
        let nearest = self.recognizer.measure(features);
        let largest = largest(shares);
        // The first of those that are equally large.
        let first = shares.iter().position(|&share| share >= largest).unwrap_or(0);
        let farther = self.distances.len() - self.distances.partition_point(|&d| d < nearest.distance);
        let less_sure = self.shares.partition_point(|&share| share <= bits(largest));
        let taught_p = Rank { as_bad: farther as u64 + 1, of: self.distances.len() as u64 + 1 };
        let own_p = Rank { as_bad: less_sure as u64 + 1, of: self.shares.len() as u64 + 1 };
        let taught_fits = nearest.distance <= self.recognizer.threshold;
        let own_fits = bits(largest) >= self.least_share;
        let best = match (taught_fits, own_fits, self.unknown) {
            (false, false, Some(unknown)) => unknown,
            (true, false, _) => nearest.class,
            (false, true, _) => self.own[first],
            _ if own_p.is_above(taught_p) => self.own[first],
            _ => nearest.class,
        };
        self.weigh(nearest, taught_p.weight(), shares, largest, own_p.weight());
        if let Some(unknown) = self.unknown {
            self.weights[unknown] = self.rejected;
        }
        shares_of(&mut self.weights, best, &mut self.scores);
        let class = Some(best).filter(|_| self.unknown != Some(best));
        let distance = nearest.as_f32();
        Answer { class, distance, scores: &self.scores }
    }

    /// Multiply-accumulates of [`Mixer::recognize`].
    pub fn macs(&self) -> u64 {
        self.recognizer.macs()
    }

    /// A side weighs as much as its p-value; within a side, the nearest or likeliest class has that weight.
    fn weigh(&mut self, nearest: Nearest, taught: u32, shares: &[f32], largest: f32, own: u32) {
        self.weights.fill(0);
        for (weight, class) in self.weights.iter_mut().zip(0..self.recognizer.distances.len()) {
            let halved = u64::from(self.recognizer.halved(class, nearest.distance));
            *weight = ((halved * u64::from(taught)) / u64::from(BEST)) as u32;
        }
        for (&label, &share) in self.own.iter().zip(shares) {
            let weight = (share / largest * own as f32) as u32;
            self.weights[label] = self.weights[label].max(weight);
        }
    }
}

/// A p-value: so many of the held-out images and the new one fit no better than the new one.
#[derive(Clone, Copy)]
struct Rank {
    as_bad: u64,
    of: u64,
}

impl Rank {
    fn is_above(self, other: Self) -> bool {
        self.as_bad * other.of > other.as_bad * self.of
    }

    fn weight(self) -> u32 {
        ((u64::from(BEST) * self.as_bad) / self.of).max(1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnExample;
    use crate::calibrate::FalseAlarms;
    use crate::teacher::tests::{FEATURES, example, percent, three};

    fn network() -> Vec<String> {
        ["cat", "cup", "dog"].map(String::from).into()
    }

    /// Twenty images of the network's own classes, of which it is 0.80 to 0.99 sure.
    fn mixed(rate: FalseAlarms) -> Teaching {
        let mut teacher = three(20);
        for n in 0..20u8 {
            let share = 0.8 + f32::from(n) / 100.0;
            assert!(teacher.add_own(OwnExample::new(&[n], &[share, 1.0 - share, 0.0])).unwrap());
        }
        teacher.mix(true);
        teacher.finish(rate).unwrap()
    }

    #[test]
    fn the_side_with_the_greater_p_value_wins() {
        let teaching = mixed(percent(5.0));
        assert_eq!(teaching.labels_with(&network()), ["mug", "cup", "Glas, groß", "cat", "dog", "unknown"]);
        let mut mixer = Mixer::new(&teaching, &network()).unwrap();
        let mut said = |features: &[i8], shares: [f32; 3]| mixer.recognize(features, &shares).class;
        let (near, far) = (example(0, 0).features, vec![-3; FEATURES]);
        // The network is unsure.
        assert_eq!(said(&near, [0.4, 0.3, 0.3]), Some(0));
        // Nothing is near, and the network is sure of its last class, or of one that is taught, too.
        assert_eq!(said(&far, [0.01, 0.01, 0.98]), Some(4));
        assert_eq!(said(&far, [0.01, 0.98, 0.01]), Some(1));
        assert_eq!(said(&far, [0.4, 0.3, 0.3]), None);
        // Surer than with all held-out images, which no distance can outdo.
        let middle = (100..140).map(|n| example(2, n).features);
        let classes: Vec<_> = middle.map(|features| said(&features, [0.995, 0.005, 0.0])).collect();
        assert!(classes.iter().filter(|&&class| class == Some(3)).count() > 30, "{classes:?}");
    }

    #[test]
    fn scores_are_shares_and_the_answers_is_the_greatest() {
        for rate in [percent(5.0), FalseAlarms::NONE] {
            let teaching = mixed(rate);
            let mut mixer = Mixer::new(&teaching, &network()).unwrap();
            for seed in 0..2000u32 {
                let byte = |i: u32| (seed.wrapping_mul(747_796_405 + 2 * i) >> 24) as u8;
                let features: Vec<i8> = (0..FEATURES as u32).map(|i| byte(i) as i8).collect();
                let sure = f32::from(byte(99)) / 255.0;
                let rest = 1.0 - sure;
                let answer = mixer.recognize(&features, &[sure, rest / 3.0, rest - rest / 3.0]);
                assert!((answer.scores.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{answer:?}");
                let best = answer.class.unwrap_or(5);
                assert!(rate != FalseAlarms::NONE || answer.class.is_some());
                let others = answer.scores.iter().enumerate().filter(|(i, _)| *i != best);
                assert!(others.clone().all(|(_, s)| *s < answer.scores[best]), "{seed}: {answer:?}");
            }
        }
    }

    #[test]
    fn both_sides_keep_the_rate_of_false_alarms() {
        let teaching = mixed(percent(10.0));
        let mut mixer = Mixer::new(&teaching, &network()).unwrap();
        // New images of the taught classes, of which the network is unsure, and images as sure as the held-out ones.
        let images = (0..3).flat_map(|class| (100..200).map(move |n| example(class, n).features));
        let unknown = images.filter(|f| mixer.recognize(f, &[0.3, 0.3, 0.4]).class.is_none()).count();
        let rate = teaching.calibration().rate().unwrap();
        assert!(unknown as f64 / 300.0 <= rate.high, "{unknown} of 300");
        let far = vec![-3; FEATURES];
        let sure = |n: u16| 0.8 + 0.19 * f32::from(n) / 1000.0;
        let unknown = (0..1000).filter(|&n| mixer.recognize(&far, &[sure(n), 0.0, 0.0]).class.is_none());
        let (unknown, rate) = (unknown.count() as f64 / 1000.0, teaching.own_rate().unwrap());
        assert!((rate.low..=rate.high).contains(&unknown), "{unknown}: {rate:?}");
    }

    #[test]
    fn odd_shares_do_no_harm() {
        let teaching = mixed(percent(5.0));
        let mut mixer = Mixer::new(&teaching, &network()).unwrap();
        for odd in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
            let answer = mixer.recognize(&[5; FEATURES], &[odd; 3]);
            assert!(answer.scores.iter().all(|s| (0.0..=1.0).contains(s)), "{odd}: {answer:?}");
        }
    }
}
