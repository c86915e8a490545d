//! `converter quantize`: the main job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet_archive::{Calibration, FORMAT, Input, Manifest};
use foldnet_runtime::Session;
use foldnet_runtime::dataset::Dataset;
use serde::Serialize;

use super::model::{FloatModel, InputFlags, Int8Model, Model, Runner, read_labels};
use super::pictures::{Reader, Sample, check_labels, spread};
use super::talk::{bytes, percent};
use super::{Failure, Talk};
use crate::calibrate::Method;
use crate::quantize::fuse::Layer;
use crate::quantize::recipe::{Effort, Options, Outcome, Progress, quantize};
use crate::quantize::score::{Distance, top};
use crate::quantize::{equalize, sensitivity};
use crate::report::layers::{Noise, NoiseMap};
use crate::report::{Accuracy, Changed, Report, SensitivityReport, TensorReport, html, png};

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
    /// Exit with code 3 if accuracy (or, without labels, agreement) falls by more than this many points
    #[arg(long, value_name = "POINTS", value_parser = finite)]
    max_drop: Option<f64>,
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
            let matched = dataset.match_labels(&model.labels, classes);
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
            format: FORMAT,
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
        let int8 = Model::Int8(Box::new(Int8Model {
            network: outcome.network.clone(),
            manifest: manifest.clone(),
            bytes: 0,
        }));
        let (mut run_float, mut run_int8) = (Runner::new(&float)?, Runner::new(&int8)?);
        let checked = if self.synthetic { &[][..] } else { &pictures.held_out[..] };
        talk.stage("checking", checked.len());
        let (mut truth, mut answers) = (Vec::new(), Vec::new());
        for chunk in checked.chunks(32) {
            let pixels: Vec<Vec<u8>> = chunk.iter().map(|s| s.pixels.clone()).collect();
            truth.extend(run_float.logits(&pixels)?);
            answers.extend(run_int8.logits(&pixels)?);
            chunk.iter().for_each(|_| talk.tick());
        }
        let distance =
            (!checked.is_empty()).then(|| Distance::between(&truth, &answers, model.graph.activation));
        manifest.calibration.agreement = distance.map(|d| d.agreement);
        let accuracy = accuracy(checked, &truth, &answers);

        // Everything is known: write.
        let size = foldnet_archive::write(output, &outcome.network, &manifest)
            .with_context(|| "the archive was not written")?;
        if let Some(path) = &self.report {
            let report = Report {
                source: model.source.file.clone(),
                sha256: model.source.sha256.clone(),
                preprocess: model.input.preprocess.clone(),
                preprocess_reason: model.reason.clone(),
                layers_folded: folded,
                layers_quantized: outcome.network.steps.len(),
                layers_float: 0,
                bytes_before: model.bytes,
                bytes: size,
                macs: outcome.network.macs(),
                parameters: outcome.network.parameters(),
                arena_bytes: Session::new(&outcome.network, foldnet_kernels::dispatch::best(), 1)
                    .map_err(|e| Failure::Fault(e.into()))?
                    .arena_bytes(),
                calibration_images: manifest.calibration.images,
                skipped: pictures.skipped,
                centred: outcome.centred,
                passes: outcome.decisions.clone(),
                held_out: distance,
                accuracy,
                changed: changed(model, checked, &truth, &answers),
                sensitivity: sensitivity(&outcome, &pictures.calibrate, talk)?,
                not_folded: not_folded(&outcome),
                tensors: tensors(&outcome, &mut run_float, &mut run_int8, checked)?,
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
        talk.say(format!(
            "{}: {} int8 layers, 0 float; {} → {}; calibrated on {} pictures",
            output.display(),
            outcome.network.steps.len(),
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
            layers_quantized: outcome.network.steps.len(),
            layers_float: 0,
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
        self.check_drop(distance, accuracy)
    }

    fn check_drop(&self, distance: Option<Distance>, accuracy: Option<Accuracy>) -> Result<(), Failure> {
        let Some(limit) = self.max_drop else { return Ok(()) };
        let (drop, what) = match (accuracy, distance) {
            (Some(a), _) => ((a.float - a.int8) * 100.0, "accuracy on held-out pictures fell"),
            (None, Some(d)) => ((1.0 - d.agreement) * 100.0, "held-out pictures changed their top-1"),
            (None, None) => return Err(Failure::Limit("--max-drop: nothing was held out to check".into())),
        };
        if drop > limit {
            return Err(Failure::Limit(format!("{what} by {drop:.2} points; --max-drop allows {limit}")));
        }
        Ok(())
    }
}

fn accuracy(samples: &[Sample], truth: &[Vec<f32>], answers: &[Vec<f32>]) -> Option<Accuracy> {
    let labelled: Vec<(usize, usize)> =
        samples.iter().enumerate().filter_map(|(i, s)| s.label.map(|l| (i, l))).collect();
    let share = |of: &[Vec<f32>]| {
        labelled.iter().filter(|(i, l)| top(&of[*i]) == *l).count() as f64 / labelled.len() as f64
    };
    (!labelled.is_empty()).then(|| Accuracy {
        images: labelled.len(),
        float: share(truth),
        int8: share(answers),
    })
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
fn sensitivity(
    outcome: &Outcome,
    pictures: &[Vec<u8>],
    talk: &Talk,
) -> Result<Vec<SensitivityReport>, Failure> {
    let parts = sensitivity::parts(&outcome.draft);
    let per_picture = outcome.network.macs().max(1).saturating_mul(parts as u64);
    let n = ((SENSITIVITY_MACS / per_picture) as usize).clamp(2, LAYER_PICTURES).min(pictures.len());
    talk.stage("sensitivity", parts);
    let exact = equalize::apply(&outcome.graph, &outcome.factors);
    let shares = sensitivity::shares(&exact, &outcome.draft, &pictures[..n], &|| talk.tick())?;
    let report = |s: sensitivity::Share| SensitivityReport {
        name: outcome.graph.nodes[s.node].name.clone(),
        what: if s.weights { "weights" } else { "values" },
        sqnr: s.sqnr,
    };
    Ok(shares.into_iter().map(report).collect())
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
    float: &mut Runner<'_>,
    int8: &mut Runner<'_>,
    samples: &[Sample],
) -> Result<Vec<TensorReport>, Failure> {
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
    let network = &outcome.network;
    Ok((1..network.tensors.len())
        .filter(|&id| id != network.logits)
        .map(|id| {
            let tensor = &network.tensors[id];
            let (lo, hi, histogram) =
                outcome.observation.histogram(outcome.draft.layout.slots[id].node, 0).plot(64);
            TensorReport {
                name: tensor.name.clone(),
                shape: [tensor.shape.h, tensor.shape.w, tensor.shape.c],
                scale: tensor.scale,
                zero: tensor.zero,
                method: outcome.methods[outcome.draft.layout.root(id)].name().into(),
                sqnr: noise.get(&tensor.name).map(Noise::sqnr),
                seen: (lo, hi),
                histogram,
            }
        })
        .collect())
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
