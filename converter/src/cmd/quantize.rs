//! `converter quantize`: reads the model and the images, converts, writes and prints.

mod inputs;
mod print;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet_archive::ArchiveError;
use foldnet_cli::count;

use super::files::{self, ReportKind};
use super::labels::LabelFlags;
use super::limit::{self, Limit};
use super::model::{Around, FloatModel, InputFlags, named};
use super::output::{OutputFlags, ThresholdFlag};
use super::values::finite;
use super::{Failure, Listener, Talk, UsageError};
use crate::calibrate::Method;
use crate::convert::check::Drop;
use crate::convert::images::Images;
use crate::convert::reading::{Evidence, decide};
use crate::convert::{Converted, Settings, convert};
use crate::per_class;
use crate::provenance::Provenance;
use crate::quantize::QuantizeError;
use crate::quantize::recipe::{Effort, Options, Progress};
use crate::report::{Report, html};
pub use inputs::Read;

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

/// `converter quantize` in the process of a program that embeds it: the same arguments, the archive written, nothing
/// printed. Returns the archive's path and the report. Arguments that are not understood are a
/// [`super::UsageError`] in [`Failure::Input`].
pub fn quantize<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    listener: impl Listener + 'static,
) -> Result<(PathBuf, Report), Failure> {
    let cmd = Cmd::parse(arguments)?;
    let (output, converted) = cmd.convert(&Talk::to(listener))?;
    cmd.check_drop(converted.drop)?;
    Ok((output, converted.report))
}

/// The subcommand alone, without a program around it.
#[derive(clap::Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Arguments {
    #[command(flatten)]
    cmd: Cmd,
}

impl Cmd {
    /// From arguments without the program's and the subcommand's name.
    pub fn parse<A: Into<OsString> + Clone>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, UsageError> {
        <Arguments as clap::Parser>::try_parse_from(arguments).map(|Arguments { cmd }| cmd)
    }

    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let (output, converted) = self.convert(talk)?;
        print::print(&output, &converted.report, talk);
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
        let mut model = self.load(talk)?;
        written(&model.external)?;
        talk.say(format!(
            "{}: {} folded away; pixels: {} ({})",
            model.source.file,
            count(model.folded, "node"),
            model.input.preprocess,
            model.reason
        ));
        model.notes.iter().for_each(|note| talk.say(note));
        let Read { images, set, .. } = self.images(&mut model, talk)?;
        let provenance = self.provenance(&model, set)?;
        let evidence = Evidence::of(&model, &images.folders);
        let names_classes = decide(&evidence, self.meaning.kind())?.kind.classes(evidence.outputs) > 0;
        if model.labels.is_empty() && names_classes {
            talk.say("no labels: answers are called class 0, class 1, …; --labels FILE names them");
        }
        let mut converted = self.converted(&model, &images, provenance, talk)?;
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

    /// Reads the float model.
    pub fn load(&self, talk: &Talk) -> Result<FloatModel, Failure> {
        let around =
            Around { images: self.images.as_deref(), labels: Some(&self.names), ..Around::nothing(talk) };
        Ok(match &self.model {
            Some(path) => FloatModel::load(path, &self.input, around)?,
            None => FloatModel::built_in(&self.input, around)?,
        })
    }

    /// Converts what was read.
    pub fn converted(
        &self,
        model: &FloatModel,
        images: &Images,
        provenance: Provenance,
        talk: &Talk,
    ) -> Result<Converted, Failure> {
        let converted = convert(model, images, &self.settings(provenance), talk)?;
        talk.clear();
        if talk.stopped() { Err(QuantizeError::Stopped.into()) } else { Ok(converted) }
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

    fn settings(&self, provenance: Provenance) -> Settings {
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
            provenance: Some(provenance),
        }
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

/// Whether this is an archive, of whatever version.
fn is_archive(path: &Path) -> bool {
    !matches!(foldnet_archive::read(path), Err(ArchiveError::Io { .. } | ArchiveError::NotAnArchive(..)))
}

fn write_report(path: &Path, kind: ReportKind, report: &Report) -> anyhow::Result<()> {
    let text = match kind {
        ReportKind::Html => html::page(report),
        ReportKind::Json => serde_json::to_string_pretty(report).expect("plain data"),
    };
    foldnet_archive::write_file(path, text.as_bytes())
        .map_err(|e| anyhow!("{}: {e}; the report was not written", path.display()))
}
