//! `converter quantize`: the main job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet::Session;
use foldnet_archive::{Calibration, Input, Manifest, Network, Tensor};
use foldnet_dataset::{Dataset, Matching};
use serde::Serialize;

use super::budget::{self, Check};
use super::model::{FloatModel, InputFlags, Int8Model, Model, Runner, read_labels};
use super::pictures::{Reader, Sample, check_labels, spread};
use super::talk::{bytes, percent};
use super::{Failure, Talk};
use crate::calibrate::Method;
use crate::quantize::fuse::{Layer, SlotId};
use crate::quantize::recipe::{Effort, Options, Outcome, Progress, quantize};
use crate::quantize::score::top;
use crate::quantize::sensitivity::Share;
use crate::quantize::{equalize, sensitivity};
use crate::report::layers::{Noise, NoiseMap};
use crate::report::{Changed, KeptPart, Report, SensitivityReport, TensorReport, html, png};

/// Quantize an ONNX model to an int8 archive; without a model, the built-in ResNet-20
#[derive(Args)]
pub struct Cmd {
    /// The trained network; without it, the built-in CIFAR-10 ResNet-20 with its own pictures
    model: Option<PathBuf>,
    /// Calibration pictures: a folder, a CIFAR .bin, or .npy; about a hundred of the kind the network will see
    #[arg(long)]
    images: Option<PathBuf>,
    #[command(flatten)]
    input: InputFlags,
    /// Text file with one class name per line
    #[arg(long)]
    labels: Option<PathBuf>,
    /// The archive to write; the model's name with .nnef.tgz if not given
    #[arg(long, short, value_name = "OUT.nnef.tgz")]
    output: Option<PathBuf>,
    /// How ranges of activations are chosen
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    calibration: Method,
    /// How much is tried
    #[arg(long, value_enum, default_value_t = Effort::Normal)]
    effort: Effort,
    /// Use at most this many pictures, spread evenly
    #[arg(long, default_value_t = 1250, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_images: u32,
    /// Calibrate on random noise: the archive will run, its answers are worth little
    #[arg(long, conflicts_with = "images")]
    synthetic: bool,
    /// Keep the fewest layers in 16 bits with which accuracy (or, without labels, agreement) on held-out
    /// pictures falls by no more than this many points; exit with code 3 if that is not enough
    #[arg(long, value_name = "POINTS", value_parser = finite)]
    max_drop: Option<f64>,
    /// Round as an NPU does, so that `export --rknn` has the same bits: a convolution before its residual is
    /// added, not only their sum. Costs some accuracy and, on the CPU, some time
    #[arg(long, conflicts_with = "max_drop")]
    for_npu: bool,
    /// Write a report here: one page if the name ends in .html, else JSON
    #[arg(long, value_name = "OUT.html|OUT.json")]
    report: Option<PathBuf>,
    /// No equalization of channels
    #[arg(long)]
    no_equalization: bool,
    /// No bias correction
    #[arg(long)]
    no_bias_correction: bool,
    /// Exit with code 2 if a picture cannot be read
    #[arg(long)]
    strict: bool,
}

fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| "not a finite number".into())
}

/// The result for scripts.
#[derive(Serialize)]
struct Result_ {
    output: PathBuf,
    layers_quantized: usize,
    layers_float: usize,
    /// Weights and values in 16 bits, see `--max-drop`.
    layers_kept: Vec<KeptPart>,
    bytes: u64,
    agreement: Option<f64>,
    layers_folded: usize,
    bytes_before: u64,
    calibration_images: usize,
    held_out_images: usize,
    kl: Option<f64>,
    sqnr: Option<f64>,
    skipped: usize,
    preprocess: String,
}

/// Every fifth picture is kept out of calibration and used to check the result.
const HELD_OUT: usize = 5;
/// Layers are compared on this many held-out pictures.
const LAYER_PICTURES: usize = 16;
/// Multiply-accumulates in float that the report may spend on sensitivities.
const SENSITIVITY_MACS: u64 = 1_000_000_000_000;
/// The report shows at most this many changed pictures.
const CHANGED: usize = 60;

const CALIBRATION: &[u8] = include_bytes!("../../assets/calibration.bin");

/// Calibration and held-out pictures.
struct Pictures {
    calibrate: Vec<Vec<u8>>,
    held_out: Vec<Sample>,
    skipped: usize,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let output = self.output();
        check_writable(&output)?;
        if let Some(report) = &self.report {
            check_writable(report)?;
        }
        if self.model.is_some() && self.images.is_none() && !self.synthetic {
            return Err(Failure::Input(anyhow!(
                "no pictures to calibrate on. The range of every layer is measured on real pictures: with \
                 wrong ranges values are cut off or too coarse, and the network's answers with them. Give \
                 about a hundred pictures of the kind the network will see, labels not needed: --images \
                 FOLDER (or a CIFAR .bin, or .npy). Only to try the path, --synthetic takes noise"
            )));
        }
        let mut model = match &self.model {
            Some(path) => FloatModel::load(path, &self.input)?,
            None => FloatModel::built_in(&self.input)?,
        };
        let classes = model.graph.nodes[model.graph.output].shape.c;
        if let Some(path) = &self.labels {
            model.labels = read_labels(path, classes)?;
        }
        talk.say(format!(
            "{}: {} nodes folded away; pixels: {} ({})",
            model.source.file, model.folded, model.input.preprocess, model.reason
        ));
        let pictures = self.pictures(&model, classes, talk)?;
        let options = Options {
            method: self.calibration,
            effort: self.effort,
            equalize: !self.no_equalization,
            bias: !self.no_bias_correction,
            for_npu: self.for_npu,
            ..Options::default()
        };
        let outcome = quantize(&model.graph, &pictures.calibrate, options, talk)?;
        self.finish(model, outcome, &pictures, &output, talk)
    }

    fn output(&self) -> PathBuf {
        self.output.clone().unwrap_or_else(|| match &self.model {
            Some(path) => PathBuf::from(path.file_stem().unwrap_or_default()).with_extension("nnef.tgz"),
            None => "resnet20-cifar10.nnef.tgz".into(),
        })
    }

    fn pictures(&self, model: &FloatModel, classes: usize, talk: &Talk) -> Result<Pictures, Failure> {
        let mut skipped = 0;
        let samples = if self.synthetic {
            talk.warn("calibrating on noise (--synthetic): do not trust this archive's answers");
            noise(&model.input)
        } else if let Some(path) = &self.images {
            let mut dataset = Dataset::open(path)?;
            // Without names for the classes, folders only group the pictures.
            let matched = dataset.match_labels(&model.labels, classes, Matching::ByName);
            if self.labels.is_some() {
                matched?;
            } else if let Err(error) = matched {
                talk.say(format!("labels are not used: {error}"));
            }
            let mut reader = Reader::new(&dataset, &model.input, talk);
            talk.stage("reading", dataset.len().min(self.max_images as usize));
            let mut samples = Vec::new();
            for number in spread(dataset.len(), self.max_images as usize) {
                samples.extend(reader.read([number]));
                talk.tick();
            }
            reader.check(samples.len(), self.strict)?;
            skipped = reader.skipped;
            samples
        } else {
            built_in_pictures()
        };
        if self.labels.is_some() || self.model.is_none() {
            check_labels(&samples, classes)?;
        }
        let mut pictures = Pictures { calibrate: Vec::new(), held_out: Vec::new(), skipped };
        let few = samples.len() < HELD_OUT;
        for (i, sample) in samples.into_iter().enumerate() {
            if !few && i % HELD_OUT == HELD_OUT - 1 {
                pictures.held_out.push(sample);
            } else {
                pictures.calibrate.push(sample.pixels);
            }
        }
        if few {
            talk.warn(format!(
                "{} pictures are too few to trust the ranges found on them; give about a hundred",
                pictures.calibrate.len()
            ));
        }
        Ok(pictures)
    }

    fn finish(
        &self,
        model: FloatModel,
        outcome: Outcome,
        pictures: &Pictures,
        output: &Path,
        talk: &Talk,
    ) -> Result<(), Failure> {
        let folded = model.folded;
        let float = Model::Float(Box::new(model));
        let Model::Float(model) = &float else { unreachable!("made above") };
        let mut manifest = Manifest {
            format: outcome.network.format(),
            source: model.source.clone(),
            input: model.input.clone(),
            calibration: Calibration {
                images: if self.synthetic { 0 } else { pictures.calibrate.len() },
                method: self.calibration.name().into(),
                agreement: None,
            },
            labels: model.labels.clone(),
            npu: Vec::new(),
        };
        let checked = if self.synthetic { &[][..] } else { &pictures.held_out[..] };
        let check = Check::new(&float, checked, talk)?;
        let mut network = outcome.for_npu.clone().unwrap_or_else(|| outcome.network.clone());
        let mut answers = check.answers(&network, &manifest)?;
        let over = self.max_drop.zip(answers.drop()).filter(|(limit, drop)| drop.0 > *limit);
        let mut shares = Vec::new();
        if over.is_some() || self.report.is_some() {
            shares = sensitivity(&outcome, &pictures.calibrate, talk)?;
        }
        let mut kept = None;
        if let Some((limit, (drop, what))) = over {
            talk.say(format!("int8 alone: {what} by {drop:.2} points; looking for what to keep in 16 bits"));
            let mixed = budget::keep(&outcome, &shares, &pictures.calibrate, limit, &check, &manifest, talk)?;
            if let Some(mixed) = mixed {
                manifest.format = mixed.network.format();
                kept = Some(budget::report(&outcome, &mixed, limit, drop, &manifest)?);
                network = mixed.network;
                answers = check.answers(&network, &manifest)?;
            }
        }
        let (distance, accuracy, drop) = (answers.distance, answers.accuracy, answers.drop());
        manifest.calibration.agreement = distance.map(|d| d.agreement);

        // Everything is known: write.
        let size = foldnet_archive::write(output, &network, &manifest)
            .with_context(|| "the archive was not written")?;
        if let Some(kept) = &mut kept {
            kept.bytes = size;
        }
        if let Some(path) = &self.report {
            let report = Report {
                source: model.source.file.clone(),
                sha256: model.source.sha256.clone(),
                preprocess: model.input.preprocess.clone(),
                preprocess_reason: model.reason.clone(),
                layers_folded: folded,
                layers_quantized: network.steps.len(),
                layers_float: 0,
                bytes_before: model.bytes,
                bytes: size,
                macs: network.macs(),
                parameters: network.parameters(),
                arena_bytes: Session::new(&network, foldnet_kernels::dispatch::best(), 1)
                    .map_err(|e| Failure::Fault(e.into()))?
                    .arena_bytes(),
                calibration_images: manifest.calibration.images,
                skipped: pictures.skipped,
                centred: outcome.centred,
                passes: outcome.decisions.clone(),
                held_out: distance,
                accuracy,
                changed: changed(model, checked, check.truth(), &answers.logits),
                sensitivity: shares.iter().map(|s| share_report(&outcome, s)).collect(),
                not_folded: not_folded(&outcome),
                kept: kept.clone(),
                tensors: tensors(&outcome, &float, &network, &manifest, checked)?,
            };
            let text = match path.extension().and_then(|e| e.to_str()) {
                Some("html" | "htm") => html::page(&report),
                _ => serde_json::to_string_pretty(&report).expect("plain data"),
            };
            foldnet_archive::write_file(path, text.as_bytes())
                .map_err(|e| anyhow!("{}: {e}; the report was not written", path.display()))?;
        }
        if outcome.centred > 0 {
            talk.say(format!("{} tensors of the trunk centred per channel", outcome.centred));
        }
        for d in &outcome.decisions {
            talk.say(format!(
                "{}: logits {:.2} dB → {:.2} dB{} ({})",
                d.pass,
                d.before,
                d.after,
                if d.kept { "" } else { ", not kept" },
                d.note
            ));
        }
        if let Some(k) = &kept {
            for part in &k.parts {
                talk.say(format!(
                    "in 16 bits: {} of {} ({:.1} dB in 8 bits; {:.1} million products more)",
                    part.what,
                    part.name,
                    part.sqnr,
                    part.macs as f64 / 1e6
                ));
            }
            talk.say(format!(
                "{} kept of {} networks tried: {:.2} points lost become {:.2}; products {:.1} → {:.1} million, {} → {}, \
                 {:.2} ms → {:.2} ms",
                k.parts.len(),
                k.tried,
                k.drop_before,
                k.drop,
                k.macs_before as f64 / 1e6,
                k.macs as f64 / 1e6,
                bytes(k.bytes_before),
                bytes(k.bytes),
                k.ms_before,
                k.ms
            ));
        }
        talk.say(format!(
            "{}: {} int8 layers, 0 float; {} → {}; calibrated on {} pictures",
            output.display(),
            network.steps.len(),
            bytes(model.bytes),
            bytes(size),
            manifest.calibration.images
        ));
        if let Some(d) = distance {
            talk.say(format!(
                "same top-1 as f32 on {} of {} held-out pictures; KL divergence {:.6}; logits {:.1} dB",
                percent(d.agreement),
                d.images,
                d.kl,
                d.sqnr
            ));
        }
        if let Some(a) = accuracy {
            talk.say(format!(
                "right on {} held-out pictures: f32 {}, int8 {}",
                a.images,
                percent(a.float),
                percent(a.int8)
            ));
        }
        talk.result(&Result_ {
            output: output.to_owned(),
            layers_quantized: network.steps.len(),
            layers_float: 0,
            layers_kept: kept.map_or(Vec::new(), |k| k.parts),
            bytes: size,
            agreement: distance.map(|d| d.agreement),
            layers_folded: folded,
            bytes_before: model.bytes,
            calibration_images: manifest.calibration.images,
            held_out_images: checked.len(),
            kl: distance.map(|d| d.kl),
            sqnr: distance.map(|d| d.sqnr),
            skipped: pictures.skipped,
            preprocess: model.input.preprocess.clone(),
        });
        self.check_drop(drop)
    }

    fn check_drop(&self, drop: Option<(f64, &str)>) -> Result<(), Failure> {
        match (self.max_drop, drop) {
            (Some(_), None) => Err(Failure::Limit("--max-drop: nothing was held out to check".into())),
            (Some(limit), Some((drop, what))) if drop > limit => {
                Err(Failure::Limit(format!("{what} by {drop:.2} points; --max-drop allows {limit}")))
            }
            _ => Ok(()),
        }
    }
}

/// The first of the pictures whose top-1 is another one.
fn changed(model: &FloatModel, samples: &[Sample], truth: &[Vec<f32>], answers: &[Vec<f32>]) -> Vec<Changed> {
    let named = |class: usize| model.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
    let input = &model.input;
    let all = samples.iter().zip(truth.iter().zip(answers)).filter(|(_, (a, b))| top(a) != top(b));
    all.take(CHANGED)
        .map(|(sample, (a, b))| Changed {
            name: sample.name.clone(),
            label: sample.label.map(named),
            float: named(top(a)),
            int8: named(top(b)),
            thumbnail: png::thumbnail(&sample.pixels, [input.height, input.width, input.channels]),
        })
        .collect()
}

/// Every tensor and layer rounded alone, on as many pictures as stay affordable in float.
fn sensitivity(outcome: &Outcome, pictures: &[Vec<u8>], talk: &Talk) -> Result<Vec<Share>, Failure> {
    let parts = sensitivity::parts(&outcome.draft);
    let per_picture = outcome.network.macs().max(1).saturating_mul(parts as u64);
    let n = ((SENSITIVITY_MACS / per_picture) as usize).clamp(2, LAYER_PICTURES).min(pictures.len());
    talk.stage("sensitivity", parts);
    let exact = equalize::apply(&outcome.graph, &outcome.factors);
    Ok(sensitivity::shares(&exact, &outcome.draft, &pictures[..n], &|| talk.tick())?)
}

fn share_report(outcome: &Outcome, share: &Share) -> SensitivityReport {
    SensitivityReport {
        name: outcome.graph.nodes[share.node].name.clone(),
        what: if share.weights { "weights" } else { "values" },
        sqnr: share.sqnr,
    }
}

/// Elementwise steps that no convolution took in.
fn not_folded(outcome: &Outcome) -> Vec<String> {
    let alone = |layer: &Layer| match layer {
        Layer::Affine { node, .. } | Layer::Add { node, .. } => {
            let node = &outcome.graph.nodes[*node];
            Some(format!("{} ({})", node.name, node.op.kind()))
        }
        _ => None,
    };
    outcome.draft.layout.layers.iter().filter_map(alone).collect()
}

fn tensors(
    outcome: &Outcome,
    float: &Model,
    network: &Network,
    manifest: &Manifest,
    samples: &[Sample],
) -> Result<Vec<TensorReport>, Failure> {
    let model = Int8Model { network: network.clone(), manifest: manifest.clone(), bytes: 0 };
    let int8 = Model::Int8(Box::new(model));
    let (mut float, mut int8) = (Runner::new(float)?, Runner::new(&int8)?);
    let mut noise: NoiseMap = BTreeMap::new();
    for sample in samples.iter().take(LAYER_PICTURES) {
        let truth = float.tensors(&sample.pixels)?;
        for theirs in int8.tensors(&sample.pixels)? {
            if let Some(ours) = truth.iter().find(|v| v.name == theirs.name) {
                noise
                    .entry(theirs.name.clone())
                    .or_insert_with(|| Noise::new(theirs.channels))
                    .add(&ours.values, &theirs.values);
            }
        }
    }
    // By the tensors of int8 alone: those are what calibration saw.
    let slots = &outcome.draft.layout.slots;
    let own = |(id, tensor): (SlotId, &Tensor)| {
        let (lo, hi, histogram) = outcome.observation.histogram(slots[id].node, 0).plot(64);
        let kept = !network.tensors.iter().any(|t| t.name == tensor.name);
        TensorReport {
            name: tensor.name.clone(),
            shape: [tensor.shape.h, tensor.shape.w, tensor.shape.c],
            scale: tensor.scale,
            zero: tensor.zero,
            method: if kept {
                "16 bits".into()
            } else {
                outcome.methods[outcome.draft.layout.root(id)].name().into()
            },
            sqnr: noise.get(&tensor.name).map(Noise::sqnr),
            seen: (lo, hi),
            histogram,
        }
    };
    let all = outcome.network.tensors.iter().enumerate().skip(1);
    Ok(all.filter(|(id, _)| *id != outcome.network.logits).map(own).collect())
}

/// The pictures built in: CIFAR records.
fn built_in_pictures() -> Vec<Sample> {
    CALIBRATION
        .chunks_exact(3073)
        .enumerate()
        .map(|(i, record)| {
            let plane = &record[1..];
            Sample {
                name: format!("built-in[{i}]"),
                label: Some(record[0].into()),
                pixels: (0..1024).flat_map(|p| [plane[p], plane[1024 + p], plane[2048 + p]]).collect(),
            }
        })
        .collect()
}

/// 64 pictures of noise over noise of lower frequency, from a fixed seed (xorshift64*, Vigna, 2016).
fn noise(input: &Input) -> Vec<Sample> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u32
    };
    (0..64)
        .map(|i| {
            let coarse: Vec<u32> = (0..64 * input.channels).map(|_| next()).collect();
            let pixels = (0..input.height * input.width * input.channels)
                .map(|k| {
                    let (pixel, c) = (k / input.channels, k % input.channels);
                    let (y, x) =
                        (pixel / input.width * 8 / input.height, pixel % input.width * 8 / input.width);
                    ((coarse[(y * 8 + x) * input.channels + c] * 3 + next()) / 4) as u8
                })
                .collect();
            Sample { name: format!("noise[{i}]"), label: None, pixels }
        })
        .collect()
}

/// Finds out before the work, not after it, that a result could not be written.
fn check_writable(path: &Path) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    if path.is_dir() {
        return Err(anyhow!("{}: is a folder; -o names the file to write", path.display()));
    }
    if path.exists() && !path.is_file() {
        return Ok(()); // a device: writing will tell
    }
    tempfile::Builder::new()
        .prefix(".foldnet-")
        .tempfile_in(folder)
        .map(drop)
        .map_err(|e| anyhow!("{}: cannot be written: {e}", path.display()))
}
