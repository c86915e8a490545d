//! An int8 network's answers, held against f32's on images that calibration did not see.

use std::fmt;

use foldnet_archive::Network;

use super::images::Sample;
use crate::model::FloatModel;
use crate::quantize::recipe::Progress;
use crate::quantize::score::{Distance, Measure};
use crate::report::Accuracy;
use crate::run::{RunError, Runner};

/// Images with f32's answers.
pub struct Check<'a> {
    samples: &'a [Sample],
    pixels: Vec<Vec<u8>>,
    truth: Vec<Vec<f32>>,
    measure: Measure,
}

/// An int8 network's answers, and what came of them.
pub struct Answers {
    /// Before the network's final function, image by image.
    pub logits: Vec<Vec<f32>>,
    /// None without images.
    pub distance: Option<Distance>,
    /// None without labels, and where the output names no class.
    pub accuracy: Option<Accuracy>,
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drop {
    /// In hundredths.
    pub points: f64,
    what: &'static str,
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
        let pixels: Vec<Vec<u8>> = samples.iter().map(|s| s.pixels.clone()).collect();
        let mut run = Runner::float(model)?;
        progress.stage("checking", pixels.len());
        let mut truth = Vec::with_capacity(pixels.len());
        for chunk in pixels.chunks(32) {
            truth.extend(run.logits(chunk)?);
            chunk.iter().for_each(|_| progress.tick());
        }
        Ok(Self { samples, pixels, truth, measure })
    }

    /// The images.
    pub fn samples(&self) -> &'a [Sample] {
        self.samples
    }

    /// f32's answers.
    pub fn truth(&self) -> &[Vec<f32>] {
        &self.truth
    }

    /// How answers are compared.
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// What an int8 network answers.
    pub fn answers(&self, network: &Network) -> Result<Answers, RunError> {
        let logits = Runner::int8(network)?.logits(&self.pixels)?;
        let distance = (!logits.is_empty()).then(|| Distance::between(&self.truth, &logits, self.measure));
        let accuracy = self.accuracy(&logits);
        Ok(Answers { logits, distance, accuracy })
    }

    fn accuracy(&self, logits: &[Vec<f32>]) -> Option<Accuracy> {
        let labels = self.samples.iter().enumerate().filter_map(|(i, s)| s.label.map(|l| (i, l)));
        let labelled: Vec<(usize, usize)> = labels.collect();
        let right = |of: &[Vec<f32>]| -> Option<usize> {
            labelled.iter().map(|(i, l)| self.measure.class(&of[*i]).map(|c| usize::from(c == *l))).sum()
        };
        let (float_right, int8_right) = right(&self.truth).zip(right(logits))?;
        let share = |n: usize| n as f64 / labelled.len() as f64;
        (!labelled.is_empty()).then(|| Accuracy {
            images: labelled.len(),
            float: share(float_right),
            int8: share(int8_right),
            float_right,
            int8_right,
        })
    }
}

impl Answers {
    /// Points of accuracy lost or, without labels, of images whose answer changed.
    pub fn drop(&self) -> Option<Drop> {
        match (self.accuracy, self.distance) {
            (Some(a), _) => {
                let points = (a.float - a.int8) * 100.0;
                Some(Drop { points, what: "accuracy on the checked images fell" })
            }
            (None, Some(d)) => {
                let what = match (d.agreement, d.r2) {
                    (Some(_), _) => "answers to the checked images changed",
                    (None, Some(_)) => "R² on the checked images fell",
                    (None, None) => "the cosine on the checked images fell",
                };
                Some(Drop { points: (1.0 - d.likeness()) * 100.0, what })
            }
            (None, None) => None,
        }
    }
}
