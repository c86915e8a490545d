//! One sentence on a conversion: good, look or broken, with a reason and an interval.

use std::collections::BTreeSet;

use foldnet_archive::OutputKind;
use foldnet_cli::count;
use serde::Serialize;

use super::check::Drop;
use super::images::Images;
use crate::interval::wilson;
use crate::quantize::score::{Distance, Measure};
use crate::report::Accuracy;

/// The grade of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As far as could be measured, int8 gives the same answers as f32, and the measurement is sufficient.
    Good,
    /// Something should be looked at before the archive is used.
    Look,
    /// The archive should not be used.
    Broken,
}

impl Grade {
    /// Returns the grade in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Look => "look",
            Self::Broken => "broken",
        }
    }
}

/// The verdict on a conversion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// In one word.
    pub grade: Grade,
    /// The measurement, and the objections.
    pub sentence: String,
    /// All objections, the most serious first.
    pub reasons: Vec<String>,
    /// The 95 % interval of the share of images with the same answer as f32, if the output names classes.
    pub interval: Option<(f64, f64)>,
    /// The number of images on which it is based.
    pub images: usize,
}

/// The facts on which a verdict is based.
pub struct Facts<'a> {
    /// The meaning of the output.
    pub measure: Measure,
    /// The number of outputs.
    pub outputs: usize,
    /// The images.
    pub images: &'a Images,
    /// The answers of f32 to the check images.
    pub truth: &'a [Vec<f32>],
    /// The distance of int8 from f32.
    pub distance: Option<Distance>,
    /// The accuracy on labels.
    pub accuracy: Option<Accuracy>,
    /// The share of values that the first layers clip on check images, and on calibration images.
    pub saturation: (f64, f64),
    /// The loss that is allowed, and the actual loss.
    pub drop: Option<(f64, Drop)>,
}

/// The smallest number of images that can show that all answers are one class.
const FEWEST: usize = 8;
/// The smallest number of labelled images that can show that f32 guesses.
const FEWEST_LABELLED: usize = 10;
/// The share of clipped values that is too large, if it is also three times as large as on calibration images.
const SATURATED: f64 = 0.01;
/// The signal-to-noise ratio in dB at which few images are enough.
const CLEAR: f64 = 20.0;

/// Judges a conversion.
pub fn judge(facts: &Facts<'_>) -> Verdict {
    let mut against: Vec<(Grade, String)> = Vec::new();
    let n = facts.images.check.len();
    let (measured, interval) = match facts.distance {
        Some(distance) => measured(facts, &distance),
        None => ("nothing was measured".into(), None),
    };
    if facts.images.noise {
        against.push((
            Grade::Look,
            "it was calibrated on noise; give real images with --images before using it".into(),
        ));
    } else if n == 0 {
        let few = facts.images.calibrate.len();
        against.push((
            Grade::Look,
            format!("{} too few to keep some back for a check; give 100 or more", images_are(few)),
        ));
    }
    against.extend(float_is_blind(facts));
    against.extend(float_guesses(facts));
    if let Some(distance) = facts.distance {
        against.extend(differs(&distance, interval));
    }
    against.extend(accuracy_fell(facts));
    let (check, calibration) = facts.saturation;
    if check > SATURATED && check > 3.0 * calibration {
        against.push((
            Grade::Look,
            format!(
                "the first layers cut off {:.1} % of their values on the checked images, {:.1} % on the \
                 calibration images: the two are of different kinds",
                100.0 * check,
                100.0 * calibration
            ),
        ));
    }
    if let Some((limit, drop)) = facts.drop.as_ref().filter(|(limit, drop)| drop.points > *limit) {
        against.push((Grade::Look, format!("{drop}; --max-drop allows {limit}")));
    }
    // The most serious first; of equals the one found first.
    against.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
    let grade = against.first().map_or(Grade::Good, |(grade, _)| *grade);
    let reasons: Vec<String> = against.into_iter().map(|(_, reason)| reason).collect();
    let sentence = match reasons.first() {
        None => measured,
        Some(reason) if facts.distance.is_none() => format!("{measured}: {reason}"),
        Some(reason) => format!("{measured}, but {reason}"),
    };
    Verdict { grade, sentence, reasons, interval, images: n }
}

/// Describes the measurement in words.
fn measured(facts: &Facts<'_>, d: &Distance) -> (String, Option<(f64, f64)>) {
    let which = if facts.images.unseen { "held-out images" } else { "images kept out of calibration" };
    let n = d.images;
    let Some(same) = d.same else {
        let words = match d.output {
            OutputKind::Embedding => format!(
                "int8's vectors have a cosine of at least {:.4} to f32's on 95 % of {n} {which}",
                d.cosine_5.unwrap_or(0.0)
            ),
            _ => format!(
                "int8 follows f32's numbers with R² {:.4} on {n} {which}; 95 % of the errors are at most {:.4}",
                d.r2.unwrap_or(0.0),
                d.error_95.unwrap_or(0.0)
            ),
        };
        return (words, None);
    };
    let (low, high) = wilson(same, n);
    let alike = match d.output {
        OutputKind::Softmax => "int8 gives f32's top-1",
        OutputKind::Sigmoid if facts.outputs > 1 => "int8 gives f32's labels",
        _ => "int8 gives f32's class",
    };
    let share = 100.0 * same as f64 / n.max(1) as f64;
    let words = format!("{alike} on {share:.1} % of {n} {which}, at least {:.1} %", 100.0 * low);
    (words, Some((low, high)))
}

/// Objects if f32 gives one answer to everything: any int8 network that does the same would agree.
fn float_is_blind(facts: &Facts<'_>) -> Option<(Grade, String)> {
    let n = facts.truth.len();
    let first = facts.truth.first().filter(|_| n >= FEWEST)?;
    let cause = "random weights, or a --preprocess that does not fit";
    if facts.measure.class(first).is_none() {
        let dead = facts.truth.iter().all(|t| t == first);
        return dead
            .then(|| (Grade::Broken, format!("f32 returns the same numbers for all {n} images: {cause}")));
    }
    let class = facts.measure.class(first)?;
    if facts.truth.iter().any(|t| facts.measure.class(t) != Some(class)) {
        return None;
    }
    let labels: BTreeSet<usize> = facts.images.check.iter().filter_map(|s| s.label).collect();
    match labels.len() {
        0 => Some((
            Grade::Look,
            format!("f32 answers class {class} to all {n} images, so agreement tells nothing ({cause}?)"),
        )),
        1 => None,
        many => Some((
            Grade::Broken,
            format!(
                "f32 itself answers class {class} to all {n} images, which are of {many} classes: {cause}"
            ),
        )),
    }
}

/// Objects if f32 is right no more often than chance.
fn float_guesses(facts: &Facts<'_>) -> Option<(Grade, String)> {
    let a = facts.accuracy.filter(|a| a.images >= FEWEST_LABELLED)?;
    let classes = facts.measure.kind.classes(facts.outputs).max(1);
    let chance = 1.0 / classes as f64;
    let right = format!("f32 itself is right on {} of {} labelled images", a.float_right, a.images);
    if a.float_right as f64 <= (chance * a.images as f64).floor() {
        let causes = "a wrong --preprocess, labels in another order, or an untrained model";
        return Some((Grade::Broken, format!("{right}, no better than guessing: {causes}")));
    }
    if wilson(a.float_right, a.images).0 <= chance {
        return Some((
            Grade::Look,
            format!("{right}, which may be guessing; check --preprocess and --labels"),
        ));
    }
    None
}

/// A number of images as the subject of a sentence.
pub fn images_are(n: usize) -> String {
    format!("{} {}", count(n, "image"), if n == 1 { "is" } else { "are" })
}

/// Objects if too many answers differ, or if too few images show that they do not.
fn differs(d: &Distance, interval: Option<(f64, f64)>) -> Option<(Grade, String)> {
    let n = d.images;
    let few = || (Grade::Look, format!("{} too few to tell; 200 or more are better", images_are(n)));
    let by_size = |value: f64, good: f64, broken: f64, reason: String| match value {
        v if v < broken => Some((Grade::Broken, reason)),
        v if v < good => Some((Grade::Look, reason)),
        _ if n < FEWEST => Some(few()),
        _ => None,
    };
    let Some((low, high)) = interval else {
        let noise = format!("the noise is large ({:.1} dB)", d.sqnr);
        return match d.output {
            OutputKind::Embedding => by_size(d.cosine_5.unwrap_or(0.0), 0.98, 0.9, noise),
            _ => by_size(d.r2.unwrap_or(0.0), 0.99, 0.9, noise),
        };
    };
    let share = d.agreement.unwrap_or(0.0);
    if high < 0.8 {
        return Some((Grade::Broken, "that is far too seldom".into()));
    }
    if share < 0.95 {
        return Some((Grade::Look, format!("{:.1} % of the answers changed", 100.0 * (1.0 - share))));
    }
    let enough = low >= 0.9 || (low >= 0.8 && d.sqnr >= CLEAR);
    (!enough).then(few)
}

/// Objects if int8 is right less often than f32, by more than a few images could explain.
fn accuracy_fell(facts: &Facts<'_>) -> Option<(Grade, String)> {
    let a = facts.accuracy?;
    let lost = a.float_right.saturating_sub(a.int8_right);
    let points = 100.0 * (a.float - a.int8);
    let words = || format!("accuracy fell from {:.1} % to {:.1} %", 100.0 * a.float, 100.0 * a.int8);
    match lost {
        3.. if points > 10.0 => Some((Grade::Broken, words())),
        3.. if points > 1.0 => Some((Grade::Look, words())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::images::Sample;
    use crate::image::Pixels;
    use foldnet_kernels::Shape;

    /// A case: the answers of f32 and int8 as one of three classes, and labels.
    struct Case {
        kind: OutputKind,
        truth: Vec<Vec<f32>>,
        other: Vec<Vec<f32>>,
        labels: Option<Vec<usize>>,
        unseen: bool,
        saturation: (f64, f64),
    }

    impl Case {
        fn classes(truth: &[usize], other: &[usize]) -> Self {
            let one_hot = |class: &usize| (0..3).map(|c| if c == *class { 9.0 } else { c as f32 }).collect();
            Self {
                kind: OutputKind::Softmax,
                truth: truth.iter().map(one_hot).collect(),
                other: other.iter().map(one_hot).collect(),
                labels: None,
                unseen: true,
                saturation: (0.0, 0.0),
            }
        }

        fn numbers(truth: &[f32], other: &[f32]) -> Self {
            let column = |values: &[f32]| values.iter().map(|&v| vec![v]).collect();
            Self {
                kind: OutputKind::Numbers,
                truth: column(truth),
                other: column(other),
                ..Self::classes(&[], &[])
            }
        }

        fn verdict(&self) -> Verdict {
            let measure = Measure::new(self.kind);
            let label = |i: usize| self.labels.as_ref().map(|l| l[i]);
            let pixels = Pixels::new(Shape::new(1, 1, 1), [0]).unwrap();
            let sample = |i: usize| Sample { name: i.to_string(), label: label(i), pixels: pixels.clone() };
            let check: Vec<Sample> = (0..self.truth.len()).map(sample).collect();
            let right = |of: &[Vec<f32>]| {
                let hit = |(a, s): (&Vec<f32>, &Sample)| measure.class(a) == s.label;
                of.iter().zip(&check).filter(|pair| hit(*pair)).count()
            };
            let n = check.len() as f64;
            let (float_right, int8_right) = (right(&self.truth), right(&self.other));
            let accuracy = self.labels.as_ref().map(|_| Accuracy {
                images: check.len(),
                float: float_right as f64 / n,
                int8: int8_right as f64 / n,
                float_right,
                int8_right,
                p: 1.0,
            });
            let images = Images { check, unseen: self.unseen, ..Images::default() };
            let distance =
                (!self.truth.is_empty()).then(|| Distance::between(&self.truth, &self.other, measure));
            judge(&Facts {
                measure,
                outputs: self.truth.first().map_or(3, Vec::len),
                images: &images,
                truth: &self.truth,
                distance,
                accuracy,
                saturation: self.saturation,
                drop: None,
            })
        }
    }

    fn mixed(n: usize) -> Vec<usize> {
        (0..n).map(|i| i % 3).collect()
    }

    #[test]
    fn good_says_how_much_was_measured() {
        let mut other = mixed(240);
        (other[0], other[1]) = (1, 0);
        let verdict = Case::classes(&mixed(240), &other).verdict();
        assert_eq!(verdict.grade, Grade::Good);
        assert_eq!(
            verdict.sentence,
            "int8 gives f32's top-1 on 99.2 % of 240 held-out images, at least 97.0 %"
        );
        let unknown = Case { unseen: false, ..Case::classes(&mixed(240), &mixed(240)) }.verdict();
        assert!(unknown.sentence.contains("240 images kept out of calibration"), "{}", unknown.sentence);
    }

    #[test]
    fn few_images_and_changed_answers_deserve_a_look() {
        let few = Case::classes(&mixed(9), &mixed(9)).verdict();
        assert!(few.grade == Grade::Look && few.sentence.contains("too few"), "{few:?}");
        let mut other = mixed(100);
        other[..10].iter_mut().for_each(|c| *c = (*c + 1) % 3);
        let changed = Case::classes(&mixed(100), &other).verdict();
        assert!(changed.grade == Grade::Look && changed.sentence.contains("10.0 %"), "{changed:?}");
        let nothing = Case::classes(&[], &[]).verdict();
        assert!(nothing.grade == Grade::Look && nothing.sentence.contains("nothing was measured"));
    }

    #[test]
    fn answers_that_differ_mostly_are_broken() {
        let other: Vec<usize> = mixed(60).iter().map(|c| (c + 1) % 3).collect();
        assert_eq!(Case::classes(&mixed(60), &other).verdict().grade, Grade::Broken);
    }

    #[test]
    fn a_network_that_knows_one_answer_is_noticed() {
        let verdict = Case::classes(&[2; 24], &[2; 24]).verdict();
        assert!(
            verdict.grade == Grade::Look && verdict.sentence.contains("class 2 to all 24"),
            "{verdict:?}"
        );
        let labelled = Case { labels: Some(mixed(24)), ..Case::classes(&[2; 24], &[2; 24]) }.verdict();
        assert_eq!(labelled.grade, Grade::Broken);
        // All images are of that class, so nothing is wrong.
        let one = Case { labels: Some(vec![2; 240]), ..Case::classes(&[2; 240], &[2; 240]) }.verdict();
        assert_eq!(one.grade, Grade::Good, "{one:?}");
        let dead = Case::numbers(&[4.0; 20], &[4.0; 20]).verdict();
        assert_eq!(dead.grade, Grade::Broken);
    }

    #[test]
    fn agreement_with_a_guesser_is_worth_nothing() {
        let wrong: Vec<usize> = mixed(60).iter().map(|c| (c + 1) % 3).collect();
        let verdict = Case { labels: Some(wrong), ..Case::classes(&mixed(60), &mixed(60)) }.verdict();
        assert_eq!(verdict.grade, Grade::Broken);
        assert!(
            verdict.sentence.contains("0 of 60") && verdict.sentence.contains("--preprocess"),
            "{verdict:?}"
        );
        let right = Case { labels: Some(mixed(60)), ..Case::classes(&mixed(60), &mixed(60)) }.verdict();
        assert_eq!(right.grade, Grade::Good);
    }

    #[test]
    fn lost_accuracy_and_strange_images_are_told() {
        let mut other = mixed(100);
        other[..4].iter_mut().for_each(|c| *c = (*c + 1) % 3);
        let fell = Case { labels: Some(mixed(100)), ..Case::classes(&mixed(100), &other) }.verdict();
        assert!(fell.grade == Grade::Look && fell.reasons.iter().any(|r| r.contains("96.0 %")), "{fell:?}");
        let strange = Case { saturation: (0.2, 0.001), ..Case::classes(&mixed(240), &mixed(240)) }.verdict();
        assert!(strange.grade == Grade::Look && strange.sentence.contains("different kinds"), "{strange:?}");
    }

    #[test]
    fn numbers_are_judged_by_what_they_reproduce() {
        let truth: Vec<f32> = (0..40).map(|i| i as f32).collect();
        let off = |by: f32| {
            truth
                .iter()
                .enumerate()
                .map(|(i, v)| v + by * if i % 2 == 0 { 1.0 } else { -1.0 })
                .collect::<Vec<_>>()
        };
        let grade = |by: f32| Case::numbers(&truth, &off(by)).verdict();
        let good = grade(0.1);
        assert!(good.grade == Grade::Good && good.sentence.contains("R² 0.9999"), "{good:?}");
        assert_eq!((grade(2.0).grade, grade(8.0).grade), (Grade::Look, Grade::Broken));
    }
}
