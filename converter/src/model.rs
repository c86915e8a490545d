//! A float model or an int8 one, in memory.

use std::path::PathBuf;

use foldnet_archive::{Input, Manifest, Network, OutputKind, SourceModel};

use crate::convert::held_out::HeldOut;
use crate::graph::Graph;
use crate::quantize::score::Measure;

/// A float model, folded.
pub struct FloatModel {
    /// Pixels in, logits out.
    pub graph: Graph,
    /// From image to pixels.
    pub input: Input,
    /// Where it comes from.
    pub source: SourceModel,
    /// One per class, or none.
    pub labels: Vec<String>,
    /// The model divides its output by its length; the graph does not.
    pub normalized: bool,
    /// Which images training held out, if the model tells.
    pub held_out: Option<HeldOut>,
    /// Bytes of the file and its external data.
    pub bytes: u64,
    /// Files that hold its external data.
    pub external: Vec<PathBuf>,
    /// Nodes that folding removed.
    pub folded: usize,
    /// Why this preprocessing.
    pub reason: String,
    /// What else a person should know of how the model was read.
    pub notes: Vec<String>,
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

impl FloatModel {
    /// What is done to pixels, and why, for people.
    pub fn pixels(&self) -> String {
        format!("{}: pixels: {} ({})", self.source.file, self.input.preprocess, self.reason)
    }
}

impl Int8Model {
    /// How answers are compared.
    pub fn measure(&self) -> Measure {
        let (network, manifest) = (&self.network, &self.manifest);
        Measure::new(manifest.output_kind(network.activation, network.classes()))
    }
}

impl Model {
    /// From image to pixels.
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

    /// Returns the number of outputs.
    pub fn classes(&self) -> usize {
        match self {
            Self::Float(m) => m.graph.nodes[m.graph.output].shape.len(),
            Self::Int8(m) => m.network.classes(),
        }
    }

    /// What the output means, as far as the model or its archive tells.
    pub fn output_kind(&self) -> OutputKind {
        match self {
            Self::Float(m) if m.normalized => OutputKind::Embedding,
            Self::Float(m) => OutputKind::of(m.graph.activation, self.classes()),
            Self::Int8(m) => m.measure().kind,
        }
    }

    /// Returns the size in bytes of the file.
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
