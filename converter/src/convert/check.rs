//! Compares an int8 network's answers with f32's on images that calibration did not use.

use std::fmt;

use foldnet_archive::Network;

use super::images::Sample;
use crate::image::Pixels;
use crate::model::FloatModel;
use crate::per_class::{self, Change, PerClass, mcnemar};
use crate::quantize::recipe::Progress;
use crate::quantize::score::{Distance, Measure};
use crate::report::Accuracy;
use crate::run::{RunError, Runner};

/// The images with the answers of f32.
pub struct Check<'a> {
    samples: &'a [Sample],
    pixels: Vec<Pixels>,
    truth: Vec<Vec<f32>>,
    measure: Measure,
    labels: Vec<String>,
    per_class: bool,
}

/// The answers of an int8 network, and their comparison.
pub struct Answers {
    /// The values before the network's final function, image by image.
    pub logits: Vec<Vec<f32>>,
    /// The distance from f32; `None` without images.
    pub distance: Option<Distance>,
    /// The accuracy; `None` without labels, or if the output names no class.
    pub accuracy: Option<Accuracy>,
    /// The change of each class from f32 to int8; empty if there is no accuracy.
    pub classes: Vec<Change>,
    /// Whether each class counts separately.
    per_class: bool,
}

/// The loss of accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Drop {
    /// The loss in percentage points.
    pub points: f64,
    what: String,
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {:.2} points", self.what, self.points)
    }
}

impl<'a> Check<'a> {
    /// Runs the float model.
    pub fn new(
        model: &FloatModel,
        samples: &'a [Sample],
        measure: Measure,
        progress: &dyn Progress,
    ) -> Result<Self, RunError> {
        let pixels: Vec<Pixels> = samples.iter().map(|s| s.pixels.clone()).collect();
        let mut run = Runner::float(model)?;
        progress.stage("checking", pixels.len());
        let mut truth = Vec::with_capacity(pixels.len());
        for chunk in pixels.chunks(32) {
            truth.extend(run.logits(chunk)?);
            chunk.iter().for_each(|_| progress.tick());
        }
        Ok(Self { samples, pixels, truth, measure, labels: model.labels.clone(), per_class: false })
    }

    /// Makes [`Answers::drop`] consider each class separately.
    pub fn per_class(self, per_class: bool) -> Self {
        Self { per_class, ..self }
    }

    /// Returns the images.
    pub fn samples(&self) -> &'a [Sample] {
        self.samples
    }

    /// Returns the answers of f32.
    pub fn truth(&self) -> &[Vec<f32>] {
        &self.truth
    }

    /// Returns how answers are compared.
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Computes the answers of an int8 network.
    pub fn answers(&self, network: &Network) -> Result<Answers, RunError> {
        let logits = Runner::int8(network)?.logits(&self.pixels)?;
        let distance = (!logits.is_empty()).then(|| Distance::between(&self.truth, &logits, self.measure));
        let labelled = self.labelled(&logits).unwrap_or_default();
        let accuracy = accuracy(&labelled);
        let classes = self.classes(&labelled);
        Ok(Answers { logits, distance, accuracy, classes, per_class: self.per_class })
    }

    /// Returns the label and the answers of f32 and int8 for each image with a label; `None` if the output names
    /// no class.
    fn labelled(&self, logits: &[Vec<f32>]) -> Option<Vec<Labelled>> {
        let all = self.samples.iter().zip(self.truth.iter().zip(logits));
        let labelled = all.filter_map(|(sample, answers)| sample.label.map(|label| (label, answers)));
        let answers = |(label, (float, int8)): (usize, (&Vec<f32>, &Vec<f32>))| {
            let (float, int8) = (self.measure.class(float)?, self.measure.class(int8)?);
            Some(Labelled { label, float, int8 })
        };
        labelled.map(answers).collect()
    }

    fn classes(&self, labelled: &[Labelled]) -> Vec<Change> {
        let named = labelled.iter().flat_map(|l| [l.label, l.float, l.int8]);
        let size = named.max().map_or(0, |largest| largest + 1);
        let (mut before, mut after) = (PerClass::new(size), PerClass::new(size));
        for l in labelled {
            before.add(l.label, l.float);
            after.add(l.label, l.int8);
        }
        per_class::changes(&before, &after, &self.labels)
    }
}

/// The true class of an image, and the answers of both networks.
struct Labelled {
    label: usize,
    float: usize,
    int8: usize,
}

fn accuracy(labelled: &[Labelled]) -> Option<Accuracy> {
    let count = |right: fn(&Labelled) -> bool| labelled.iter().filter(|l| right(l)).count();
    let float_right = count(|l| l.float == l.label);
    let int8_right = count(|l| l.int8 == l.label);
    let both = count(|l| l.float == l.label && l.int8 == l.label);
    let share = |n: usize| n as f64 / labelled.len() as f64;
    (!labelled.is_empty()).then(|| Accuracy {
        images: labelled.len(),
        float: share(float_right),
        int8: share(int8_right),
        float_right,
        int8_right,
        p: mcnemar(float_right - both, int8_right - both),
    })
}

impl Answers {
    /// Returns the points of accuracy lost or, without labels, the points of images whose answer changed. If each
    /// class counts, returns the points of recall or precision of the class that loses most, if those are more.
    pub fn drop(&self) -> Option<Drop> {
        let on_average = self.drop_on_average();
        if !self.per_class {
            return on_average;
        }
        let of = |change: &Change| change.loss().map(|(points, what)| (points, what, change.class.clone()));
        let (points, what, class) = self.classes.iter().filter_map(of).max_by(|a, b| a.0.total_cmp(&b.0))?;
        let what = format!("{what} of {class} on the checked images fell");
        on_average.filter(|average| average.points > points).or(Some(Drop { points, what }))
    }

    fn drop_on_average(&self) -> Option<Drop> {
        match (self.accuracy, self.distance) {
            (Some(a), _) => {
                let points = (a.float - a.int8) * 100.0;
                Some(Drop { points, what: "accuracy on the checked images fell".into() })
            }
            (None, Some(d)) => {
                let what = match (d.agreement, d.r2) {
                    (Some(_), _) => "answers to the checked images changed",
                    (None, Some(_)) => "R² on the checked images fell",
                    (None, None) => "the cosine on the checked images fell",
                };
                Some(Drop { points: (1.0 - d.likeness()) * 100.0, what: what.into() })
            }
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_loses_more_than_the_average_decides() {
        let mut counts = [PerClass::new(2), PerClass::new(2)];
        // int8 loses one of 20 images of the rare class and none of the 200 others.
        for i in 0..220 {
            let label = usize::from(i >= 200);
            counts[0].add(label, label);
            counts[1].add(label, if i == 219 { 0 } else { label });
        }
        let accuracy = Accuracy {
            images: 220,
            float: 1.0,
            int8: 219.0 / 220.0,
            float_right: 220,
            int8_right: 219,
            p: mcnemar(1, 0),
        };
        let answers = |per_class| Answers {
            logits: Vec::new(),
            distance: None,
            accuracy: Some(accuracy),
            classes: per_class::changes(&counts[0], &counts[1], &["common".into(), "rare".into()]),
            per_class,
        };
        let on_average = answers(false).drop().unwrap();
        assert!((0.45..0.46).contains(&on_average.points), "{on_average}");
        let rare = answers(true).drop().unwrap();
        assert!(rare.points > 4.99 && rare.to_string().contains("recall of rare"), "{rare}");
        let none = Answers { classes: Vec::new(), ..answers(true) };
        assert_eq!(none.drop(), None, "no class has enough images");
    }
}
