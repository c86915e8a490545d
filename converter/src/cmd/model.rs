//! Reads a model or an archive, told apart by its first bytes.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet_archive::{Input, Resize, SourceModel};
use sha2::{Digest, Sha256};

use crate::convert::held_out::HeldOut;
use crate::foreign;
use crate::import;
use crate::import::family::recognize;
pub use crate::model::{FloatModel, Int8Model, Model};
use crate::pass::{Preprocess, fold, prepend};
pub use crate::run::{Runner, Values};

/// What the graph does not say about its input.
#[derive(Args, Clone, Debug, Default)]
pub struct InputFlags {
    // Without these flags, the model's metadata `preprocess` and `resize` say it, then its family.
    /// What training did to the pixels: none, tf (x/127.5 − 1), caffe (BGR − mean), torch (ImageNet mean and deviation), or MEAN/STD in pixel units, each one number or three
    #[arg(long, value_name = "KIND")]
    preprocess: Option<String>,
    /// How pictures of another size are fitted: stretch (antialiased), bilinear (as tf.image.resize, not antialiased), or crop:SHORT (short side, then the centre)
    #[arg(long, value_name = "RULE", value_parser = parse_resize)]
    resize: Option<Resize>,
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
            _ => Err(format!("{short} is no length of a side")),
        },
        _ => Err("stretch, bilinear, or crop:SHORT, for example crop:256".into()),
    }
}

/// The ResNet-20 built in.
const BUILT_IN: &[u8] = include_bytes!("../../assets/resnet20-v1-cifar10.onnx");
const BUILT_IN_NAME: &str = "resnet20-v1-cifar10.onnx";

impl FloatModel {
    /// Reads, imports and folds an ONNX file.
    pub fn load(path: &Path, flags: &InputFlags) -> anyhow::Result<Self> {
        if let Some(foreign) = foreign::recognize_folder(path) {
            return Err(foreign).with_context(|| path.display().to_string());
        }
        let bytes = import::read_file(path)?;
        if let Some(foreign) = foreign::recognize(&bytes, path) {
            return Err(foreign).with_context(|| path.display().to_string());
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::new(&bytes, folder, file, flags).with_context(|| path.display().to_string())
    }

    /// The one built in.
    pub fn built_in(flags: &InputFlags) -> anyhow::Result<Self> {
        let mut model = Self::new(BUILT_IN, Path::new(""), BUILT_IN_NAME.into(), flags)?;
        model.labels = foldnet_dataset::known::CIFAR_10.map(String::from).to_vec();
        Ok(model)
    }

    fn new(bytes: &[u8], folder: &Path, file: String, flags: &InputFlags) -> anyhow::Result<Self> {
        let imported = import::read(bytes, folder)?;
        let external_bytes: u64 =
            imported.external.iter().filter_map(|file| file.metadata().ok()).map(|m| m.len()).sum();
        let mut graph = imported.graph;
        let shape = graph.input();
        let family = recognize(&graph, &imported.producer);
        let stated = |key: &str| imported.metadata.get(key).map(String::as_str);
        let (preprocess, reason) = match (&flags.preprocess, stated("preprocess")) {
            (Some(text), _) => (Preprocess::parse(text, shape.c)?, "as --preprocess says"),
            (None, Some(text)) => (
                Preprocess::parse(text, shape.c).context("the model's metadata, preprocess")?,
                "as the model's metadata says",
            ),
            (None, None) => (Preprocess::parse(family.preprocess, shape.c)?, family.reason),
        };
        let resize = match (flags.resize, stated("resize")) {
            (Some(resize), _) => resize,
            (None, Some(text)) => {
                parse_resize(text).map_err(|e| anyhow!("the model's metadata, resize: {e}"))?
            }
            (None, None) if family.crop && flags.preprocess.is_none() => {
                Resize::Crop { short_side: shape.h.min(shape.w) * 256 / 224 }
            }
            (None, None) => Resize::Stretch,
        };
        prepend(&mut graph, &preprocess)?;
        fold(&mut graph);
        // The input is a node of ours, none of the file's.
        let folded = (imported.nodes + 1).saturating_sub(graph.nodes.len());
        let classes = graph.nodes[graph.output].shape.len();
        let labels: Vec<String> = imported
            .metadata
            .get("labels")
            .and_then(|text| foldnet_dataset::parse_labels(text.as_bytes(), classes).ok())
            .map(|labels| labels.names)
            .unwrap_or_default();
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
                sha256: Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect(),
                producer: imported.producer,
                converter: env!("CARGO_PKG_VERSION").into(),
            },
            labels,
            held_out: stated("held_out")
                .map(HeldOut::parse)
                .transpose()
                .map_err(|e| anyhow!("the model's metadata, held_out: {e}"))?,
            bytes: bytes.len() as u64 + external_bytes,
            external: imported.external,
            folded,
            reason: reason.into(),
            graph,
        })
    }
}

impl Model {
    /// Reads either.
    pub fn load(path: &Path, flags: &InputFlags) -> anyhow::Result<Self> {
        let mut magic = [0; 2];
        let mut file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        let read = file.read(&mut magic).with_context(|| path.display().to_string())?;
        if read == 2 && magic == [0x1f, 0x8b] {
            let bytes = file.metadata()?.len();
            let (network, mut manifest) = foldnet_archive::read(path)?;
            if let Some(resize) = flags.resize {
                manifest.input.resize = resize;
            }
            return Ok(Self::Int8(Box::new(Int8Model { network, manifest, bytes })));
        }
        Ok(Self::Float(Box::new(FloatModel::load(path, flags)?)))
    }
}

/// The names of a network's classes, in any of the forms of [`foldnet_dataset::read_labels`].
pub fn read_labels(path: &Path, classes: usize) -> anyhow::Result<Vec<String>> {
    Ok(foldnet_dataset::read_labels(path, classes)?.names)
}
