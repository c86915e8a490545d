//! `converter compare`: where two models part.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::model::{Around, InputFlags, Model, Runner};
use super::output::OutputFlags;
use super::pictures::{Reader, spread};
use super::talk::percent;
use super::{Failure, Talk};
use crate::interval::wilson;
use crate::quantize::recipe::Progress;
use crate::quantize::score::{Distance, Measure};
use crate::report::layers::{Noise, NoiseMap};

/// Compare two models or archives on images
///
/// Prints how often both give the same top-1, how far their scores are apart, and the error of each layer.
#[derive(Args)]
#[command(after_help = "Example:\n  converter compare model.onnx model.nnef.tgz --images test/")]
pub struct Cmd {
    /// Reference: ONNX model or archive
    a: PathBuf,
    /// Model to compare with it
    b: PathBuf,
    /// Images: a folder, a CIFAR .bin file, or a .npy array
    #[arg(long)]
    images: PathBuf,
    #[command(flatten)]
    input: InputFlags,
    #[command(flatten)]
    meaning: OutputFlags,
    /// Number of images to compare layers on
    #[arg(long, default_value_t = 32)]
    layer_images: usize,
    /// Signal-to-noise ratio in dB below which a layer is reported
    #[arg(long, default_value_t = 20.0)]
    threshold: f64,
    /// Exit with code 2 if an image cannot be read
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Outcome {
    images: usize,
    /// What the output means.
    output: &'static str,
    /// Share of images with the same answer; none where the output names no class.
    agreement: Option<f64>,
    /// 95 % Wilson interval of `agreement`.
    interval: Option<(f64, f64)>,
    kl: Option<f64>,
    sqnr: f64,
    r2: Option<f64>,
    cosine: Option<f64>,
    /// Images whose answer is another one.
    changed: Vec<String>,
    largest_difference: f64,
    skipped: usize,
    first_diverging: Option<String>,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    name: String,
    sqnr: f64,
}

const IMAGES_AT_ONCE: usize = 64;
/// At most this many changed images are named.
const NAMED: usize = 20;

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let around = Around { images: Some(&self.images), ..Around::nothing(talk) };
        let (a, b) = (Model::load(&self.a, &self.input, around)?, Model::load(&self.b, &self.input, around)?);
        for model in [&a, &b] {
            if let Model::Float(model) = model {
                talk.say(model.pixels());
            }
        }
        if a.classes() != b.classes() {
            return Err(Failure::Input(anyhow::anyhow!(
                "{} has {} outputs, {} has {}",
                self.a.display(),
                a.classes(),
                self.b.display(),
                b.classes()
            )));
        }
        let size = |m: &Model| (m.input().height, m.input().width, m.input().channels);
        if size(&a) != size(&b) {
            return Err(Failure::Input(anyhow::anyhow!(
                "the inputs differ in size: {:?} and {:?}",
                size(&a),
                size(&b)
            )));
        }
        let dataset = super::pictures::open(&self.images, talk)?;
        let reading = self.meaning.reading(&a, dataset.classes())?;
        let measure = Measure::new(reading.kind);
        if reading.must_be_told {
            talk.say(format!("output: {} ({})", reading.kind, reading.reason));
        }
        let (mut run_a, mut run_b) = (Runner::new(&a)?, Runner::new(&b)?);
        let mut reader = Reader::new(&dataset, b.input(), talk);
        let (mut logits_a, mut logits_b, mut names) = (Vec::new(), Vec::new(), Vec::new());
        talk.stage("comparing", dataset.len());
        for start in (0..dataset.len()).step_by(IMAGES_AT_ONCE) {
            let samples = reader.read(start..dataset.len().min(start + IMAGES_AT_ONCE));
            names.extend(samples.iter().map(|s| s.name.clone()));
            let pixels: Vec<Vec<u8>> = samples.into_iter().map(|s| s.pixels).collect();
            logits_a.extend(run_a.logits(&pixels)?);
            logits_b.extend(run_b.logits(&pixels)?);
            pixels.iter().for_each(|_| talk.tick());
        }
        reader.check(logits_a.len(), self.strict)?;
        let skipped = reader.skipped;
        let distance = Distance::between(&logits_a, &logits_b, measure);
        let answers = logits_a.iter().zip(&logits_b).zip(&names);
        let changed: Vec<String> = answers
            .filter(|((a, b), _)| measure.same(a, b) == Some(false))
            .map(|(_, name)| name.clone())
            .collect();
        let interval = distance.same.map(|same| wilson(same, distance.images));
        let largest = logits_a
            .iter()
            .flatten()
            .zip(logits_b.iter().flatten())
            .fold(0.0f64, |m, (a, b)| m.max(f64::from((a - b).abs())));

        let mut noise: NoiseMap = BTreeMap::new();
        talk.stage("comparing layers", self.layer_images.min(dataset.len()));
        let mut reader = Reader::new(&dataset, b.input(), talk);
        let mut order = Vec::new();
        for number in spread(dataset.len(), self.layer_images) {
            for sample in reader.read([number]) {
                let (values_a, values_b) = (run_a.tensors(&sample.pixels)?, run_b.tensors(&sample.pixels)?);
                let known: BTreeMap<&str, &super::model::Values> =
                    values_a.iter().map(|v| (v.name.as_str(), v)).collect();
                for theirs in &values_b {
                    let Some(ours) = known.get(theirs.name.as_str()) else { continue };
                    if ours.values.len() != theirs.values.len() {
                        continue;
                    }
                    let entry = noise.entry(theirs.name.clone()).or_insert_with(|| {
                        order.push(theirs.name.clone());
                        Noise::new(theirs.channels)
                    });
                    entry.add(&ours.values, &theirs.values);
                }
            }
            talk.tick();
        }
        let layers: Vec<Layer> =
            order.into_iter().map(|name| Layer { sqnr: noise[&name].sqnr(), name }).collect();
        let first = layers.iter().find(|l| l.sqnr < self.threshold).map(|l| l.name.clone());
        talk.clear();
        for layer in &layers {
            talk.human(format!("{:>7.2} dB  {}", layer.sqnr, layer.name));
        }
        for name in changed.iter().take(NAMED) {
            talk.human(format!("another answer: {name}"));
        }
        if changed.len() > NAMED {
            talk.human(format!("… and {} more (--json lists all)", changed.len() - NAMED));
        }
        let within =
            interval.map_or(String::new(), |(lo, hi)| format!(" (95 %: {} … {})", percent(lo), percent(hi)));
        talk.human(format!(
            "{} images: {}, largest difference {largest:.4}{within}",
            distance.images,
            distance.words()
        ));
        talk.human(match &first {
            Some(name) => format!("first layer below {} dB: {name}", self.threshold),
            None => format!("no layer below {} dB", self.threshold),
        });
        talk.result(&Outcome {
            images: distance.images,
            output: reading.kind.name(),
            interval,
            r2: distance.r2,
            cosine: distance.cosine,
            changed,
            agreement: distance.agreement,
            kl: distance.kl,
            sqnr: distance.sqnr,
            largest_difference: largest,
            skipped,
            first_diverging: first,
            layers,
        });
        Ok(())
    }
}
