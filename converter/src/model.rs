//! A float model or an int8 one, in memory.

use std::path::PathBuf;

use foldnet_archive::{Input, Manifest, Network, OutputKind, SourceModel};

use crate::convert::held_out::HeldOut;
use crate::graph::Graph;
use crate::quantize::score::Measure;

/// A float model, folded.
pub struct FloatModel {
    /// The graph, with pixels as input and logits as output.
    pub graph: Graph,
    /// How an image becomes pixels.
    pub input: Input,
    /// The source model.
    pub source: SourceModel,
    /// The hexadecimal SHA-256 of the ONNX or TFLite file. It is not that of the source model if a framework exported it.
    pub read_sha256: String,
    /// The class names: one per class, or none.
    pub labels: Vec<String>,
    /// Whether the model divides its output by its length; the graph does not.
    pub normalized: bool,
    /// The images that training held out, if the model contains the rule.
    pub held_out: Option<HeldOut>,
    /// The size of the file and its external data in bytes.
    pub bytes: u64,
    /// The files that contain its external data.
    pub external: Vec<PathBuf>,
    /// The number of nodes that folding removed.
    pub folded: usize,
    /// The reason for this preprocessing.
    pub reason: String,
    /// Further notes on how the model was read, for people.
    pub notes: Vec<String>,
}

/// An archive.
pub struct Int8Model {
    /// The network.
    pub network: Network,
    /// The network's description.
    pub manifest: Manifest,
    /// The size of the file in bytes.
    pub bytes: u64,
}

/// A float model or an int8 model.
pub enum Model {
    /// An ONNX model.
    Float(Box<FloatModel>),
    /// An archive.
    Int8(Box<Int8Model>),
}

impl FloatModel {
    /// Describes the preprocessing and the reason for it, for people.
    pub fn pixels(&self) -> String {
        format!("{}: pixels: {} ({})", self.source.file, self.input.preprocess, self.reason)
    }
}

impl Int8Model {
    /// Returns how answers are compared.
    pub fn measure(&self) -> Measure {
        let (network, manifest) = (&self.network, &self.manifest);
        Measure::new(manifest.output_kind(network.activation, network.classes()))
    }
}

impl Model {
    /// Returns the files that contain a float model's external data.
    pub fn external(&self) -> &[PathBuf] {
        match self {
            Self::Float(m) => &m.external,
            Self::Int8(_) => &[],
        }
    }

    /// Returns how an image becomes pixels.
    pub fn input(&self) -> &Input {
        match self {
            Self::Float(m) => &m.input,
            Self::Int8(m) => &m.manifest.input,
        }
    }

    /// Returns the names of the classes, or none.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Float(m) => &m.labels,
            Self::Int8(m) => &m.manifest.labels,
        }
    }

    /// Returns the number of outputs.
    pub fn classes(&self) -> usize {
        match self {
            Self::Float(m) => m.graph.nodes[m.graph.output].shape.len(),
            Self::Int8(m) => m.network.classes(),
        }
    }

    /// Returns the meaning of the output, as far as the model or its archive defines it.
    pub fn output_kind(&self) -> OutputKind {
        match self {
            Self::Float(m) if m.normalized => OutputKind::Embedding,
            Self::Float(m) => OutputKind::of(m.graph.activation, self.classes()),
            Self::Int8(m) => m.measure().kind,
        }
    }

    /// Returns the size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Float(m) => m.bytes,
            Self::Int8(m) => m.bytes,
        }
    }

    /// Describes the kind of the model in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Float(_) => "f32",
            Self::Int8(_) => "int8",
        }
    }
}
