//! `--max-drop`: how much accuracy was lost, and what to keep in 16 bits so that it is no more than allowed.

use foldnet::Session;
use foldnet_archive::{Manifest, Network};
use foldnet_backends::bench::{Iterations, Statistics, measure};

use super::model::{Int8Model, Model, Runner};
use super::pictures::Sample;
use super::{Failure, Talk};
use crate::quantize::equalize;
use crate::quantize::mixed::{self, Found, Mixed};
use crate::quantize::recipe::{Outcome, Progress};
use crate::quantize::score::{Distance, top};
use crate::quantize::sensitivity::Share;
use crate::report::{Accuracy, KeptPart, KeptReport};

/// Runs of which the median is the time of an inference.
const RUNS: usize = 15;

/// Held-out pictures with f32's answers, which an int8 network is held against.
pub struct Check<'a> {
    samples: &'a [Sample],
    pixels: Vec<Vec<u8>>,
    truth: Vec<Vec<f32>>,
    activation: foldnet_archive::Activation,
}

/// An int8 network's answers, and what came of them.
pub struct Answers {
    /// Logits, picture by picture.
    pub logits: Vec<Vec<f32>>,
    /// None without pictures.
    pub distance: Option<Distance>,
    /// None without labels.
    pub accuracy: Option<Accuracy>,
}

impl<'a> Check<'a> {
    /// Runs the float model.
    pub fn new(float: &Model, samples: &'a [Sample], talk: &Talk) -> Result<Self, Failure> {
        let Model::Float(model) = float else { unreachable!("called with the model to quantize") };
        let pixels: Vec<Vec<u8>> = samples.iter().map(|s| s.pixels.clone()).collect();
        let mut run = Runner::new(float)?;
        talk.stage("checking", pixels.len());
        let mut truth = Vec::with_capacity(pixels.len());
        for chunk in pixels.chunks(32) {
            truth.extend(run.logits(chunk)?);
            chunk.iter().for_each(|_| talk.tick());
        }
        Ok(Self { samples, pixels, truth, activation: model.graph.activation })
    }

    /// f32's logits.
    pub fn truth(&self) -> &[Vec<f32>] {
        &self.truth
    }

    /// What a network makes of the pictures.
    pub fn answers(&self, network: &Network, manifest: &Manifest) -> Result<Answers, Failure> {
        let model = Model::Int8(Box::new(Int8Model {
            network: network.clone(),
            manifest: manifest.clone(),
            bytes: 0,
        }));
        let logits = Runner::new(&model)?.logits(&self.pixels)?;
        let distance = (!logits.is_empty()).then(|| Distance::between(&self.truth, &logits, self.activation));
        let accuracy = self.accuracy(&logits);
        Ok(Answers { logits, distance, accuracy })
    }

    fn accuracy(&self, logits: &[Vec<f32>]) -> Option<Accuracy> {
        let labels = self.samples.iter().enumerate().filter_map(|(i, s)| s.label.map(|l| (i, l)));
        let labelled: Vec<(usize, usize)> = labels.collect();
        let share = |of: &[Vec<f32>]| {
            labelled.iter().filter(|(i, l)| top(&of[*i]) == *l).count() as f64 / labelled.len() as f64
        };
        (!labelled.is_empty()).then(|| Accuracy {
            images: labelled.len(),
            float: share(&self.truth),
            int8: share(logits),
        })
    }
}

impl Answers {
    /// Points of accuracy lost or, without labels, of pictures whose answer changed; and in words.
    pub fn drop(&self) -> Option<(f64, &'static str)> {
        match (self.accuracy, self.distance) {
            (Some(a), _) => Some(((a.float - a.int8) * 100.0, "accuracy on held-out pictures fell")),
            (None, Some(d)) => Some(((1.0 - d.agreement) * 100.0, "held-out pictures changed their top-1")),
            (None, None) => None,
        }
    }
}

/// Looks for the fewest parts to keep in 16 bits; none where even all of them are not enough, which is said.
pub fn keep(
    outcome: &Outcome,
    shares: &[Share],
    pictures: &[Vec<u8>],
    limit: f64,
    check: &Check<'_>,
    manifest: &Manifest,
    talk: &Talk,
) -> Result<Option<Mixed>, Failure> {
    let exact = equalize::apply(&outcome.graph, &outcome.factors);
    talk.stage("keeping", 1);
    let measure = |network: &Network| -> Result<f64, Failure> {
        Ok(check.answers(network, manifest)?.drop().map_or(f64::INFINITY, |d| d.0))
    };
    let found = mixed::keep(&outcome.draft, &exact, shares, pictures, limit, measure)?;
    talk.tick();
    match found {
        Found::Yes(mixed) => Ok(Some(*mixed)),
        Found::No(drop) => {
            talk.warn(format!(
                "with everything in 16 bits that can be, {drop:.2} points would still be lost; the archive is int8"
            ));
            Ok(None)
        }
    }
}

/// What was kept and what it costs, for the report.
pub fn report(
    outcome: &Outcome,
    mixed: &Mixed,
    limit: f64,
    before: f64,
    manifest: &Manifest,
) -> Result<KeptReport, Failure> {
    let int8 = Manifest { format: outcome.network.format(), ..manifest.clone() };
    let part = |p: &mixed::Part| KeptPart {
        name: outcome.graph.nodes[p.node].name.clone(),
        what: if p.weights { "weights" } else { "values" },
        sqnr: p.sqnr,
        macs: p.macs,
        parameters: p.parameters,
    };
    Ok(KeptReport {
        limit,
        drop_before: before,
        drop: mixed.drop,
        tried: mixed.tried,
        parts: mixed.parts.iter().map(part).collect(),
        macs_before: outcome.network.macs(),
        macs: mixed.network.macs(),
        bytes_before: foldnet_archive::pack(&outcome.network, &int8).len() as u64,
        // Not written yet.
        bytes: 0,
        ms_before: milliseconds(&outcome.network)?,
        ms: milliseconds(&mixed.network)?,
    })
}

/// The median of a few inferences on one thread.
fn milliseconds(network: &Network) -> Result<f64, Failure> {
    let session = Session::new(network, foldnet_kernels::dispatch::best(), 1);
    let mut session = session.map_err(|e| Failure::Fault(e.into()))?;
    let pixels = vec![128; network.input().len()];
    let times = measure(Iterations::Exactly(RUNS), || {
        session.run(&pixels);
        Ok::<(), Failure>(())
    })?;
    Ok(Statistics::of(&times).median_ms)
}
