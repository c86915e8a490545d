//! ONNX → [`Graph`], as the exporter wrote it.
//!
//! The file is parsed by tract-onnx; then its nodes are walked in order. Each ONNX tensor is a
//! `Constant` or a `Value`. Nodes on constants are run at once (`constant::evaluate`); nodes on
//! values are taken over by the function that `operators::TABLE` has for them. What is not
//! understood — an operator, an attribute, a shape — is an error that names the node. A dynamic batch
//! becomes 1.

mod constant;
mod error;
mod node;
mod operators;
mod value;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use foldnet_archive::Activation;
use foldnet_kernels::{MAX_SIDE, Shape};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dim;
use tract_onnx::pb::type_proto::Value as Type;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

pub use constant::panics_are_caught;
pub use error::ImportError;

use crate::graph::{Given, Graph, Node as GraphNode, NodeId, Op};
use constant::Constant;
use node::{Node, Problem};
use value::{Axis, Value};

/// A protobuf message cannot be larger.
const LARGEST_FILE: u64 = 1 << 31;

/// What a file holds.
pub struct Imported {
    /// The network.
    pub graph: Graph,
    /// Nodes of the file that compute something from the picture.
    pub nodes: usize,
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

/// Reads a model; `folder` is where its external data would lie.
pub fn read(bytes: &[u8], folder: &Path) -> Result<Imported, ImportError> {
    if bytes.is_empty() {
        return Err(ImportError::NotOnnx("the file is empty".into()));
    }
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::NotOnnx(e.to_string()))?;
    let graph = model
        .graph
        .as_ref()
        .filter(|g| !g.node.is_empty())
        .ok_or_else(|| ImportError::NotOnnx("it holds no graph".into()))?;
    let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let opset = model.opset_import.iter().find(|o| own(&o.domain)).map_or(1, |o| o.version);
    if !(7..=21).contains(&opset) {
        return Err(ImportError::Opset(opset));
    }
    let mut importer = Importer::new(&model, opset);
    importer.constants(graph, folder)?;
    importer.input(graph)?;
    for proto in &graph.node {
        importer.node(proto)?;
    }
    let mut output = importer.output(graph)?;
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
        external: external_files(graph, folder),
        producer,
        metadata: model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
        norms: importer.norms,
        tensors: graph.initializer.iter().map(|tensor| tensor.name.clone()).collect(),
    })
}

/// The files that the tensors' values lie in, each once.
fn external_files(graph: &GraphProto, folder: &Path) -> Vec<PathBuf> {
    let locations = graph.initializer.iter().flat_map(|tensor| &tensor.external_data);
    let names: BTreeSet<&str> = locations.filter(|e| e.key == "location").map(|e| e.value.as_str()).collect();
    names.into_iter().map(|name| folder.join(name)).collect()
}

/// The graph while it is built.
struct Importer<'a> {
    model: &'a ModelProto,
    opset: i64,
    nodes: Vec<GraphNode>,
    names: HashSet<String>,
    constants: HashMap<&'a str, Constant>,
    values: HashMap<&'a str, Value>,
    activation: Activation,
    given: HashMap<String, Given>,
    norms: HashMap<String, BatchNorm>,
    computing: usize,
}

impl<'a> Importer<'a> {
    fn new(model: &'a ModelProto, opset: i64) -> Self {
        Self {
            model,
            opset,
            nodes: Vec::new(),
            names: HashSet::new(),
            constants: HashMap::new(),
            values: HashMap::new(),
            activation: Activation::None,
            given: HashMap::new(),
            norms: HashMap::new(),
            computing: 0,
        }
    }

    fn constants(&mut self, graph: &'a GraphProto, folder: &Path) -> Result<(), ImportError> {
        for proto in &graph.initializer {
            self.constants.insert(&proto.name, constant::read(proto, folder)?);
        }
        Ok(())
    }

    /// The one input that is no constant becomes node 0.
    fn input(&mut self, graph: &'a GraphProto) -> Result<(), ImportError> {
        let inputs: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|i| !self.constants.contains_key(i.name.as_str())).collect();
        let [input] = inputs[..] else {
            let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            let problem = format!("{} inputs ({}); one picture is supported", names.len(), names.join(", "));
            return Err(ImportError::Input { name: "of the model".into(), problem });
        };
        let bad = |problem: String| ImportError::Input { name: input.name.clone(), problem };
        let (shape, dims) = picture(input).map_err(bad)?;
        self.push("input", Op::Input, vec![], shape);
        self.values.insert(&input.name, Value::new(0, shape, &dims));
        Ok(())
    }

    fn node(&mut self, proto: &'a NodeProto) -> Result<(), ImportError> {
        let node = Node { proto, opset: self.opset };
        self.take(node).map_err(|problem| ImportError::Node {
            node: node.name().into(),
            op: match proto.domain.as_str() {
                "" | "ai.onnx" => proto.op_type.clone(),
                domain => format!("{domain}.{}", proto.op_type),
            },
            opset: self.opset,
            problem,
        })
    }

    fn take(&mut self, node: Node<'a>) -> Result<(), Problem> {
        let own = matches!(node.proto.domain.as_str(), "" | "ai.onnx");
        let mut constants = Vec::new();
        for name in node.proto.input.iter().filter(|n| !n.is_empty()) {
            match self.constants.get(name.as_str()) {
                Some(constant) => constants.push(constant.clone()),
                None if self.values.contains_key(name.as_str()) => {}
                None => return Err(format!("reads {name}, which no node before it computes")),
            }
        }
        let op = node.proto.op_type.as_str();
        let all_constant = constants.len() == node.proto.input.iter().filter(|n| !n.is_empty()).count();
        if own && all_constant && constant::can_evaluate(op) {
            let results = constant::evaluate(node, &constants, self.model)?;
            self.constants.extend(node.proto.output.iter().map(String::as_str).zip(results));
            return Ok(());
        }
        self.computing += 1;
        // ONNX Runtime's quantizer adds operators in a domain of its own.
        let own = own || (node.proto.domain == "com.microsoft" && op.starts_with('Q'));
        match operators::TABLE.iter().find(|(name, _)| own && *name == op) {
            Some((_, take)) => take(self, node),
            None => {
                let known: Vec<&str> = operators::TABLE.iter().map(|(name, _)| *name).collect();
                Err(format!("this operator is not supported; supported are {}", known.join(", ")))
            }
        }
    }

    fn output(&self, graph: &GraphProto) -> Result<NodeId, ImportError> {
        let [output] = &graph.output[..] else {
            return Err(ImportError::Outputs(graph.output.iter().map(|o| o.name.clone()).collect()));
        };
        let value = self.values.get(output.name.as_str()).ok_or_else(|| {
            ImportError::NotOnnx(format!("its output {} does not depend on the picture", output.name))
        })?;
        Ok(value.node)
    }

    // What operators need:

    /// A node of the graph under a name that is not taken.
    fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: Shape) -> NodeId {
        let mut unique = name.to_owned();
        let mut n = 1;
        while !self.names.insert(unique.clone()) {
            n += 1;
            unique = format!("{name}_{n}");
        }
        self.nodes.push(GraphNode { name: unique, op, inputs, shape });
        self.nodes.len() - 1
    }

    /// Adds a node and makes the ONNX node's first output its value, in the dimensions given by `like`.
    fn define(
        &mut self,
        node: Node<'a>,
        op: Op,
        inputs: Vec<NodeId>,
        shape: Shape,
        like: &Value,
    ) -> Result<(), Problem> {
        shape.validate().map_err(|e| format!("its output would be {shape}: {e}"))?;
        let id = self.push(node.name(), op, inputs, shape);
        // Axes that shrank to 1 are not noted, axes never grow from 1 but for channels.
        let keep = |a: &Axis| match a {
            Axis::H => shape.h > 1,
            Axis::W => shape.w > 1,
            Axis::C => shape.c > 1,
        };
        let dims = like.dims.iter().map(|d| d.iter().copied().filter(keep).collect()).collect();
        self.bind(node, Value { node: id, dims, finished: false })
    }

    /// Makes a value the node's first output. Further outputs (masks, running statistics) stay unbound:
    /// reading one is an error.
    fn bind(&mut self, node: Node<'a>, value: Value) -> Result<(), Problem> {
        let name = node.proto.output.first().ok_or("it has no output")?;
        self.values.insert(name, value);
        Ok(())
    }

    /// The nodes that read an ONNX tensor.
    fn readers(&self, tensor: &str) -> Vec<&'a NodeProto> {
        let nodes = self.model.graph.iter().flat_map(|g| &g.node);
        nodes.filter(|n| n.input.iter().any(|i| i == tensor)).collect()
    }

    fn shape(&self, value: &Value) -> Shape {
        self.nodes[value.node].shape
    }

    /// The value at an input; nothing may follow the network's last function.
    fn value(&self, node: Node<'a>, input: usize) -> Result<Value, Problem> {
        let value = self.any_value(node, input)?;
        if value.finished {
            return Err(format!(
                "it follows the network's {:?}, which must come last; remove what stands behind it",
                self.activation
            ));
        }
        Ok(value)
    }

    /// The value at an input, also behind the last function.
    fn any_value(&self, node: Node<'a>, input: usize) -> Result<Value, Problem> {
        let name = node.input(input).ok_or_else(|| format!("input {input} is missing"))?;
        self.values.get(name).cloned().ok_or_else(|| format!("input {input} ({name}) is a constant"))
    }

    /// The value at an input, which must be `[1, C, H, W]`.
    fn picture(&self, node: Node<'a>, input: usize) -> Result<Value, Problem> {
        let value = self.value(node, input)?;
        let shape = self.shape(&value);
        if !value.is_nchw(shape) {
            return Err(format!(
                "input {input} has dimensions {:?}; [1, channels, rows, columns] is supported",
                value.sizes(shape)
            ));
        }
        Ok(value)
    }

    /// The constant at an input, if the input is given.
    fn optional_constant(&self, node: Node<'a>, input: usize) -> Result<Option<&Constant>, Problem> {
        let Some(name) = node.input(input) else { return Ok(None) };
        match self.constants.get(name) {
            Some(constant) => Ok(Some(constant)),
            None => {
                Err(format!("input {input} ({name}) is computed from the picture; a constant is supported"))
            }
        }
    }

    /// The constant at an input.
    fn constant(&self, node: Node<'a>, input: usize) -> Result<&Constant, Problem> {
        self.optional_constant(node, input)?.ok_or_else(|| format!("input {input} is missing"))
    }

    /// Dimensions and finite values of the constant at an input.
    fn weights(&self, node: Node<'a>, input: usize) -> Result<(Vec<usize>, Vec<f32>), Problem> {
        let constant = self.constant(node, input)?;
        let values = constant::floats(constant)?;
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            let name = node.input(input).unwrap_or_default();
            return Err(format!("tensor {name}: value {i} is {}", values[i]));
        }
        Ok((constant.shape().to_vec(), values))
    }

    /// Finite values of the constant at an input, one per channel.
    fn vector(&self, node: Node<'a>, input: usize, channels: usize) -> Result<Vec<f32>, Problem> {
        let (dims, values) = self.weights(node, input)?;
        if values.len() != channels || dims.iter().filter(|&&d| d != 1).count() > 1 {
            return Err(format!("input {input} has dimensions {dims:?} for {channels} channels"));
        }
        Ok(values)
    }
}

/// Shape of the picture, and which axis each dimension is.
fn picture(input: &ValueInfoProto) -> Result<(Shape, [Option<Axis>; 4]), Problem> {
    let Some(Type::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err("its type is not stated".into());
    };
    let stated = tensor.shape.as_ref().map_or(&[][..], |s| &s.dim);
    let sizes: Vec<Option<i64>> = stated
        .iter()
        .map(|d| match d.value {
            Some(Dim::DimValue(v)) if v > 0 => Some(v),
            _ => None,
        })
        .collect();
    let [batch, a, b, c] = sizes[..] else {
        return Err(format!(
            "{} dimensions; a picture has four: batch, channels, rows, columns",
            sizes.len()
        ));
    };
    if batch.is_some_and(|n| n != 1) {
        return Err("the batch is fixed at more than 1: export with batch 1 or a dynamic batch".into());
    }
    let (Some(a), Some(b), Some(c)) = (a, b, c) else {
        return Err(
            "its height, width or channels are dynamic: export with a fixed size, for example 224×224".into(),
        );
    };
    let (h, w, channels, dims) = match (a, c) {
        (1..=4, _) if !(1..=4).contains(&c) || a <= c => {
            (b, c, a, [None, Some(Axis::C), Some(Axis::H), Some(Axis::W)])
        }
        (_, 1..=4) => (a, b, c, [None, Some(Axis::H), Some(Axis::W), Some(Axis::C)]),
        _ => return Err(format!("{a}×{b}×{c} is no picture of one to four channels")),
    };
    let side = |n: i64| usize::try_from(n).ok().filter(|&n| n <= MAX_SIDE);
    let sides = (side(h), side(w), side(channels));
    let (Some(h), Some(w), Some(channels)) = sides else { return Err(format!("{a}×{b}×{c} is too large")) };
    let shape = Shape::new(h, w, channels);
    shape.validate().map_err(|e| format!("{shape}: {e}"))?;
    if channels != 1 && channels != 3 {
        return Err(format!("{channels} channels; pictures with 1 (grey) or 3 (RGB) are supported"));
    }
    Ok((shape, dims))
}
