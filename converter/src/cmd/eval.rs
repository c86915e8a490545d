//! `converter eval`: how often a model or an archive is right.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::files;
use super::images::{Reader, check_labels};
use super::labels::LabelFlags;
use super::model::{Around, InputFlags, Model, Runner};
use super::output::{OutputFlags, ThresholdFlag};
use super::talk::percent;
use super::{Failure, Talk};
use crate::image::Pixels;
use crate::interval::wilson;
use crate::per_class::{self, PerClass};
use crate::quantize::recipe::Progress;
use crate::quantize::score::Measure;

/// Measure accuracy on labelled images
///
/// Prints the accuracy with its 95 % interval: of the float network for an ONNX or TFLite model, of int8 for an archive.
#[derive(Args)]
#[command(after_help = "Examples:\n  converter eval model.onnx --images test/\n  \
                        converter eval model.nnef.tgz --images test/")]
pub struct Cmd {
    /// ONNX or TFLite model, or archive
    file: PathBuf,
    /// Labelled images: a folder with one subfolder per class, a CIFAR .bin file, or a .npy array
    #[arg(long)]
    images: PathBuf,
    #[command(flatten)]
    input: InputFlags,
    #[command(flatten)]
    names: LabelFlags,
    #[command(flatten)]
    meaning: OutputFlags,
    #[command(flatten)]
    applies: ThresholdFlag,
    /// Print precision, recall and F1 of each class
    #[arg(long)]
    per_class: bool,
    /// Write the logits of all images, as an f32 array of [images, classes]
    #[arg(long, value_name = "OUT.npy")]
    logits: Option<PathBuf>,
    /// Exit with code 2 if an image cannot be read
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Outcome {
    /// What the output means.
    output: &'static str,
    images: usize,
    correct: Option<usize>,
    top1: Option<f64>,
    top5: Option<f64>,
    skipped: usize,
    /// 95 % Wilson interval of `top1`.
    interval: Option<(f64, f64)>,
    /// Smallest, mean and largest answer, where the output is plain numbers.
    range: Option<[f64; 3]>,
    /// Of each class, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<per_class::Row>>,
}

/// Images held in memory at once.
const IMAGES_AT_ONCE: usize = 64;

/// Answers that have labels, and how many of them are right.
#[derive(Default)]
struct Count {
    labelled: usize,
    right: usize,
    among: usize,
}

impl Count {
    /// Adds an answer; the class that it names, if it names any.
    fn add(&mut self, measure: Measure, logits: &[f32], label: usize) {
        let Some(class) = measure.class(logits) else { return };
        self.labelled += 1;
        self.right += usize::from(class == label);
        // A single output decides between two classes: both are among the first five.
        let larger = logits.get(label).map_or(0, |own| logits.iter().filter(|v| *v > own).count());
        self.among += usize::from(larger < 5);
    }

    fn share(&self, n: usize) -> Option<f64> {
        (self.labelled > 0).then(|| n as f64 / self.labelled as f64)
    }
}

/// Smallest, mean and largest number.
#[derive(Default)]
struct Spread {
    ends: Option<(f64, f64)>,
    sum: f64,
    count: usize,
}

impl Spread {
    fn add(&mut self, values: &[f32]) {
        for &v in values {
            let v = f64::from(v);
            let (lo, hi) = self.ends.unwrap_or((v, v));
            self.ends = Some((lo.min(v), hi.max(v)));
            self.sum += v;
            self.count += 1;
        }
    }

    fn range(&self) -> Option<[f64; 3]> {
        self.ends.map(|(lo, hi)| [lo, self.sum / self.count as f64, hi])
    }
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        self.check(&[])?;
        let around =
            Around { images: Some(&self.images), labels: Some(&self.names), ..Around::nothing(talk) };
        let model = Model::load(&self.file, &self.input, around)?;
        self.check(model.external())?;
        let mut labels = match self.names.stated(model.classes())? {
            Some(stated) => stated,
            None => model.labels().to_vec(),
        };
        if let Model::Float(model) = &model {
            talk.say(model.pixels());
            model.notes.iter().for_each(|note| talk.say(note));
        }
        let mut dataset = super::images::open(&self.images, talk)?;
        let reading = self.meaning.reading(&model, dataset.classes())?;
        let measure = Measure::new(reading.kind).with_threshold(self.applies.threshold);
        let classes = reading.kind.classes(model.classes());
        if reading.must_be_told {
            talk.say(format!("output: {} ({})", reading.kind, reading.reason));
        }
        if classes > 0
            && let Some((names, note)) = self.names.number(&mut dataset, &labels, classes)?
        {
            talk.say(note);
            labels = names;
        }
        if classes > 0 && !dataset.is_labelled() && self.logits.is_none() {
            return Err(Failure::Input(anyhow::anyhow!(
                "{}: no image has a label. Labelled images are a folder with one subfolder for each class, or a CIFAR \
                 .bin file; --logits OUT.npy writes the answers to unlabelled ones",
                self.images.display()
            )));
        }
        let mut runner = Runner::new(&model)?;
        let mut reader = Reader::new(&dataset, model.input(), talk);
        let (mut images, mut count, mut spread) = (0, Count::default(), Spread::default());
        let mut per_class = self.per_class.then(|| PerClass::new(classes));
        let mut all_logits: Vec<f32> = Vec::new();
        talk.stage("evaluating", dataset.len());
        for start in (0..dataset.len()).step_by(IMAGES_AT_ONCE) {
            let samples = reader.read(start..dataset.len().min(start + IMAGES_AT_ONCE));
            if classes > 0 {
                check_labels(&samples, classes)?;
            }
            let pixels: Vec<Pixels> = samples.iter().map(|s| s.pixels.clone()).collect();
            for (sample, logits) in samples.iter().zip(runner.logits(&pixels)?) {
                images += 1;
                if let Some(label) = sample.label.filter(|_| classes > 0) {
                    count.add(measure, &logits, label);
                    if let (Some(table), Some(answer)) = (&mut per_class, measure.class(&logits)) {
                        table.add(label, answer);
                    }
                }
                if classes == 0 {
                    spread.add(&logits);
                }
                if self.logits.is_some() {
                    all_logits.extend(logits);
                }
                talk.tick();
            }
        }
        reader.check(images, self.strict)?;
        if let Some(path) = &self.logits {
            let bytes = npy(images, model.classes(), &all_logits);
            foldnet_archive::write_file(path, &bytes)
                .map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
        }
        let labelled = count.labelled > 0;
        let outcome = Outcome {
            output: reading.kind.name(),
            images,
            correct: labelled.then_some(count.right),
            top1: count.share(count.right),
            top5: count.share(count.among),
            skipped: reader.skipped,
            interval: labelled.then(|| wilson(count.right, count.labelled)),
            range: spread.range(),
            classes: per_class.filter(|_| labelled).map(|table| table.rows(&labels)),
        };
        if let Some(rows) = &outcome.classes {
            per_class::table(rows).iter().for_each(|line| talk.human(line));
        }
        talk.human(words(model.kind(), &outcome, &count, model.classes()));
        talk.result(&outcome);
        Ok(())
    }
}

impl Cmd {
    /// Whether the logits can be written, and replace none of the inputs, nor files that the model refers to.
    fn check(&self, external: &[PathBuf]) -> anyhow::Result<()> {
        let Some(path) = &self.logits else { return Ok(()) };
        let mut inputs: Vec<&Path> = vec![&self.file, &self.images];
        inputs.extend(self.names.file().into_iter().chain(external).map(PathBuf::as_path));
        inputs.extend(self.input.files());
        files::check(&inputs, &[("--logits", path)])
    }
}

/// The result for people.
fn words(kind: &str, o: &Outcome, count: &Count, outputs: usize) -> String {
    if let Some([lo, mean, hi]) = o.range {
        return format!("{kind}: {} images, answers from {lo:.4} to {hi:.4}, mean {mean:.4}", o.images);
    }
    let (Some(top1), Some(top5), Some((lo, hi))) = (o.top1, o.top5, o.interval) else {
        return format!("{kind}: {} images, none with a label", o.images);
    };
    let top5 = if outputs > 5 { format!(", top-5 {}", percent(top5)) } else { String::new() };
    format!(
        "{kind}: {} of {} right: top-1 {} (95 %: {} … {}){top5}",
        count.right,
        count.labelled,
        percent(top1),
        percent(lo),
        percent(hi)
    )
}

/// A NumPy file of f32 with two dimensions.
fn npy(rows: usize, columns: usize, values: &[f32]) -> Vec<u8> {
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // The header, magic and newline included, fills a multiple of 64 bytes.
    let padded = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(format!("{dict:<width$}\n", width = padded - 1).bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn npy_headers_are_aligned() {
        let bytes = super::npy(2, 3, &[0.0; 6]);
        assert_eq!(bytes.len(), 128 + 24);
        assert_eq!(bytes[127], b'\n');
    }
}
