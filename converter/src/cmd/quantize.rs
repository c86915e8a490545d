//! `converter quantize`: reads the model and the images, converts, writes and prints.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet_archive::ArchiveError;
use foldnet_cli::count;
use foldnet_dataset::Dataset;
use foldnet_kernels::Shape;
use serde::Serialize;

use super::files::{self, ReportKind};
use super::images::{Reader, check_labels, spread};
use super::labels::LabelFlags;
use super::limit::{self, Limit};
use super::model::{Around, FloatModel, InputFlags, named};
use super::output::{OutputFlags, ThresholdFlag};
use super::talk::{bytes, percent};
use super::values::finite;
use super::{Failure, Listener, Talk};
use crate::calibrate::Method;
use crate::convert::check::Drop;
use crate::convert::images::{Images, Sample};
use crate::convert::reading::{Evidence, decide};
use crate::convert::verdict::{Verdict, images_are};
use crate::convert::{Converted, Settings, convert};
use crate::image::Pixels;
use crate::per_class;
use crate::quantize::QuantizeError;
use crate::quantize::recipe::{Effort, Options, Progress};
use crate::report::{KeptPart, Report, html};

/// Quantize an ONNX or TFLite model to an int8 archive
///
/// Measures the range of every layer on the images, quantizes, and compares the result with the float network on images
/// that were held out. About a hundred images of the kind that the network will see are enough; labels are not needed.
#[derive(Args)]
#[command(after_help = "Examples:\n  converter quantize -o cifar.nnef.tgz\n  \
                        converter quantize model.onnx --images photos/ --labels labels.txt -o model.nnef.tgz\n  \
                        converter quantize model.onnx --images photos/ --max-drop 0.2 --report report.html")]
pub struct Cmd {
    /// ONNX or TFLite model [default: the built-in CIFAR-10 ResNet-20]
    model: Option<PathBuf>,
    /// Calibration images: a folder, a CIFAR .bin file, or a .npy array
    #[arg(long)]
    images: Option<PathBuf>,
    #[command(flatten)]
    input: InputFlags,
    #[command(flatten)]
    names: LabelFlags,
    #[command(flatten)]
    meaning: OutputFlags,
    #[command(flatten)]
    applies: ThresholdFlag,
    /// Archive to write [default: the model's name with .nnef.tgz]
    #[arg(long = "out", short = 'o', value_name = "OUT.nnef.tgz")]
    archive: Option<PathBuf>,
    /// How the ranges of activations are chosen
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    calibration: Method,
    /// How many variants are tried
    #[arg(long, value_enum, default_value_t = Effort::Normal)]
    effort: Effort,
    /// Largest number of images to use, spread evenly
    #[arg(long, default_value_t = 1250, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_images: u32,
    /// Calibrate on random noise (for trying things out: the answers are worthless)
    #[arg(long, conflicts_with = "images")]
    synthetic: bool,
    /// Largest loss of accuracy on held-out images, in points
    ///
    /// Moves as few tensors as possible to 16 bits so that accuracy (without labels: agreement with f32) drops by at most
    /// this much. Exits with code 3 if that is not enough.
    #[arg(long, value_name = "POINTS", value_parser = finite)]
    max_drop: Option<f64>,
    /// Apply --max-drop to the recall and the precision of every class
    ///
    /// Classes with fewer than 20 held-out images are counted together.
    #[arg(long, requires = "max_drop")]
    per_class: bool,
    /// Board whose expected time --ms limits
    #[arg(long, value_name = "BOARD", requires = "ms")]
    board: Option<String>,
    /// Longest inference on --board, in milliseconds on one thread
    ///
    /// Exits with code 3 and writes nothing if the expected time is longer even at the fast end of its interval (see
    /// `boards fit`), and warns if the time lies in the interval.
    #[arg(long, value_name = "MS", requires = "board", value_parser = limit::milliseconds)]
    ms: Option<f64>,
    /// Round as NPUs do, for `converter export --rknn`
    ///
    /// Rounds each convolution before its residual is added, not only their sum. Costs some accuracy, and some time on
    /// the CPU.
    #[arg(long, conflicts_with = "max_drop")]
    for_npu: bool,
    /// Write a report: a page (.html) or JSON (.json)
    #[arg(long, value_name = "OUT.html|OUT.json")]
    report: Option<PathBuf>,
    /// Do not equalize channels
    #[arg(long)]
    no_equalization: bool,
    /// Do not correct biases
    #[arg(long)]
    no_bias_correction: bool,
    /// Exit with code 2 if an image cannot be read
    #[arg(long)]
    strict: bool,
}

/// The result for scripts.
#[derive(Serialize)]
struct Outcome<'a> {
    output: &'a Path,
    verdict: &'a Verdict,
    /// What the network's output means.
    kind: &'static str,
    layers_quantized: usize,
    layers_float: usize,
    /// Weights and values in 16 bits, see `--max-drop`.
    layers_kept: &'a [KeptPart],
    bytes: u64,
    agreement: Option<f64>,
    layers_folded: usize,
    bytes_before: u64,
    calibration_images: usize,
    held_out_images: usize,
    /// Whether training did not see those either.
    unseen: bool,
    kl: Option<f64>,
    sqnr: Option<f64>,
    skipped: usize,
    preprocess: &'a str,
}

/// `converter quantize` in the process of a program that embeds it: the same arguments, the archive written, nothing
/// printed. Returns the archive's path and the report. Arguments that are not understood are a
/// [`super::UsageError`] in [`Failure::Input`].
pub fn quantize<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    listener: impl Listener + 'static,
) -> Result<(PathBuf, Report), Failure> {
    #[derive(clap::Parser)]
    #[command(no_binary_name = true, disable_help_flag = true)]
    struct Arguments {
        #[command(flatten)]
        cmd: Cmd,
    }
    let Arguments { cmd } = clap::Parser::try_parse_from(arguments)?;
    let (output, converted) = cmd.convert(&Talk::to(listener))?;
    cmd.check_drop(converted.drop)?;
    Ok((output, converted.report))
}

const CALIBRATION: &[u8] = include_bytes!("../../assets/calibration.bin");

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let (output, converted) = self.convert(talk)?;
        self.print(&output, &converted.report, talk);
        self.check_drop(converted.drop)
    }

    /// Reads, converts and writes. Returns the archive's path, too.
    fn convert(&self, talk: &Talk) -> Result<(PathBuf, Converted), Failure> {
        let output = self.output();
        let report = self.report.as_deref().map(|path| Ok((path, files::report_kind(path)?)));
        let report = report.transpose().map_err(Failure::Input)?;
        let written = |external: &[PathBuf]| {
            let mut inputs: Vec<&Path> = [self.model.as_ref(), self.images.as_ref(), self.names.file()]
                .into_iter()
                .flatten()
                .map(PathBuf::as_path)
                .chain(self.input.files())
                .collect();
            inputs.extend(external.iter().map(PathBuf::as_path));
            let mut outputs = vec![("-o", output.as_path())];
            outputs.extend(report.map(|(path, _)| ("--report", path)));
            outputs.extend(self.input.outputs());
            files::check(&inputs, &outputs)
        };
        written(&[])?;
        if self.archive.is_none() {
            files::check_default(&output, is_archive)?;
        }
        if self.model.is_some() && self.images.is_none() && !self.synthetic {
            return Err(Failure::Input(anyhow!(
                "no images to calibrate on. The converter measures the range of every layer on real images; wrong \
                 ranges make the answers wrong. Give about a hundred images of the kind the network will see, \
                 without labels if you have none: --images FOLDER (or a CIFAR .bin, or .npy). --synthetic \
                 calibrates on noise, only to try the commands"
            )));
        }
        let limit =
            self.board.as_deref().zip(self.ms).map(|(board, ms)| Limit::new(board, ms)).transpose()?;
        let around =
            Around { images: self.images.as_deref(), labels: Some(&self.names), ..Around::nothing(talk) };
        let mut model = match &self.model {
            Some(path) => FloatModel::load(path, &self.input, around)?,
            None => FloatModel::built_in(&self.input, around)?,
        };
        written(&model.external)?;
        talk.say(format!(
            "{}: {} folded away; pixels: {} ({})",
            model.source.file,
            count(model.folded, "node"),
            model.input.preprocess,
            model.reason
        ));
        model.notes.iter().for_each(|note| talk.say(note));
        let images = self.images(&mut model, talk)?;
        let evidence = Evidence::of(&model, &images.folders);
        let names_classes = decide(&evidence, self.meaning.kind())?.kind.classes(evidence.outputs) > 0;
        if model.labels.is_empty() && names_classes {
            talk.say("no labels: answers are called class 0, class 1, …; --labels FILE names them");
        }
        let mut converted = convert(&model, &images, &self.settings(), talk)?;
        talk.clear();
        if talk.stopped() {
            return Err(QuantizeError::Stopped.into());
        }
        if let Some(limit) = &limit
            && let Some(warning) = limit.check(&converted.network)?
        {
            talk.warn(warning);
        }
        // Everything is known: write.
        foldnet_archive::write_file(&output, &converted.archive)
            .with_context(|| format!("{}: the archive was not written", output.display()))?;
        if let Some((path, kind)) = report {
            converted.report.origin.date = super::date::today();
            converted.report.origin.command = talk.prints().then(super::date::command_line);
            write_report(path, kind, &converted.report)?;
        }
        Ok((output, converted))
    }

    fn output(&self) -> PathBuf {
        self.archive.clone().unwrap_or_else(|| match &self.model {
            Some(path) => match named(path) {
                Some((_, name)) => format!("{}.nnef.tgz", name.replace('/', "_")).into(),
                None => PathBuf::from(path.file_stem().unwrap_or_default()).with_extension("nnef.tgz"),
            },
            None => "resnet20-cifar10.nnef.tgz".into(),
        })
    }

    fn settings(&self) -> Settings {
        Settings {
            quantize: Options {
                method: self.calibration,
                effort: self.effort,
                equalize: !self.no_equalization,
                bias: !self.no_bias_correction,
                for_npu: self.for_npu,
                ..Options::default()
            },
            output: self.meaning.kind(),
            threshold: self.applies.threshold,
            max_drop: self.max_drop,
            per_class: self.per_class,
            details: self.report.is_some(),
        }
    }

    fn images(&self, model: &mut FloatModel, talk: &Talk) -> Result<Images, Failure> {
        let images = if self.synthetic {
            talk.warn("calibrating on noise (--synthetic): do not trust this archive's answers");
            Images::noise(&model.input)
        } else if let Some(path) = &self.images {
            self.read(path, model, talk)?
        } else {
            Images::every_fifth(built_in_images())
        };
        if images.check.is_empty() && !self.synthetic {
            talk.warn(format!(
                "{} too few to trust the ranges found on them; give about a hundred",
                images_are(images.calibrate.len())
            ));
        }
        Ok(images)
    }

    /// The images of a folder or file, labelled where their classes are the network's.
    fn read(&self, path: &Path, model: &mut FloatModel, talk: &Talk) -> Result<Images, Failure> {
        let mut dataset = super::images::open(path, talk)?;
        let folders = dataset.classes().to_vec();
        let evidence = Evidence::of(model, &folders);
        let classes = decide(&evidence, self.meaning.kind())?.kind.classes(evidence.outputs);
        let mut labelled = classes > 0;
        if labelled {
            match self.names.number(&mut dataset, &model.labels, classes) {
                Err(error) if self.names.are_stated() => return Err(error.into()),
                // Folders may only group the images.
                Err(error) => {
                    labelled = false;
                    talk.say(format!("labels are not used: {error}"));
                }
                Ok(Some((names, note))) => {
                    talk.say(note);
                    model.labels = names;
                }
                Ok(None) => {}
            }
        }
        let mut reader = Reader::new(&dataset, &model.input, talk);
        talk.stage("reading", dataset.len().min(self.max_images as usize));
        let mut samples = Vec::new();
        for number in spread(dataset.len(), self.max_images as usize) {
            for mut sample in reader.read([number]) {
                sample.label = sample.label.filter(|_| labelled);
                let held_out = match &model.held_out {
                    Some(rule) => rule.contains(&content(&dataset, number)?),
                    None => false,
                };
                samples.push((sample, held_out));
            }
            talk.tick();
        }
        reader.check(samples.len(), self.strict)?;
        if let Err(error) = check_labels(samples.iter().map(|(sample, _)| sample), classes) {
            if self.names.are_stated() {
                return Err(error.into());
            }
            talk.warn(format!("labels are not used: {error}"));
            samples.iter_mut().for_each(|(sample, _)| sample.label = None);
        }
        let images = match &model.held_out {
            Some(_) => Images::by_training(samples),
            None => Images::every_fifth(samples.into_iter().map(|(sample, _)| sample).collect()),
        };
        Ok(Images { folders, skipped: reader.skipped, ..images })
    }

    fn print(&self, output: &Path, r: &Report, talk: &Talk) {
        for d in &r.passes {
            let before = d.before.map_or(String::new(), |before| format!("{before:.2} dB → "));
            let kept = if d.kept { "" } else { ", not kept" };
            talk.detail(format!("{}: answers {before}{:.2} dB{kept} ({})", d.pass, d.after, d.note));
        }
        if r.centred > 0 {
            talk.detail(format!("{} tensors of the trunk centred per channel", r.centred));
        }
        if let Some(d) = &r.held_out {
            talk.detail(format!("on {} checked images: {}", d.images, d.words()));
        }
        r.notes.iter().for_each(|note| talk.warn(note));
        results(output, r).iter().for_each(|line| talk.human(line));
        talk.result(&Outcome {
            output,
            verdict: &r.verdict,
            kind: r.output.kind.name(),
            layers_quantized: r.layers_quantized,
            layers_float: r.layers_float,
            layers_kept: r.kept.as_ref().map_or(&[], |k| &k.parts),
            bytes: r.bytes,
            agreement: r.held_out.and_then(|d| d.agreement),
            layers_folded: r.layers_folded,
            bytes_before: r.bytes_before,
            calibration_images: r.calibration_images,
            held_out_images: r.verdict.images,
            unseen: r.unseen,
            kl: r.held_out.and_then(|d| d.kl),
            sqnr: r.held_out.map(|d| d.sqnr),
            skipped: r.skipped,
            preprocess: &r.preprocess,
        });
    }

    fn check_drop(&self, drop: Option<Drop>) -> Result<(), Failure> {
        match (self.max_drop, drop) {
            (Some(_), None) if self.per_class => Err(Failure::Limit(format!(
                "--per-class: no class has {} held-out images with a label",
                per_class::FEW
            ))),
            (Some(_), None) => Err(Failure::Limit("--max-drop: nothing was held out to check".into())),
            (Some(limit), Some(drop)) if drop.points > limit => {
                Err(Failure::Limit(format!("{drop}; --max-drop allows {limit}")))
            }
            _ => Ok(()),
        }
    }
}

/// The results for people, the verdict first.
fn results(output: &Path, r: &Report) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", r.verdict.grade.name(), r.verdict.sentence)];
    lines.extend(r.verdict.reasons.iter().skip(1).map(|reason| format!("also: {reason}")));
    if let Some(k) = &r.kept {
        lines.extend(k.parts.iter().map(|part| {
            format!(
                "in 16 bits: {} of {} ({:.1} dB in 8 bits; {:.1} million MACs more)",
                part.what,
                part.name,
                part.sqnr,
                part.macs as f64 / 1e6
            )
        }));
        lines.push(format!(
            "{} kept of {} networks tried: {:.2} points lost become {:.2}; MACs {:.1} → {:.1} million, {} → {}, \
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
    let float = if r.layers_float > 0 { format!(", {} in f32", r.layers_float) } else { String::new() };
    lines.push(format!(
        "{}: {} layers in int8{float}; {} → {}; calibrated on {} images",
        output.display(),
        r.layers_quantized,
        bytes(r.bytes_before),
        bytes(r.bytes),
        r.calibration_images
    ));
    if let Some(a) = &r.accuracy {
        lines.push(format!(
            "right on {} labelled images: f32 {}, int8 {}",
            a.images,
            percent(a.float),
            percent(a.int8)
        ));
    }
    lines
}

/// Whether this is an archive, of whatever version.
fn is_archive(path: &Path) -> bool {
    !matches!(foldnet_archive::read(path), Err(ArchiveError::Io { .. } | ArchiveError::NotAnArchive(..)))
}

/// What the rule of [`crate::convert::held_out`] is applied to.
fn content(dataset: &Dataset, number: usize) -> anyhow::Result<Vec<u8>> {
    let file = dataset.path().join(dataset.name(number));
    if dataset.path().is_dir() {
        return std::fs::read(&file).with_context(|| file.display().to_string());
    }
    Ok(dataset.get(number)?.picture.rgb().to_vec())
}

fn write_report(path: &Path, kind: ReportKind, report: &Report) -> anyhow::Result<()> {
    let text = match kind {
        ReportKind::Html => html::page(report),
        ReportKind::Json => serde_json::to_string_pretty(report).expect("plain data"),
    };
    foldnet_archive::write_file(path, text.as_bytes())
        .map_err(|e| anyhow!("{}: {e}; the report was not written", path.display()))
}

/// The images built in: CIFAR records.
fn built_in_images() -> Vec<Sample> {
    CALIBRATION
        .chunks_exact(3073)
        .enumerate()
        .map(|(i, record)| {
            let plane = &record[1..];
            let pixels: Vec<u8> =
                (0..1024).flat_map(|p| [plane[p], plane[1024 + p], plane[2048 + p]]).collect();
            Sample {
                name: format!("built-in[{i}]"),
                label: Some(record[0].into()),
                pixels: Pixels::new(Shape::new(32, 32, 3), pixels).expect("a record holds a whole image"),
            }
        })
        .collect()
}
