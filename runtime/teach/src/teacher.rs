//! Examples, and what is made of them.

use crate::calibrate::{Calibration, FalseAlarms, hold_out};
use crate::cluster::Clusters;
use crate::error::TeachError;
use crate::identity::hash_pixels;
use crate::metric::Metric;
use crate::own::{MAX_OWN, Own, OwnExample};
use crate::teaching::{Class, Other, Teaching};

/// The most classes.
pub const MAX_CLASSES: usize = 1000;
/// The most examples of a class.
pub const MAX_EXAMPLES: usize = 1000;
/// The longest name of a class, in bytes.
pub(crate) const MAX_NAME: usize = 100;

/// What messages call the network's own classes.
const OWN: &str = "the network's own classes";

/// An image as the network sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Example {
    /// By which the same image is known again.
    pub(crate) image: u64,
    pub(crate) features: Vec<i8>,
}

impl Example {
    /// Of the pixels that the network reads, and their features, see [`foldnet::Session::run_with_features`].
    pub fn new(pixels: &[u8], features: &[i8]) -> Self {
        Self { image: hash_pixels(pixels), features: features.into() }
    }
}

/// A class and its examples.
#[derive(Clone, Debug)]
pub(crate) struct Lesson {
    pub(crate) name: String,
    pub(crate) examples: Vec<Example>,
}

/// Collects the examples of classes.
#[derive(Clone, Debug)]
pub struct Teacher {
    pub(crate) archive: [u8; 32],
    pub(crate) metric: Metric,
    pub(crate) other: Other,
    pub(crate) lessons: Vec<Lesson>,
    pub(crate) own: Own,
}

impl Teacher {
    /// For the archive with this SHA-256, whose network has this metric.
    pub fn new(archive: [u8; 32], metric: Metric, other: Other) -> Self {
        Self { archive, metric, other, lessons: Vec::new(), own: Own::default() }
    }

    /// Adds an example to a class, which need not be there. `false` if the class has this image already.
    pub fn add(&mut self, class: &str, example: Example) -> Result<bool, TeachError> {
        TeachError::name(class)?;
        let (got, want) = (example.features.len(), self.metric.len());
        if got != want {
            return Err(TeachError::WrongFeatures { got, want });
        }
        let has = |lesson: &&Lesson| lesson.examples.iter().any(|e| e.image == example.image);
        if let Some(first) = self.lessons.iter().find(has) {
            return if first.name == class {
                Ok(false)
            } else {
                Err(TeachError::Contradiction { first: first.name.clone(), second: class.into() })
            };
        }
        if self.own.examples.iter().any(|own| own.image == example.image) {
            return Err(TeachError::Contradiction { first: OWN.into(), second: class.into() });
        }
        let lesson = match self.lessons.iter().position(|lesson| lesson.name == class) {
            Some(at) => &mut self.lessons[at],
            None if self.lessons.len() == MAX_CLASSES => return Err(TeachError::TooManyClasses),
            None => {
                self.lessons.push(Lesson { name: class.into(), examples: Vec::new() });
                self.lessons.last_mut().expect("just added")
            }
        };
        if lesson.examples.len() == MAX_EXAMPLES {
            return Err(TeachError::TooManyExamples(class.into()));
        }
        lesson.examples.push(example);
        Ok(true)
    }

    /// Adds an image of one of the network's own classes. `false` if it is known already.
    pub fn add_own(&mut self, example: OwnExample) -> Result<bool, TeachError> {
        let has = |lesson: &&Lesson| lesson.examples.iter().any(|e| e.image == example.image);
        if let Some(lesson) = self.lessons.iter().find(has) {
            return Err(TeachError::Contradiction { first: lesson.name.clone(), second: OWN.into() });
        }
        if self.own.examples.iter().any(|own| own.image == example.image) {
            return Ok(false);
        }
        if self.own.examples.len() == MAX_OWN {
            return Err(TeachError::TooManyExamples(OWN.into()));
        }
        self.own.examples.push(example);
        Ok(true)
    }

    /// Sets whether the network's own classes are answered beside the taught ones. Their images are kept either way.
    pub fn mix(&mut self, mixed: bool) {
        self.own.mixed = mixed;
    }

    /// Gives a class another name.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), TeachError> {
        TeachError::name(to)?;
        let at = self.find(from)?;
        if from != to && self.lessons.iter().any(|lesson| lesson.name == to) {
            return Err(TeachError::NameTaken(to.into()));
        }
        self.lessons[at].name = to.into();
        Ok(())
    }

    /// Forgets a class.
    pub fn remove(&mut self, name: &str) -> Result<(), TeachError> {
        let at = self.find(name)?;
        self.lessons.remove(at);
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, TeachError> {
        let at = self.lessons.iter().position(|lesson| lesson.name == name);
        at.ok_or_else(|| TeachError::NoSuchClass(name.into()))
    }

    /// Makes prototypes, and sets the threshold for a rate of false alarms.
    pub fn finish(self, false_alarms: FalseAlarms) -> Result<Teaching, TeachError> {
        if self.lessons.is_empty() {
            return Err(TeachError::NoClasses);
        }
        if self.own.mixed && self.own.examples.is_empty() {
            return Err(TeachError::NoOwnExamples);
        }
        let directions: Vec<Vec<Vec<i16>>> = self.lessons.iter().map(|l| self.directions(l)).collect();
        let clustered: Vec<_> = directions
            .iter()
            .map(|class| {
                let examples: Vec<&[i16]> = class.iter().map(Vec::as_slice).collect();
                let clusters = Clusters::new(&examples);
                (examples, clusters)
            })
            .collect();
        let held = hold_out(&clustered);
        let single = self.lessons.iter().find(|l| l.examples.len() == 1);
        if let Some(lesson) = single.filter(|_| false_alarms != FalseAlarms::NONE || self.own.mixed) {
            return Err(TeachError::OneExample(lesson.name.clone()));
        }
        // Files without such images are those that earlier versions wrote.
        let mut distances = if self.own.examples.is_empty() { Vec::new() } else { held.nearest.clone() };
        distances.sort_unstable();
        let calibration = Calibration::new(false_alarms, held.nearest, &held.own)
            .expect("every class has two examples or more");
        let classes = self.lessons.into_iter().zip(clustered).zip(held.right);
        let class = |((lesson, (_, clusters)), right): ((Lesson, (_, Clusters)), u32)| Class {
            name: lesson.name,
            examples: lesson.examples,
            prototypes: clusters.prototypes,
            right,
        };
        Ok(Teaching {
            archive: self.archive,
            metric: self.metric,
            other: self.other,
            classes: classes.map(class).collect(),
            calibration,
            own: self.own,
            distances,
        })
    }

    fn directions(&self, lesson: &Lesson) -> Vec<Vec<i16>> {
        let direction = |example: &Example| {
            let mut direction = vec![0; self.metric.len()];
            self.metric.direction(&example.features, &mut direction);
            direction
        };
        lesson.examples.iter().map(direction).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// So many features fall apart by chance as seldom as those of a network do.
    pub(crate) const FEATURES: usize = 24;

    /// A teacher without examples. The fourth feature counts most, the fifth not at all.
    pub(crate) fn teacher() -> Teacher {
        let mut scales = vec![800; FEATURES];
        scales[..5].copy_from_slice(&[900, 1000, 700, u16::MAX, 0]);
        Teacher::new([7; 32], Metric { zero: -3, scales }, Other::Unknown)
    }

    /// SplitMix64.
    fn random(seed: u64) -> u64 {
        let z = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The n-th example of a class.
    pub(crate) fn example(class: usize, n: usize) -> Example {
        let noise = |i: usize| (random((n * 256 + class * 32 + i) as u64) % 21) as i8;
        let mut features: Vec<i8> = (0..FEATURES).map(noise).collect();
        features[class] += 90;
        features[3] = -3;
        Example::new(&[class as u8, n as u8], &features)
    }

    /// Three classes of so many examples each.
    pub(crate) fn three(examples: usize) -> Teacher {
        let mut teacher = teacher();
        for (class, name) in ["mug", "cup", "Glas, groß"].into_iter().enumerate() {
            (0..examples).for_each(|n| assert!(teacher.add(name, example(class, n)).unwrap()));
        }
        teacher
    }

    pub(crate) fn percent(percent: f64) -> FalseAlarms {
        FalseAlarms::percent(percent).unwrap()
    }

    #[test]
    fn examples_become_classes() {
        let teaching = three(20).finish(percent(5.0)).unwrap();
        assert_eq!(teaching.labels(), ["mug", "cup", "Glas, groß", "unknown"]);
        for class in teaching.classes() {
            assert_eq!((class.examples(), class.prototypes().len(), class.right()), (20, 1, 20));
        }
        assert_eq!((teaching.calibration().examples, teaching.calibration().rank), (60, 58));
        let certain = three(1).finish(FalseAlarms::NONE).unwrap();
        assert_eq!(certain.labels(), ["mug", "cup", "Glas, groß"]);
    }

    #[test]
    fn an_image_is_an_example_of_one_class_and_counts_once() {
        let mut teacher = three(4);
        assert_eq!(teacher.add("mug", example(0, 2)), Ok(false));
        let both = TeachError::Contradiction { first: "cup".into(), second: "mug".into() };
        assert_eq!(teacher.add("mug", example(1, 2)), Err(both));
        assert_eq!(teacher.finish(percent(5.0)).unwrap().classes()[0].examples(), 4);
    }

    #[test]
    fn what_cannot_be_taught_is_told() {
        assert_eq!(teacher().finish(percent(5.0)), Err(TeachError::NoClasses));
        let one = three(1).finish(percent(5.0));
        assert_eq!(one, Err(TeachError::OneExample("mug".into())));
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", " ", " mug", "mug\n", "a\u{1b}b", "Unknown", "anomaly", &long] {
            let refused = teacher().add(name, example(0, 0));
            assert!(matches!(refused, Err(TeachError::Name { .. })), "{name:?}: {refused:?}");
        }
        let short = Example::new(&[1], &[1, 2]);
        assert_eq!(teacher().add("mug", short), Err(TeachError::WrongFeatures { got: 2, want: FEATURES }));
        let mut full = teacher();
        for n in 0..MAX_EXAMPLES {
            full.add("mug", Example { image: n as u64, features: vec![0; FEATURES] }).unwrap();
        }
        let more = Example { image: u64::MAX, features: vec![0; FEATURES] };
        assert_eq!(full.add("mug", more), Err(TeachError::TooManyExamples("mug".into())));
    }

    #[test]
    fn images_that_look_the_same_to_the_network_are_told_apart_from_all_others() {
        let mut teacher = teacher();
        for n in 0..20 {
            let features = example(0, 0).features;
            teacher.add("mug", Example { image: n, features }).unwrap();
        }
        let teaching = teacher.finish(percent(5.0)).unwrap();
        assert_eq!((teaching.calibration().threshold, teaching.calibration().spread), (0, 1));
        let mut recognizer = crate::Recognizer::new(&teaching);
        assert_eq!(recognizer.recognize(&example(0, 0).features).class, Some(0));
        assert_eq!(recognizer.recognize(&example(0, 1).features).class, None);
    }

    #[test]
    fn weights_say_how_like_a_class_an_image_is() {
        let teaching = three(12).finish(percent(5.0)).unwrap();
        let zero = f32::from(teaching.metric.zero);
        let plain = |class, n| -> Vec<f32> {
            example(class, n).features.iter().map(|&q| f32::from(q) - zero).collect()
        };
        let cosine = |class: usize, features: &[f32]| -> f32 {
            let weights = teaching.weights(class, features).unwrap();
            weights.iter().zip(features).map(|(w, x)| w * x).sum()
        };
        for (class, n) in (0..3).flat_map(|class| (50..60).map(move |n| (class, n))) {
            let features = plain(class, n);
            let all: Vec<f32> = (0..3).map(|other| cosine(other, &features)).collect();
            assert!(all.iter().all(|c| (-1.01..=1.01).contains(c)), "{all:?}");
            assert!(all.iter().all(|c| *c <= all[class]), "{class}: {all:?}");
        }
        assert_eq!(teaching.weights(3, &plain(0, 0)), None);
        assert_eq!(teaching.weights(0, &[1.0]), None);
        assert_eq!(teaching.weights(0, &[0.0; FEATURES]), None);
    }

    #[test]
    fn classes_are_renamed_removed_and_added() {
        let whole = three(12).finish(percent(5.0)).unwrap();
        let mut teacher = whole.clone().into_teacher();
        assert_eq!(teacher.clone().finish(percent(5.0)).unwrap(), whole, "nothing has changed");
        assert_eq!(teacher.rename("mug", "cup"), Err(TeachError::NameTaken("cup".into())));
        assert_eq!(teacher.rename("jug", "mug"), Err(TeachError::NoSuchClass("jug".into())));
        assert!(matches!(teacher.rename("mug", "unknown"), Err(TeachError::Name { .. })));
        teacher.rename("mug", "beaker").unwrap();
        teacher.rename("cup", "cup").unwrap();
        assert_eq!(teacher.remove("mug"), Err(TeachError::NoSuchClass("mug".into())));
        teacher.remove("Glas, groß").unwrap();
        (0..12).for_each(|n| assert_eq!(teacher.add("Glas, groß", example(2, n)), Ok(true)));
        teacher.rename("beaker", "mug").unwrap();
        assert_eq!(teacher.clone().finish(percent(5.0)).unwrap(), whole);
        for name in ["mug", "cup", "Glas, groß"] {
            teacher.remove(name).unwrap();
        }
        assert_eq!(teacher.finish(percent(5.0)), Err(TeachError::NoClasses));
    }
}
