//! A model or an archive, told apart by its first bytes.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet::Session;
use foldnet_archive::{Input, Manifest, Network, Resize, SourceModel, Step};
use sha2::{Digest, Sha256};

use super::Failure;
use crate::float::{FloatNet, Grids};
use crate::graph::{Graph, NodeId};
use crate::import;
use crate::import::family::recognize;
use crate::pass::{Preprocess, fold, prepend};
use crate::quantize::build::tensor_names;
use crate::quantize::fuse::{fuse, with_dense_end};

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

/// A float model, folded.
pub struct FloatModel {
    /// Pixels in, logits out.
    pub graph: Graph,
    /// From picture to pixels.
    pub input: Input,
    /// Where it comes from.
    pub source: SourceModel,
    /// One per class, or none.
    pub labels: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Nodes that folding removed.
    pub folded: usize,
    /// Why this preprocessing.
    pub reason: String,
}

/// An archive.
pub struct Int8Model {
    /// What it computes.
    pub network: Network,
    /// What goes with it.
    pub manifest: Manifest,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Either.
pub enum Model {
    /// An ONNX model.
    Float(Box<FloatModel>),
    /// An archive.
    Int8(Box<Int8Model>),
}

/// The ResNet-20 built in.
const BUILT_IN: &[u8] = include_bytes!("../../assets/resnet20-v1-cifar10.onnx");
const BUILT_IN_NAME: &str = "resnet20-v1-cifar10.onnx";

impl FloatModel {
    /// Reads, imports and folds an ONNX file.
    pub fn load(path: &Path, flags: &InputFlags) -> anyhow::Result<Self> {
        let bytes = import::read_file(path)?;
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
            bytes: bytes.len() as u64,
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

    /// From picture to pixels.
    pub fn input(&self) -> &Input {
        match self {
            Self::Float(m) => &m.input,
            Self::Int8(m) => &m.manifest.input,
        }
    }

    /// Names of classes, or none.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Float(m) => &m.labels,
            Self::Int8(m) => &m.manifest.labels,
        }
    }

    /// Number of outputs.
    pub fn classes(&self) -> usize {
        match self {
            Self::Float(m) => m.graph.nodes[m.graph.output].shape.len(),
            Self::Int8(m) => m.network.classes(),
        }
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Float(m) => m.bytes,
            Self::Int8(m) => m.bytes,
        }
    }

    /// In words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Float(_) => "f32",
            Self::Int8(_) => "int8",
        }
    }
}

/// A named tensor's values, NHWC.
pub struct Values {
    /// As in the archive.
    pub name: String,
    /// Channels.
    pub channels: usize,
    /// Real values.
    pub values: Vec<f32>,
}

/// Runs either on all cores.
pub enum Runner<'a> {
    /// A float graph, the network for its logits, and once they are asked for its tensors.
    Float(&'a Graph, Box<FloatNet>, Option<Box<Tensors>>),
    /// One session per core.
    Int8(Vec<Session>, Network),
}

/// A float network that tells what an archive's tensors stand for.
pub struct Tensors {
    /// With every node's value.
    net: FloatNet,
    /// Which of its nodes go by which name with how many channels.
    named: Vec<(NodeId, String, usize)>,
}

impl Tensors {
    fn new(graph: &Graph) -> Result<Self, Failure> {
        let net = FloatNet::new(graph)?;
        // The names that the archive made from this graph has.
        let graph = with_dense_end(graph);
        let layout = fuse(&graph)?;
        let names = tensor_names(&graph, &layout);
        let named = (1..layout.slots.len())
            .filter(|&id| id != layout.logits)
            .map(|id| (layout.slots[id].node, names[id].clone(), layout.slots[id].shape.c))
            .collect();
        Ok(Self { net, named })
    }
}

impl<'a> Runner<'a> {
    /// For a model.
    pub fn new(model: &'a Model) -> Result<Self, Failure> {
        match model {
            Model::Float(m) => {
                Ok(Self::Float(&m.graph, Box::new(FloatNet::rounded(&m.graph, &Grids::default())?), None))
            }
            Model::Int8(m) => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                let session = || Session::new(&m.network, foldnet_kernels::dispatch::best(), 1);
                let sessions = (0..cores).map(|_| session()).collect::<Result<_, _>>();
                Ok(Self::Int8(sessions.map_err(|e| Failure::Fault(e.into()))?, m.network.clone()))
            }
        }
    }

    /// The logits of each picture.
    pub fn logits(&mut self, pictures: &[Vec<u8>]) -> Result<Vec<Vec<f32>>, Failure> {
        match self {
            Self::Float(_, net, _) => Ok(net.logits(pictures)?),
            Self::Int8(sessions, _) => {
                let lanes = sessions.len();
                let mut results: Vec<Vec<Vec<f32>>> = vec![Vec::new(); lanes];
                std::thread::scope(|scope| {
                    for (lane, (session, result)) in sessions.iter_mut().zip(&mut results).enumerate() {
                        let mine = pictures.iter().skip(lane).step_by(lanes);
                        scope.spawn(move || result.extend(mine.map(|p| session.run(p).to_vec())));
                    }
                });
                Ok((0..pictures.len()).map(|i| results[i % lanes][i / lanes].clone()).collect())
            }
        }
    }

    /// Every int8 tensor (or what it stands for in float) on one picture.
    pub fn tensors(&mut self, pixels: &[u8]) -> Result<Vec<Values>, Failure> {
        match self {
            Self::Float(graph, _, tensors) => {
                let tensors = match tensors {
                    Some(tensors) => tensors,
                    None => tensors.insert(Box::new(Tensors::new(graph)?)),
                };
                let values = tensors.net.run(pixels)?;
                let value = |(node, name, channels): &(NodeId, String, usize)| Values {
                    name: name.clone(),
                    channels: *channels,
                    values: values[*node].to_vec(),
                };
                Ok(tensors.named.iter().map(value).collect())
            }
            Self::Int8(sessions, network) => {
                let mut all = Vec::new();
                let steps: &[Step] = &network.steps;
                sessions[0].run_traced(pixels, |step, outputs| {
                    for (id, values) in steps[step].outputs().into_iter().zip(outputs) {
                        let tensor = &network.tensors[id];
                        let real = |&q: &i8| (f32::from(q) - f32::from(tensor.zero)) * tensor.scale;
                        all.push(Values {
                            name: tensor.name.clone(),
                            channels: tensor.shape.c,
                            values: values.iter().map(real).collect(),
                        });
                    }
                });
                Ok(all)
            }
        }
    }
}

/// The names of a network's classes, in any of the forms of [`foldnet_dataset::read_labels`].
pub fn read_labels(path: &Path, classes: usize) -> anyhow::Result<Vec<String>> {
    Ok(foldnet_dataset::read_labels(path, classes)?.names)
}
