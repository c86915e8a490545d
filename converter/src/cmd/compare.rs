//! `converter compare`: where two models part.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use foldnet_archive::Input;
use foldnet_cli::count;
use foldnet_dataset::Dataset;
use serde::Serialize;

use super::images::{Reader, check_labels, spread};
use super::labels::LabelFlags;
use super::model::{Around, InputFlags, Model, Runner, Values};
use super::output::OutputFlags;
use super::talk::percent;
use super::values::finite;
use super::{Failure, Talk};
use crate::image::Pixels;
use crate::interval::wilson;
use crate::per_class::{self, Change, PerClass};
use crate::quantize::recipe::Progress;
use crate::quantize::score::{Distance, Measure};
use crate::report::layers::{Noise, NoiseMap};

/// Compare two models or archives on images
///
/// Prints how often both give the same top-1, how far their scores are apart, and the error of each layer.
#[derive(Args)]
#[command(after_help = "Examples:\n  converter compare model.onnx model.nnef.tgz --images test/\n  \
                        converter compare model.onnx model.nnef.tgz --images test/ --per-class")]
pub struct Cmd {
    /// Reference: ONNX or TFLite model, or archive
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
    #[command(flatten)]
    names: LabelFlags,
    /// Compare precision, recall and F1 of each class; needs labelled images
    #[arg(long)]
    per_class: bool,
    /// Number of images to compare layers on
    #[arg(long, default_value_t = 32)]
    layer_images: usize,
    /// Signal-to-noise ratio in dB below which a layer is reported
    #[arg(long, default_value_t = 20.0, value_parser = finite)]
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
    /// Of each class, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<Change>>,
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

/// Both models' answers.
struct Answers {
    a: Vec<Vec<f32>>,
    b: Vec<Vec<f32>>,
    names: Vec<String>,
    labels: Vec<Option<usize>>,
    skipped: usize,
}

impl Answers {
    /// The images whose answer is another one.
    fn changed(&self, measure: Measure) -> Vec<String> {
        let answers = self.a.iter().zip(&self.b).zip(&self.names);
        answers
            .filter(|((a, b), _)| measure.same(a, b) == Some(false))
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Class by class, on the images with a label.
    fn per_class(&self, measure: Measure, classes: usize, labels: &[String]) -> Vec<Change> {
        let counts = |of: &[Vec<f32>]| {
            let mut counts = PerClass::new(classes);
            for (logits, label) in of.iter().zip(&self.labels) {
                if let Some((label, answer)) = label.zip(measure.class(logits)) {
                    counts.add(label, answer);
                }
            }
            counts
        };
        per_class::changes(&counts(&self.a), &counts(&self.b), labels)
    }

    fn largest_difference(&self) -> f64 {
        let pairs = self.a.iter().flatten().zip(self.b.iter().flatten());
        pairs.fold(0.0f64, |largest, (a, b)| largest.max(f64::from((a - b).abs())))
    }
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let around =
            Around { images: Some(&self.images), labels: Some(&self.names), ..Around::nothing(talk) };
        let (a, b) = Model::load_both([&self.a, &self.b], &self.input, around)?;
        for model in [&a, &b] {
            if let Model::Float(model) = model {
                talk.say(model.pixels());
                model.notes.iter().for_each(|note| talk.say(note));
            }
        }
        self.check_shapes(&a, &b)?;
        let mut dataset = super::images::open(&self.images, talk)?;
        let reading = self.meaning.reading(&a, dataset.classes())?;
        let measure = Measure::new(reading.kind);
        if reading.must_be_told {
            talk.say(format!("output: {} ({})", reading.kind, reading.reason));
        }
        let classes = reading.kind.classes(a.classes());
        let labels = if self.per_class { self.labels(&a, &mut dataset, classes, talk)? } else { Vec::new() };
        let (mut run_a, mut run_b) = (Runner::new(&a)?, Runner::new(&b)?);
        let answers = self.answers(&mut run_a, &mut run_b, &dataset, b.input(), classes, talk)?;
        let layers = self.layers(&mut run_a, &mut run_b, &dataset, b.input(), talk)?;
        talk.clear();
        let distance = Distance::between(&answers.a, &answers.b, measure);
        let first = layers.iter().find(|l| l.sqnr < self.threshold).map(|l| l.name.clone());
        let outcome = Outcome {
            images: distance.images,
            output: reading.kind.name(),
            interval: distance.same.map(|same| wilson(same, distance.images)),
            r2: distance.r2,
            cosine: distance.cosine,
            changed: answers.changed(measure),
            classes: self.per_class.then(|| answers.per_class(measure, classes, &labels)),
            agreement: distance.agreement,
            kl: distance.kl,
            sqnr: distance.sqnr,
            largest_difference: answers.largest_difference(),
            skipped: answers.skipped,
            first_diverging: first,
            layers,
        };
        self.print(&outcome, &distance, talk);
        talk.result(&outcome);
        Ok(())
    }

    /// The names of the classes, by which the images are numbered.
    fn labels(
        &self,
        model: &Model,
        dataset: &mut Dataset,
        classes: usize,
        talk: &Talk,
    ) -> Result<Vec<String>, Failure> {
        if classes == 0 {
            return Err(Failure::Input(anyhow::anyhow!("--per-class: the output names no class")));
        }
        let labels = match self.names.stated(model.classes())? {
            Some(stated) => stated,
            None => model.labels().to_vec(),
        };
        Ok(match self.names.number(dataset, &labels, classes)? {
            Some((names, note)) => {
                talk.say(note);
                names
            }
            None => labels,
        })
    }

    /// Only models of the same inputs and outputs can be compared.
    fn check_shapes(&self, a: &Model, b: &Model) -> Result<(), Failure> {
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
        if size(a) != size(b) {
            return Err(Failure::Input(anyhow::anyhow!(
                "the inputs differ in size: {:?} and {:?}",
                size(a),
                size(b)
            )));
        }
        Ok(())
    }

    fn answers(
        &self,
        run_a: &mut Runner<'_>,
        run_b: &mut Runner<'_>,
        dataset: &Dataset,
        input: &Input,
        classes: usize,
        talk: &Talk,
    ) -> Result<Answers, Failure> {
        let mut reader = Reader::new(dataset, input, talk);
        let (mut a, mut b, mut names, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        talk.stage("comparing", dataset.len());
        for start in (0..dataset.len()).step_by(IMAGES_AT_ONCE) {
            let samples = reader.read(start..dataset.len().min(start + IMAGES_AT_ONCE));
            if self.per_class {
                check_labels(&samples, classes)?;
            }
            names.extend(samples.iter().map(|s| s.name.clone()));
            labels.extend(samples.iter().map(|s| s.label));
            let pixels: Vec<Pixels> = samples.into_iter().map(|s| s.pixels).collect();
            a.extend(run_a.logits(&pixels)?);
            b.extend(run_b.logits(&pixels)?);
            pixels.iter().for_each(|_| talk.tick());
        }
        reader.check(a.len(), self.strict)?;
        if self.per_class && labels.iter().all(Option::is_none) {
            let images = self.images.display();
            return Err(Failure::Input(anyhow::anyhow!("--per-class: no image of {images} has a label")));
        }
        Ok(Answers { a, b, names, labels, skipped: reader.skipped })
    }

    /// The noise of each tensor that both models have.
    fn layers(
        &self,
        run_a: &mut Runner<'_>,
        run_b: &mut Runner<'_>,
        dataset: &Dataset,
        input: &Input,
        talk: &Talk,
    ) -> Result<Vec<Layer>, Failure> {
        let (mut noise, mut order) = (NoiseMap::new(), Vec::new());
        talk.stage("comparing layers", self.layer_images.min(dataset.len()));
        let mut reader = Reader::new(dataset, input, talk);
        for number in spread(dataset.len(), self.layer_images) {
            for sample in reader.read([number]) {
                let (values_a, values_b) = (run_a.tensors(&sample.pixels)?, run_b.tensors(&sample.pixels)?);
                let known: BTreeMap<&str, &Values> = values_a.iter().map(|v| (v.name.as_str(), v)).collect();
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
        Ok(order.into_iter().map(|name| Layer { sqnr: noise[&name].sqnr(), name }).collect())
    }

    fn print(&self, o: &Outcome, distance: &Distance, talk: &Talk) {
        for layer in &o.layers {
            talk.human(format!("{:>7.2} dB  {}", layer.sqnr, layer.name));
        }
        if let Some(classes) = &o.classes {
            per_class::compared(classes).iter().for_each(|line| talk.human(line));
        }
        for name in o.changed.iter().take(NAMED) {
            talk.human(format!("another answer: {name}"));
        }
        if o.changed.len() > NAMED {
            talk.human(format!("… and {} more (--json lists all)", o.changed.len() - NAMED));
        }
        let within = o
            .interval
            .map_or(String::new(), |(lo, hi)| format!(" (95 %: {} … {})", percent(lo), percent(hi)));
        talk.human(format!(
            "{}: {}, largest difference {:.4}",
            count(o.images, "image"),
            distance.words_within(&within),
            o.largest_difference
        ));
        talk.human(match &o.first_diverging {
            Some(name) => format!("first layer below {} dB: {name}", self.threshold),
            None => format!("no layer below {} dB", self.threshold),
        });
    }
}
