//! ONNX, or TFLite by way of it → [`Graph`], as the exporter wrote it.
//!
//! The file is parsed by tract-onnx; then the nodes that the output depends on are walked, each after those
//! that it reads. Each ONNX tensor is a `Constant`, a `Value`, or an array of `Places`. Nodes on constants are
//! run at once (`constant::evaluate`); nodes that only move numbers are run on places (`moves`); nodes that
//! compute are taken over by the function that `operators::TABLE` has for them. Unsupported operators,
//! attributes and shapes stop the import with an error that names the node. A dynamic batch becomes 1.

mod constant;
mod error;
mod functions;
mod importer;
mod input;
mod moves;
mod node;
mod operators;
mod order;
mod stack;
mod tail;
mod tflite;
mod value;

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use foldnet_archive::Activation;
use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

pub use constant::panics_are_caught;
pub use error::ImportError;
pub use tflite::InputGrid;

use crate::graph::Graph;
use importer::Importer;

/// The opsets whose operators are known.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// A protobuf message cannot be larger.
const LARGEST_FILE: u64 = 1 << 31;

/// What a file holds.
pub struct Imported {
    /// The network.
    pub graph: Graph,
    /// Nodes of the file that compute something from the image.
    pub nodes: usize,
    /// The model divides its output by its length; the graph does not.
    pub normalized: bool,
    /// What wrote the file, as it says itself.
    pub producer: String,
    /// Files beside the model that hold the values of its tensors.
    pub external: Vec<PathBuf>,
    /// Key and value, as the exporter left them.
    pub metadata: HashMap<String, String>,
    /// What batch normalizations measured in training, by their node's name.
    pub norms: HashMap<String, BatchNorm>,
    /// Names of the file's constant tensors: some exporters keep the layers' names only there.
    pub tensors: Vec<String>,
    /// How the file quantizes its input, if it does.
    pub input_grid: Option<InputGrid>,
    /// What a person should know of how the file was read.
    pub notes: Vec<String>,
}

/// Running statistics of a batch normalization, per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Mean of its inputs.
    pub mean: Vec<f32>,
    /// Variance of its inputs.
    pub variance: Vec<f32>,
}

/// Reads a file's bytes, at most as many as a model can have.
pub fn read_file(path: &Path) -> Result<Vec<u8>, ImportError> {
    let io = |source| ImportError::Io { path: path.into(), source };
    let file = foldnet_archive::open_file(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 == LARGEST_FILE {
        return Err(ImportError::NotOnnx("larger than 2 GB, more than a protobuf file can be".into()));
    }
    Ok(bytes)
}

/// The size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// What a file leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Size of the image, where the model's is dynamic.
    pub input_size: Option<Size>,
    /// The output, or any other tensor, that counts.
    pub output: Option<String>,
}

/// Reads a model; `folder` is where its external data would lie.
pub fn read(bytes: &[u8], folder: &Path) -> Result<Imported, ImportError> {
    read_with(bytes, folder, &Options::default())
}

/// Reads a model as [`read`] does, with what its file leaves open.
pub fn read_with(bytes: &[u8], folder: &Path, options: &Options) -> Result<Imported, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::NotOnnx("the file is empty".into()));
    }
    if tflite::is_tflite(bytes) {
        return tflite::read(bytes, options);
    }
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
    read_model(&functions::inlined(model, bytes)?, folder, options)
}

/// Reads an ONNX model in memory.
fn read_model(model: &ModelProto, folder: &Path, options: &Options) -> Result<Imported, ImportError> {
    let graph = model
        .graph
        .as_ref()
        .filter(|g| !g.node.is_empty())
        .ok_or_else(|| ImportError::NotOnnx("it holds no graph".into()))?;
    let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let opset = model.opset_import.iter().find(|o| own(&o.domain)).map_or(1, |o| o.version);
    if !OPSETS.contains(&opset) {
        return Err(ImportError::Opset(opset));
    }
    let mut importer = Importer::new(model, opset, folder);
    importer.constants(graph)?;
    importer.input(graph, options.input_size)?;
    let wanted = importer.wanted(graph, options.output.as_deref())?;
    for proto in order::sorted(graph, &[wanted])? {
        importer.node(proto)?;
    }
    let mut output = importer.output(wanted)?;
    // A sigmoid at the very end turns scores into probabilities and changes no order.
    let last = &importer.nodes[output];
    if last.op.is_sigmoid() && last.shape.pixels() == 1 && output + 1 == importer.nodes.len() {
        output = last.inputs[0];
        importer.nodes.pop();
        importer.activation = Activation::Sigmoid;
    }
    let producer = format!("{} {}", model.producer_name, model.producer_version).trim().to_owned();
    Ok(Imported {
        graph: Graph {
            nodes: importer.nodes,
            output,
            activation: importer.activation,
            given: importer.given,
        },
        nodes: importer.computing,
        normalized: importer.tail.normalized,
        external: external_files(graph, folder),
        producer,
        metadata: model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
        norms: importer.norms,
        tensors: graph.initializer.iter().map(|tensor| tensor.name.clone()).collect(),
        input_grid: None,
        notes: Vec::new(),
    })
}

/// Returns the files that the tensors' values are in, each once.
fn external_files(graph: &GraphProto, folder: &Path) -> Vec<PathBuf> {
    let locations = graph.initializer.iter().flat_map(|tensor| &tensor.external_data);
    let names: BTreeSet<&str> = locations.filter(|e| e.key == "location").map(|e| e.value.as_str()).collect();
    names.into_iter().map(|name| folder.join(name)).collect()
}
