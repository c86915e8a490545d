//! Reads a float model, and decides what it does not tell.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet_archive::{Input, Resize, SourceModel};
use foldnet_backends::auto::cache;
use foldnet_dataset::{Dataset, known, parse_labels};

use super::labels::LabelFlags;
use super::{Talk, files};
use crate::convert::held_out::HeldOut;
use crate::foreign;
use crate::frameworks::{self, Format, Job};
use crate::import::{self, Imported, Size};
pub use crate::model::{FloatModel, Int8Model, Model};
use crate::pass::{Preprocess, fold, prepend};
use crate::pixels::trial::Choice;
use crate::pixels::{self, Evidence};
use crate::provenance::Recorder;
use crate::quantize::recipe::Progress;
pub use crate::run::{Runner, Values};

const FRAMEWORKS: &str = "For models of Keras, TensorFlow and PyTorch";

/// What the graph does not say about its input, and how it is made of other models.
#[derive(Args, Clone, Debug, Default)]
pub struct InputFlags {
    // Without these flags, the model's metadata `preprocess` and `resize` say it, then the evidence in `pixels`.
    /// What training did to the pixels [default: recognized from the model]
    ///
    /// none (0…255), 0-1 (x/255), tf (x/127.5 − 1), caffe (BGR minus the mean), torch (ImageNet's mean and deviation), or
    /// MEAN/STD in pixel units (one number or three for each). auto tries them on labelled images. By default, the
    /// converter decides from the model's metadata, layers and numbers, and from labelled images if several fit.
    #[arg(long, value_name = "KIND")]
    preprocess: Option<String>,
    /// How images of another size are resized [default: torch crops, everything else stretches]
    ///
    /// stretch (antialiased), bilinear (not antialiased, as tf.image.resize), or crop:SHORT (the short side to SHORT, then
    /// the centre).
    #[arg(long, value_name = "RULE", value_parser = parse_resize)]
    pub resize: Option<Resize>,
    /// Width and height of the network's input, if the model leaves them open
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    input_size: Option<Size>,
    /// The output to use, if the model has several
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// Python file that defines the custom classes of a Keras model
    #[arg(long, value_name = "MODULE.py", help_heading = FRAMEWORKS)]
    custom: Option<PathBuf>,
    /// Weights of a network given by its name [default: those published with it, downloaded]
    #[arg(long, value_name = "FILE", help_heading = FRAMEWORKS)]
    weights: Option<PathBuf>,
    /// Also write the ONNX file that the framework exports
    #[arg(long, value_name = "MODEL.onnx", help_heading = FRAMEWORKS)]
    keep_onnx: Option<PathBuf>,
    /// Python to export with; if it lacks the framework, it creates an environment [default: python3]
    #[arg(long, value_name = "PROGRAM", help_heading = FRAMEWORKS)]
    python: Option<String>,
}

impl InputFlags {
    /// The files that they name and that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.weights, &self.custom].into_iter().flatten().map(PathBuf::as_path)
    }

    /// The flags and files that are written.
    pub fn outputs(&self) -> Vec<(&str, &Path)> {
        self.keep_onnx.iter().map(|path| ("--keep-onnx", path.as_path())).collect()
    }

    /// Records those that influence the network, for [`crate::provenance`].
    pub fn record(&self, to: &mut Recorder) -> anyhow::Result<()> {
        to.value("preprocess", self.preprocess.as_ref());
        to.value("resize", self.resize.map(resize_in_words));
        to.value("input-size", self.input_size.map(|size| format!("{}x{}", size.width, size.height)));
        to.value("output-name", self.output_name.as_ref());
        to.file("custom", self.custom.as_deref())?;
        to.file("weights", self.weights.as_deref())
    }

    /// Tells which of them an archive has no use for.
    pub fn warn_unused(&self, talk: &Talk) {
        for (flag, given) in [
            ("--preprocess", self.preprocess.is_some()),
            ("--input-size", self.input_size.is_some()),
            ("--output-name", self.output_name.is_some()),
            ("--custom", self.custom.is_some()),
            ("--weights", self.weights.is_some()),
            ("--keep-onnx", self.keep_onnx.is_some()),
            ("--python", self.python.is_some()),
        ] {
            let why = match flag {
                "--preprocess" | "--input-size" => "the archive contains its own",
                _ => "it changes nothing for an archive",
            };
            if given {
                talk.warn(format!("{flag} is for float models; {why}"));
            }
        }
    }
}

/// As for `--input-size`: width before height, the order of every `--size` option.
fn parse_size(text: &str) -> Result<Size, String> {
    let side = |text: &str| text.trim().parse().ok().filter(|n| (1..=foldnet_kernels::MAX_SIDE).contains(n));
    text.split_once(['x', '×'])
        .and_then(|(width, height)| Some(Size { width: side(width)?, height: side(height)? }))
        .ok_or_else(|| "width and height, for example 320x240".into())
}

/// What may decide where the model does not tell.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Images, of use if they are labelled.
    pub images: Option<&'a Path>,
    /// Names of the classes.
    pub labels: Option<&'a LabelFlags>,
    /// How an archive that the model is compared with makes images into pixels.
    pub recorded: Option<&'a Input>,
    /// A model whose preprocessing stays open is of use all the same.
    pub may_stay_open: bool,
    /// Where progress is shown.
    pub talk: &'a Talk,
}

impl<'a> Around<'a> {
    /// Nothing.
    pub fn nothing(talk: &'a Talk) -> Self {
        Self { images: None, labels: None, recorded: None, may_stay_open: false, talk }
    }
}

/// As for `--resize`.
fn parse_resize(text: &str) -> Result<Resize, String> {
    match text.split_once(':') {
        None if text == "stretch" => Ok(Resize::Stretch),
        None if text == "bilinear" => Ok(Resize::Bilinear),
        Some(("crop", short)) => match short.parse() {
            Ok(short_side) if (1..=foldnet_kernels::MAX_SIDE).contains(&short_side) => {
                Ok(Resize::Crop { short_side })
            }
            _ => Err(format!("{short} is not a valid length")),
        },
        _ => Err("stretch, bilinear, or crop:SHORT, for example crop:256".into()),
    }
}

/// As `--resize` takes it.
fn resize_in_words(resize: Resize) -> String {
    match resize {
        Resize::Stretch => "stretch".into(),
        Resize::Bilinear => "bilinear".into(),
        Resize::Crop { short_side } => format!("crop:{short_side}"),
    }
}

/// The most nodes of a folded network. ResNet-152 has about 200.
const MAX_NODES: usize = 4096;
/// The most nodes before folding. Exported networks have up to five times as many as folded ones.
const MAX_UNFOLDED: usize = 4 * MAX_NODES;
/// The ResNet-20 built in.
const BUILT_IN: &[u8] = include_bytes!("../../assets/resnet20-v1-cifar10.onnx");
const BUILT_IN_NAME: &str = "resnet20-v1-cifar10.onnx";

impl FloatModel {
    /// Reads, imports and folds an ONNX or TFLite file.
    pub fn load(path: &Path, flags: &InputFlags, around: Around<'_>) -> anyhow::Result<Self> {
        if let Some((format, name)) = named(path) {
            return Self::exported(Path::new(name), format, flags, around);
        }
        if flags.weights.is_some() {
            let path = path.display();
            return Err(anyhow!(
                "--weights goes with a network's name, as keras:ResNet50V2, not with {path}"
            ));
        }
        if let Some(format) = foreign::exported_folder(path) {
            return Self::exported(path, format, flags, around);
        }
        let bytes = import::read_file(path)?;
        if let Some(format) = foreign::exported(&bytes) {
            let mut model = Self::exported(path, format, flags, around)?;
            model.source.sha256 = foldnet_archive::digest(&bytes);
            return Ok(model);
        }
        if let Some(foreign) = foreign::recognize(&bytes, path) {
            return Err(foreign).with_context(|| path.display().to_string());
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::new(&bytes, folder, file, flags, around).with_context(|| path.display().to_string())
    }

    /// A model that its framework exports first.
    fn exported(path: &Path, format: Format, flags: &InputFlags, around: Around<'_>) -> anyhow::Result<Self> {
        let keep = flags.outputs();
        let weights = flags.weights.as_deref();
        if let Some(weights) = weights {
            // Missing, or no file: said before a framework is started.
            foldnet_archive::open_file(weights)
                .with_context(|| format!("--weights {}", weights.display()))?;
        }
        let labels = around.labels.and_then(LabelFlags::file).map(PathBuf::as_path);
        let inputs: Vec<&Path> =
            [Some(path), around.images, labels].into_iter().flatten().chain(flags.files()).collect();
        files::check(&inputs, &keep)?;
        let custom = flags.custom.as_deref();
        let job = Job { model: path, format, weights, custom, size: flags.input_size };
        let python = flags.python.as_deref().unwrap_or("python3");
        let say = |words| around.talk.say(words);
        let onnx =
            frameworks::export(&job, python, cache(), say).with_context(|| path.display().to_string())?;
        for (flag, to) in keep {
            foldnet_archive::write_file(to, &onnx).map_err(|e| anyhow!("{flag} {}: {e}", to.display()))?;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::new(&onnx, Path::new(""), file, flags, around).with_context(|| path.display().to_string())
    }

    /// The one built in.
    pub fn built_in(flags: &InputFlags, around: Around<'_>) -> anyhow::Result<Self> {
        let mut model = Self::new(BUILT_IN, Path::new(""), BUILT_IN_NAME.into(), flags, around)?;
        if around.labels.is_none_or(|labels| !labels.are_stated()) {
            model.labels = known::CIFAR_10.map(String::from).to_vec();
        }
        Ok(model)
    }

    fn new(
        bytes: &[u8],
        folder: &Path,
        file: String,
        flags: &InputFlags,
        around: Around<'_>,
    ) -> anyhow::Result<Self> {
        let options = import::Options { input_size: flags.input_size, output: flags.output_name.clone() };
        let mut imported = import::read_with(bytes, folder, &options)?;
        let external_bytes: u64 =
            imported.external.iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
        let unfolded = imported.graph.nodes.len();
        if unfolded > MAX_UNFOLDED {
            return Err(anyhow!(
                "the network has {unfolded} layers before folding; at most {MAX_UNFOLDED} are supported"
            ));
        }
        let shape = imported.graph.input();
        let outputs = imported.graph.nodes[imported.graph.output].shape.len();
        let (labels, mut notes) = labels(&imported, outputs, around.labels)?;
        let decided = decide(&imported, flags, &labels, outputs, around)?;
        notes.extend(decided.note);
        notes.append(&mut imported.notes);
        if let Some(Size { width, height }) = flags.input_size.filter(|size| size.width != size.height) {
            notes.push(format!("input: {width} wide, {height} high"));
        }
        if let Some(size) = imported.metadata.get("assumed_size") {
            notes.push(format!(
                "input: {size}, assumed at export, as the model does not state it (--input-size WxH changes it there)"
            ));
        }
        let (preprocess, resize) = (decided.preprocess, decided.resize);
        prepend(&mut imported.graph, &preprocess)?;
        fold(&mut imported.graph);
        // Every step of a conversion goes over the whole network several times.
        let layers = imported.graph.nodes.len();
        if layers > MAX_NODES {
            return Err(anyhow!(
                "the network has {layers} layers after folding; at most {MAX_NODES} are supported"
            ));
        }
        // The input is a node of ours, none of the file's.
        let folded = (imported.nodes + 1).saturating_sub(imported.graph.nodes.len());
        Ok(Self {
            input: Input {
                height: shape.h,
                width: shape.w,
                channels: shape.c,
                resize,
                preprocess: preprocess.name,
                mean: preprocess.mean,
                std: preprocess.std,
            },
            source: SourceModel {
                file,
                sha256: foldnet_archive::digest(bytes),
                producer: imported.producer,
                converter: env!("CARGO_PKG_VERSION").into(),
            },
            read_sha256: foldnet_archive::digest(bytes),
            labels,
            normalized: imported.normalized,
            held_out: imported
                .metadata
                .get("held_out")
                .map(|text| HeldOut::parse(text))
                .transpose()
                .map_err(|e| anyhow!("the model's metadata, held_out: {e}"))?,
            bytes: bytes.len() as u64 + external_bytes,
            external: imported.external,
            folded,
            reason: format!("{}; {}", decided.reason, pixels::resize_in_words(resize)),
            notes,
            graph: imported.graph,
        })
    }
}

/// The names that are stated, or that the model has, or that are known; and what a person should know.
fn labels(
    imported: &Imported,
    outputs: usize,
    flags: Option<&LabelFlags>,
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    if let Some(stated) = flags.map(|flags| flags.stated(outputs)).transpose()?.flatten() {
        return Ok((stated, Vec::new()));
    }
    if flags.is_some_and(|flags| !flags.may_be_found()) {
        return Ok((Vec::new(), Vec::new()));
    }
    if let Some(text) = imported.metadata.get("labels") {
        return Ok(match parse_labels(text.as_bytes(), outputs) {
            Ok(labels) => (labels.names, Vec::new()),
            Err(problem) => {
                (Vec::new(), vec![format!("the model's metadata, labels, is not used: {problem}")])
            }
        });
    }
    let imagenet = known::imagenet_1k();
    if outputs == imagenet.len() && pixels::is_published(imported) {
        let note = "labels: ImageNet-1k's, as the network is a published one with 1000 outputs (--labels FILE or \
                    --no-labels changes that)";
        return Ok((imagenet, vec![note.into()]));
    }
    Ok((Vec::new(), Vec::new()))
}

/// What is done to pixels and images, and why.
struct Decided {
    preprocess: Preprocess,
    resize: Resize,
    reason: String,
    note: Option<String>,
}

/// Flags come first, then the model's metadata, then the evidence.
fn decide(
    imported: &Imported,
    flags: &InputFlags,
    labels: &[String],
    outputs: usize,
    around: Around<'_>,
) -> anyhow::Result<Decided> {
    let shape = imported.graph.input();
    let metadata = |key: &str| imported.metadata.get(key).map(String::as_str);
    let resize = match (flags.resize, metadata("resize")) {
        (Some(resize), _) => Some(resize),
        (None, Some(text)) => {
            Some(parse_resize(text).map_err(|e| anyhow!("the model's metadata, resize: {e}"))?)
        }
        (None, None) => around.recorded.map(|input| input.resize),
    };
    let decided = |preprocess: Preprocess, reason: String, note| Decided {
        resize: resize.unwrap_or_else(|| pixels::resize(&preprocess.name, shape)),
        preprocess,
        reason,
        note,
    };
    let try_all = flags.preprocess.as_deref() == Some("auto");
    match (&flags.preprocess, metadata("preprocess")) {
        (Some(text), _) if !try_all => {
            return Ok(decided(Preprocess::parse(text, shape.c)?, "as --preprocess says".into(), None));
        }
        (None, Some(text)) => {
            let preprocess = Preprocess::parse(text, shape.c).context("the model's metadata, preprocess")?;
            return Ok(decided(preprocess, "as the model's metadata says".into(), None));
        }
        _ => {}
    }
    let evidence = pixels::weigh(imported);
    if let Some(preprocess) = around.recorded.and_then(|input| recorded(input, shape.c))
        && !try_all
    {
        let note = match &evidence {
            Evidence::One(reading) if reading.preprocess != preprocess.name => Some(format!(
                "without the archive, --preprocess {} would be taken ({})",
                reading.preprocess, reading.reason
            )),
            _ => None,
        };
        return Ok(decided(preprocess, "preprocessing: as the archive records".into(), note));
    }
    if let (Evidence::One(reading), false) = (&evidence, try_all) {
        return Ok(decided(Preprocess::parse(&reading.preprocess, shape.c)?, reading.reason.clone(), None));
    }
    let (candidates, why) = match &evidence {
        Evidence::Several { candidates, why } if !try_all => (candidates.clone(), why.clone()),
        Evidence::Several { why, .. } => (evidence.candidates(shape), why.clone()),
        Evidence::One(reading) => (
            evidence.candidates(shape),
            format!("{} would be taken ({})", reading.preprocess, reading.reason),
        ),
    };
    match tried(imported, &candidates, resize, labels, outputs, around)? {
        Ok(choice) => {
            let note = choice.close.then(|| {
                format!(
                    "--preprocess {} is right most often, but the next is too near to be sure; state it if you know",
                    choice.preprocess
                )
            });
            Ok(decided(Preprocess::parse(&choice.preprocess, shape.c)?, choice.reason, note))
        }
        Err(_) if around.may_stay_open => {
            let open = Preprocess { name: "unknown".into(), ..Preprocess::none(shape.c) };
            Ok(decided(open, format!("{why}; these fit: {}", candidates.join(", ")), None))
        }
        Err(images) => Err(anyhow!(pixels::undecided(&candidates, &why, &images))),
    }
}

/// The preprocessing that an archive records, if it is for images of this many channels.
fn recorded(input: &Input, channels: usize) -> Option<Preprocess> {
    let (name, mean, std) = (input.preprocess.clone(), input.mean.clone(), input.std.clone());
    let fits = mean.len() == channels && std.len() == channels;
    fits.then(|| Preprocess { bgr: name == "caffe", name, mean, std })
}

/// The candidate that labelled images decide for, or why they do not.
fn tried(
    imported: &Imported,
    candidates: &[String],
    resize: Option<Resize>,
    labels: &[String],
    outputs: usize,
    around: Around<'_>,
) -> anyhow::Result<Result<Choice, String>> {
    let unlabelled = "Labelled images would decide it, too: a folder with one subfolder for each class";
    let Some(path) = around.images else { return Ok(Err(format!("{unlabelled}."))) };
    let mut dataset = Dataset::open(path)?;
    if !dataset.is_labelled() {
        return Ok(Err(format!("{unlabelled}; those in {} have no labels.", path.display())));
    }
    let classes = if outputs == 1 { 2 } else { outputs };
    let matching = around.labels.map(LabelFlags::matching).unwrap_or_default();
    if let Err(error) = dataset.match_labels(labels, classes, matching) {
        return Ok(Err(format!("The images cannot decide it: {error}.")));
    }
    around.talk.stage("trying preprocessings", candidates.len());
    let trial = pixels::trial::run(&imported.graph, candidates, resize, &dataset)?;
    around.talk.clear();
    Ok(trial.best().map_err(|problem| format!("The images do not decide it: {problem}.")))
}

/// The framework and the name, if this names a published network and no file.
pub fn named(path: &Path) -> Option<(Format, &str)> {
    path.to_str().and_then(Format::named).filter(|_| !path.exists())
}
