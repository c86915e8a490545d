//! `converter export --tflite`: the same network as an int8 TFLite file, for any processor.

use std::path::PathBuf;

use anyhow::anyhow;
use foldnet::SessionError;
use foldnet_archive::Network;
use serde::Serialize;

use super::files::LabelsFile;
use super::model::Int8Model;
use super::npu::Flags;
use super::talk::bytes;
use super::{Failure, Talk};
use crate::emit::tflite;
use crate::image::Pixels;
use crate::quantize::apart::{Quantization, Ranges, apart, is_apart, settle, tune};
use crate::quantize::recipe::Progress;
use crate::quantize::score::{self, Distance, Measure};

/// Multiply-accumulates that may be spent on moving ranges: seconds for a small network, a minute for a large one.
const TUNING: u64 = 1_000_000_000_000;

/// A network as a TFLite file.
pub struct Int8File {
    /// The network with TFLite's steps, whose tensors have the file's names.
    pub parts: Network,
    /// How the logits are quantized.
    pub logits: Quantization,
    /// The file's bytes.
    pub file: Vec<u8>,
}

impl Int8File {
    /// Ranges that the archive does not have are measured on some images, and moved as long as that brings the
    /// answers nearer to the archive's.
    pub fn of(network: &Network, some: &[Pixels], measure: Measure) -> Result<Self, Failure> {
        let fault = |e: SessionError| Failure::Fault(e.into());
        let parts = if is_apart(network) {
            network.clone()
        } else {
            let parts = apart(network, &Ranges::measure(network, some).map_err(fault)?);
            let truth = score::logits(network, some)?;
            let quality = |n: &Network| Ok(Distance::between(&truth, &score::logits(n, some)?, measure).sqnr);
            let trials = TUNING / (network.macs() * some.len() as u64).max(1);
            let mut tuned = tune(parts, network.tensors.len(), trials, &quality)?;
            // Other scales have other multiples.
            settle(&mut tuned);
            tuned
        };
        let logits = tflite::range(&parts, some, measure).map_err(fault)?;
        let file = tflite::model(&parts, logits)?;
        Ok(Self { parts, logits, file })
    }
}

/// The result for scripts.
#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
    bytes: u64,
    /// The classes' names, one a line.
    labels: Option<PathBuf>,
    /// Of the output; that of the input is 1, its zero point the pixels' own.
    scale: f32,
    zero: i8,
    images: usize,
    agreement: f64,
    /// Where they disagree, the archive's top-1 was ahead by at most this share of the probability.
    lost_lead: Option<f64>,
    sqnr: f64,
    correct: Option<usize>,
    correct_cpu: Option<usize>,
}

/// Writes the file, after its arithmetic was compared with the archive's.
pub fn run(
    flags: &Flags,
    model: &Int8Model,
    output: PathBuf,
    labels: Option<LabelsFile>,
    talk: &Talk,
) -> Result<(), Failure> {
    let check = flags.check("--tflite", model, talk)?;
    talk.stage("measuring ranges", 1);
    let some = flags.for_ranges(&check, model, talk)?;
    let network = &model.network;
    let Int8File { parts, logits, .. } = Int8File::of(network, &some, model.measure())?;
    let file = tflite::described(&parts, logits, &model.manifest.labels)?;
    let range = tflite::output(&parts, logits);
    let rounded = |row: Vec<f32>| row.into_iter().map(|v| range.rounded(v)).collect::<Vec<f32>>();
    let theirs: Vec<Vec<f32>> = score::logits(&parts, &check.images)?.into_iter().map(rounded).collect();
    let ours = score::logits(network, &check.images)?;
    talk.clear();
    let distance = flags.judge("TFLite's roundings", "the TFLite file", model, &ours, &theirs, talk)?;

    foldnet_archive::write_file(&output, &file).map_err(|e| anyhow!("{}: {e}", output.display()))?;
    talk.human(format!("{} ({})", output.display(), bytes(file.len() as u64)));
    if let Some(labels) = &labels {
        let size = labels.write()?;
        talk.human(format!("{} ({})", labels.path.display(), bytes(size)));
    }
    talk.result(&Outcome {
        bytes: file.len() as u64,
        output,
        labels: labels.map(|labels| labels.path),
        scale: range.scale,
        zero: range.zero,
        images: distance.images,
        agreement: distance.likeness(),
        lost_lead: distance.lost_lead,
        sqnr: distance.sqnr,
        correct: check.correct(&theirs),
        correct_cpu: check.correct(&ours),
    });
    Ok(())
}
