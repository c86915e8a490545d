//! What is made of the examples: classes with prototypes, and what is none of them.

use crate::calibrate::{Calibration, Interval};
use crate::cluster::Prototype;
use crate::metric::Metric;
use crate::own::Own;
use crate::taught::TaughtError;
use crate::teacher::{Example, Lesson, Teacher};

/// What an image of no class is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Other {
    /// *unknown*.
    #[default]
    Unknown,
    /// *anomaly*, where the classes are what is normal.
    Anomaly,
}

impl Other {
    /// The label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Anomaly => "anomaly",
        }
    }
}

/// A taught class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    pub(crate) name: String,
    pub(crate) examples: Vec<Example>,
    pub(crate) prototypes: Vec<Prototype>,
    pub(crate) right: u32,
}

impl Class {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its images are known again by, see [`hash_pixels`](crate::hash_pixels).
    pub fn images(&self) -> impl Iterator<Item = u64> {
        self.examples.iter().map(|example| example.image)
    }

    /// The number of its examples.
    pub fn examples(&self) -> usize {
        self.examples.len()
    }

    /// Its prototypes.
    pub fn prototypes(&self) -> &[Prototype] {
        &self.prototypes
    }

    /// How many of its examples are nearest to this class while they are held out.
    pub fn right(&self) -> u32 {
        self.right
    }
}

/// Classes, and what is none of them: what a teaching file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teaching {
    pub(crate) archive: [u8; 32],
    pub(crate) metric: Metric,
    pub(crate) other: Other,
    pub(crate) classes: Vec<Class>,
    pub(crate) calibration: Calibration,
    pub(crate) own: Own,
    /// Distances of held-out examples, the smallest first; none where no image of the network's own classes is known.
    pub(crate) distances: Vec<u32>,
}

impl Teaching {
    /// SHA-256 of the archive that it belongs to.
    pub fn archive(&self) -> [u8; 32] {
        self.archive
    }

    /// How features are compared.
    pub fn metric(&self) -> &Metric {
        &self.metric
    }

    /// The classes, at least one.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// What an image of no class is called.
    pub fn other(&self) -> Other {
        self.other
    }

    /// The threshold, and how well it is known.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// What of an image speaks for a class: a weight for each feature, so that `Σ feature · weight` is the cosine between
    /// the image and the class's nearest prototype. Features are those of a
    /// [`Session`](foldnet::Session::run_with_features) without their zero point. `None` if there is no such class, if
    /// the features are those of another network, or if all of them are zero.
    pub fn weights(&self, class: usize, features: &[f32]) -> Option<Vec<f32>> {
        let class = self.classes.get(class).filter(|_| features.len() == self.metric.len())?;
        let scale = |n: usize| f64::from(self.metric.scales[n]);
        let length =
            (0..features.len()).map(|n| (f64::from(features[n]) * scale(n)).powi(2)).sum::<f64>().sqrt();
        let of = |prototype: &Prototype| -> Vec<f64> {
            let unit = length * f64::from(prototype.norm.max(1)).sqrt();
            prototype.mean.iter().enumerate().map(|(n, &mean)| f64::from(mean) * scale(n) / unit).collect()
        };
        let cosine =
            |weights: &[f64]| weights.iter().zip(features).map(|(w, &x)| w * f64::from(x)).sum::<f64>();
        let all = class.prototypes.iter().filter(|_| length > 0.0).map(of);
        let nearest = all.max_by(|a, b| cosine(a).total_cmp(&cosine(b)))?;
        Some(nearest.into_iter().map(|w| w as f32).collect())
    }

    /// How far two images of one class may be from each other: a limit for [`group`](crate::group).
    pub fn alike(&self) -> f64 {
        // On average it is twice the mean distance from the middle; half of all pairs are farther. Examples of one still
        // scene lie closer than things do, so there is a least limit: twice the mean distance in a small ResNet's classes.
        let spread = f64::from(self.calibration.spread) / f64::from(crate::metric::ONE_SQUARED);
        (3.0 * spread).max(0.5)
    }

    /// The rate of false alarms as a sentence without its full stop.
    pub fn rate_in_words(&self) -> String {
        let other = self.other.name();
        let own = self.own_rate().filter(|_| self.own.mixed).map_or(String::new(), |rate| {
            let [low, expected, high] = [rate.low, rate.expected, rate.high].map(|share| 100.0 * share);
            format!("; of images of the network's own classes at most about {expected:.1} % ({low:.1} to {high:.1} %)")
        });
        let about = if self.own.mixed { "at most about" } else { "about" };
        match self.calibration.rate() {
            None if self.own.mixed => format!("never {other}: each image gets a class"),
            None => format!("never {other}: each image gets the nearest class"),
            Some(rate) => format!(
                "of images of these classes {about} {:.1} % are called {other} ({:.1} to {:.1} % with 90 % certainty){own}",
                100.0 * rate.expected,
                100.0 * rate.low,
                100.0 * rate.high
            ),
        }
    }

    /// What stands against the rate that was asked for, where there are too few examples for it.
    pub fn too_few_in_words(&self) -> Option<String> {
        let Calibration { asked, examples, .. } = self.calibration;
        (!self.calibration.keeps_the_rate()).then(|| {
            format!(
                "{examples} image{} cannot keep a false-alarm rate of {} %; {} can. Until then the farthest of them sets the limit of {}",
                if examples == 1 { "" } else { "s" },
                100.0 * asked.share(),
                asked.fewest_examples(),
                self.other.name()
            )
        })
    }

    /// The names of the scores of a [`Recognizer`](crate::Recognizer): the classes, and what is none of them.
    pub fn labels(&self) -> Vec<String> {
        let other = self.calibration.tells_unknown().then(|| self.other.name().to_owned());
        self.classes.iter().map(|class| class.name.clone()).chain(other).collect()
    }

    /// The same where the network's classes with these names are answered, too: they come behind the taught ones, without
    /// those that a taught class is called like.
    pub fn labels_with(&self, own: &[String]) -> Vec<String> {
        let mut labels: Vec<String> = self.classes.iter().map(|class| class.name.clone()).collect();
        for name in own {
            if !labels.contains(name) {
                labels.push(name.clone());
            }
        }
        labels.extend(self.calibration.tells_unknown().then(|| self.other.name().to_owned()));
        labels
    }

    /// The network's own classes.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The rate of false alarms on images of the network's own classes; `None` if nothing is unknown, or if there are no
    /// such images.
    pub fn own_rate(&self) -> Option<Interval> {
        self.own.rate(self.calibration.asked)
    }

    /// Whether it was taught with the archive that has this SHA-256.
    pub fn check(&self, archive: [u8; 32]) -> Result<(), TaughtError> {
        if archive == self.archive {
            return Ok(());
        }
        // The beginning tells two apart.
        let hex =
            |hash: [u8; 32]| hash[..6].iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "…";
        Err(TaughtError::Foreign { taught: hex(self.archive), given: hex(archive) })
    }

    /// Goes on teaching.
    pub fn into_teacher(self) -> Teacher {
        let lesson = |class: Class| Lesson { name: class.name, examples: class.examples };
        let lessons = self.classes.into_iter().map(lesson).collect();
        Teacher { archive: self.archive, metric: self.metric, other: self.other, lessons, own: self.own }
    }
}
