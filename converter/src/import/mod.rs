//! Imports ONNX, or TFLite by way of ONNX, to a [`Graph`] as the exporter wrote it.
//!
//! The nodes on which the output depends are visited, each after those that it reads. Each ONNX tensor is a `Constant`, a `Value`, or an array of `Places`. Nodes on constants are run at once
//! (`constant::evaluate`), and nodes that only move numbers are run on places (`moves`). Nodes that compute are
//! imported by their function in `operators::TABLE`. Unsupported operators, attributes and shapes stop the import
//! with an error that names the node. A dynamic batch becomes 1.

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

use crate::onnx::{GraphProto, ModelProto};
use foldnet_archive::Activation;
use prost::Message;

pub use error::ImportError;
pub use tflite::InputGrid;

use crate::graph::Graph;
use importer::Importer;

/// The supported opsets.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// The largest size of a protobuf message.
const LARGEST_FILE: u64 = 1 << 31;

/// The content of a file.
pub struct Imported {
    /// The network.
    pub graph: Graph,
    /// The number of the file's nodes that compute something from the image.
    pub nodes: usize,
    /// Whether the model divides its output by its length; the graph does not.
    pub normalized: bool,
    /// The program that wrote the file, according to the file.
    pub producer: String,
    /// The files beside the model that contain values of its tensors.
    pub external: Vec<PathBuf>,
    /// The keys and values that the exporter wrote.
    pub metadata: HashMap<String, String>,
    /// The statistics that batch normalizations measured in training, by their node's name.
    pub norms: HashMap<String, BatchNorm>,
    /// The names of the file's constant tensors: some exporters keep the layers' names only there.
    pub tensors: Vec<String>,
    /// The quantization of the file's input, if it has one.
    pub input_grid: Option<InputGrid>,
    /// Notes for people on how the file was read.
    pub notes: Vec<String>,
}

/// The running statistics of a batch normalization, per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// The mean of its inputs.
    pub mean: Vec<f32>,
    /// The variance of its inputs.
    pub variance: Vec<f32>,
}

/// Reads a file's bytes, up to the largest size of a model.
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
    /// The number of pixels in a row.
    pub width: usize,
    /// The number of rows.
    pub height: usize,
}

/// The choices that a file leaves open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The size of the image, if the model's is dynamic.
    pub input_size: Option<Size>,
    /// The output to use, or any other tensor.
    pub output: Option<String>,
}

/// Reads a model; `folder` is the folder of its external data.
pub fn read(bytes: &[u8], folder: &Path) -> Result<Imported, ImportError> {
    read_with(bytes, folder, &Options::default())
}

/// Like [`read`], with the choices that the file leaves open.
pub fn read_with(bytes: &[u8], folder: &Path, options: &Options) -> Result<Imported, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::NotOnnx("the file is empty".into()));
    }
    if tflite::is_tflite(bytes) {
        return tflite::read(bytes, options);
    }
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
    read_model(&functions::inlined(model)?, folder, options)
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
    // A sigmoid at the very end converts scores to probabilities and does not change their order.
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

/// Returns the files that contain tensors' values, each once.
fn external_files(graph: &GraphProto, folder: &Path) -> Vec<PathBuf> {
    let locations = graph.initializer.iter().flat_map(|tensor| &tensor.external_data);
    let names: BTreeSet<&str> = locations.filter(|e| e.key == "location").map(|e| e.value.as_str()).collect();
    names.into_iter().map(|name| folder.join(name)).collect()
}
