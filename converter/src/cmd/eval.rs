//! `converter eval`: how often a model or an archive is right.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::model::{InputFlags, Model, Runner};
use super::pictures::{Reader, check_labels, wilson};
use super::talk::percent;
use super::{Failure, Talk};
use crate::quantize::score::top;
use foldnet_dataset::{Dataset, Matching};

/// Measure top-1 and top-5 accuracy: f32 for a model, int8 for an archive
#[derive(Args)]
pub struct Cmd {
    /// An ONNX model or an archive
    file: PathBuf,
    /// Folder with one subfolder per class, CIFAR .bin, or .npy
    #[arg(long)]
    images: PathBuf,
    #[command(flatten)]
    input: InputFlags,
    /// Write the logits of every picture here, [n, classes] f32, in the dataset's order
    #[arg(long, value_name = "OUT.npy")]
    logits: Option<PathBuf>,
    /// Exit with code 2 if a picture cannot be read
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Outcome {
    images: usize,
    correct: Option<usize>,
    top1: Option<f64>,
    top5: Option<f64>,
    skipped: usize,
    /// 95 % Wilson interval of `top1`.
    interval: Option<(f64, f64)>,
}

/// Pictures held in memory at once.
const CHUNK: usize = 64;

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let model = Model::load(&self.file, &self.input)?;
        let mut dataset = Dataset::open(&self.images)?;
        dataset.match_labels(model.labels(), model.classes(), Matching::ByName)?;
        let mut runner = Runner::new(&model)?;
        let mut reader = Reader::new(&dataset, model.input(), talk);
        let (mut images, mut labelled, mut right, mut among) = (0, 0, 0, 0);
        let mut all_logits: Vec<f32> = Vec::new();
        crate::quantize::recipe::Progress::stage(talk, "evaluating", dataset.len());
        for start in (0..dataset.len()).step_by(CHUNK) {
            let samples = reader.read(start..dataset.len().min(start + CHUNK));
            check_labels(&samples, model.classes())?;
            let pixels: Vec<Vec<u8>> = samples.iter().map(|s| s.pixels.clone()).collect();
            for (sample, logits) in samples.iter().zip(runner.logits(&pixels)?) {
                images += 1;
                if let Some(label) = sample.label {
                    labelled += 1;
                    right += usize::from(top(&logits) == label);
                    let larger = logits.iter().filter(|&&v| v > logits[label]).count();
                    among += usize::from(larger < 5);
                }
                if self.logits.is_some() {
                    all_logits.extend(logits);
                }
                crate::quantize::recipe::Progress::tick(talk);
            }
        }
        reader.check(images, self.strict)?;
        if let Some(path) = &self.logits {
            let bytes = npy(images, model.classes(), &all_logits);
            foldnet_archive::write_file(path, &bytes)
                .map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
        }
        let share = |n: usize| (labelled > 0).then(|| n as f64 / labelled as f64);
        let outcome = Outcome {
            images,
            correct: (labelled > 0).then_some(right),
            top1: share(right),
            top5: share(among),
            skipped: reader.skipped,
            interval: (labelled > 0).then(|| wilson(right, labelled)),
        };
        match (outcome.top1, outcome.top5, outcome.interval) {
            (Some(top1), Some(top5), Some((lo, hi))) => talk.say(format!(
                "{}: {right} of {labelled} right: top-1 {} (95 %: {} … {}), top-5 {}",
                model.kind(),
                percent(top1),
                percent(lo),
                percent(hi),
                percent(top5)
            )),
            _ => talk.say(format!("{}: {images} pictures, none with a label", model.kind())),
        }
        talk.result(&outcome);
        Ok(())
    }
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
