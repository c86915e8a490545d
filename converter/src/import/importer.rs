//! The graph under construction, and the functions that operators need.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use foldnet_archive::Activation;
use foldnet_kernels::Shape;

use super::constant::{self, Constant};
use super::error::ImportError;
use super::moves::{self, Numbering, Places};
use super::node::{Node, Problem};
use super::tail::Tail;
use super::value::{Axis, Value};
use super::{BatchNorm, input, operators};
use crate::graph::{Given, Node as GraphNode, NodeId, Op};
use crate::onnx::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

/// The graph under construction.
pub struct Importer<'a> {
    /// The file.
    pub model: &'a ModelProto,
    opset: i64,
    /// The folder of external data.
    folder: &'a Path,
    /// The graph's nodes.
    pub nodes: Vec<GraphNode>,
    names: HashSet<String>,
    /// The tensors that do not depend on the image.
    pub constants: HashMap<&'a str, Constant>,
    /// The tensors that are a node's output.
    pub values: HashMap<&'a str, Value>,
    /// The tensors whose numbers come from several nodes, or from parts of them.
    pub moved: HashMap<&'a str, Places>,
    /// The meaning of the places in [`Importer::moved`].
    pub numbering: Numbering,
    /// The nodes that are half of a mean over all pixels.
    pub halves: HashMap<NodeId, operators::Half>,
    /// The parts of the network's last function, if it is written out in steps.
    pub tail: Tail<'a>,
    /// The network's last function.
    pub activation: Activation,
    /// The scales and zero points by the name of the node.
    pub given: HashMap<String, Given>,
    /// The statistics that batch normalizations measured in training.
    pub norms: HashMap<String, BatchNorm>,
    /// The number of the file's nodes that compute something from the image.
    pub computing: usize,
}

impl<'a> Importer<'a> {
    /// Starts importing a file in this opset.
    pub fn new(model: &'a ModelProto, opset: i64, folder: &'a Path) -> Self {
        Self {
            model,
            opset,
            folder,
            nodes: Vec::new(),
            names: HashSet::new(),
            constants: HashMap::new(),
            values: HashMap::new(),
            moved: HashMap::new(),
            numbering: Numbering::default(),
            halves: HashMap::new(),
            tail: Tail::default(),
            activation: Activation::None,
            given: HashMap::new(),
            norms: HashMap::new(),
            computing: 0,
        }
    }

    /// Reads the tensors of a graph or of a branch.
    pub fn constants(&mut self, graph: &'a GraphProto) -> Result<(), ImportError> {
        for proto in &graph.initializer {
            self.constants.insert(&proto.name, constant::read(proto, self.folder)?);
        }
        Ok(())
    }

    /// Makes the one input that is not a constant node 0.
    pub fn input(&mut self, graph: &'a GraphProto, size: Option<super::Size>) -> Result<(), ImportError> {
        let inputs: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|i| !self.constants.contains_key(i.name.as_str())).collect();
        let [input] = inputs[..] else {
            let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            let problem = format!("{} inputs ({}); one image is supported", names.len(), names.join(", "));
            return Err(ImportError::Input { name: "of the model".into(), problem });
        };
        let bad = |problem: String| ImportError::Input { name: input.name.clone(), problem };
        let picture = input::picture(input, size).map_err(bad)?;
        self.push("input", Op::Input, vec![], picture.shape);
        let value = Value::new(0, picture.shape, &picture.dims);
        self.values.insert(&input.name, Value { integer: picture.integer, ..value });
        Ok(())
    }

    /// Returns the tensor of the network's output: the file's only one, or the requested one.
    pub fn wanted(&self, graph: &'a GraphProto, asked: Option<&str>) -> Result<&'a str, ImportError> {
        let names = || graph.output.iter().map(|o| o.name.clone()).collect();
        let Some(asked) = asked else {
            return match &graph.output[..] {
                [output] => Ok(&output.name),
                _ => Err(ImportError::Outputs(names())),
            };
        };
        let outputs = graph.output.iter().map(|o| &o.name);
        let tensors = graph.node.iter().flat_map(|n| &n.output);
        let found = outputs.chain(tensors).find(|name| *name == asked);
        found.map(String::as_str).ok_or_else(|| ImportError::NoOutput { asked: asked.into(), names: names() })
    }

    /// Imports a node.
    pub fn node(&mut self, proto: &'a NodeProto) -> Result<(), ImportError> {
        let node = Node { proto, opset: self.opset };
        if proto.op_type == "If" && own(proto) {
            return self.branch(node);
        }
        self.take(node).map_err(|problem| self.problem(node, problem))
    }

    fn problem(&self, node: Node<'a>, problem: Problem) -> ImportError {
        ImportError::Node {
            node: node.name().into(),
            op: match node.proto.domain.as_str() {
                "" | "ai.onnx" => node.proto.op_type.clone(),
                domain => format!("{domain}.{}", node.proto.op_type),
            },
            opset: self.opset,
            problem,
        }
    }

    /// Imports the branch that a constant condition chooses.
    fn branch(&mut self, node: Node<'a>) -> Result<(), ImportError> {
        let condition = self.constant(node, 0).map(constant::floats);
        let condition = condition.map_err(|problem| self.problem(node, problem))?;
        let name = if condition.first().is_some_and(|&v| v != 0.0) { "then_branch" } else { "else_branch" };
        let branch = node.proto.attribute.iter().find(|a| a.name == name).and_then(|a| a.g.as_ref());
        let branch = branch.ok_or_else(|| self.problem(node, format!("it has no {name}")))?;
        self.constants(branch)?;
        let outputs: Vec<&str> = branch.output.iter().map(|o| o.name.as_str()).collect();
        for proto in super::order::sorted(branch, &outputs)? {
            self.node(proto)?;
        }
        for (outer, inner) in node.proto.output.iter().zip(outputs).filter(|(o, _)| !o.is_empty()) {
            self.rename(inner, outer).map_err(|problem| self.problem(node, problem))?;
        }
        Ok(())
    }

    /// Gives a tensor a second name.
    fn rename(&mut self, from: &str, to: &'a str) -> Result<(), Problem> {
        if let Some(constant) = self.constants.get(from).cloned() {
            self.constants.insert(to, constant);
        } else if let Some(value) = self.values.get(from).cloned() {
            self.values.insert(to, value);
        } else if let Some(places) = self.moved.get(from).cloned() {
            self.moved.insert(to, places);
        } else if !self.tail.rename(from, to) {
            return Err(format!("{from} is computed by no node"));
        }
        Ok(())
    }

    /// Makes the node's input its output.
    pub fn bind_same(&mut self, node: Node<'a>) -> Result<(), Problem> {
        let from = node.input(0).ok_or("input 0 is missing")?;
        let to = node.proto.output.first().ok_or("it has no output")?;
        self.rename(from, to)
    }

    fn take(&mut self, node: Node<'a>) -> Result<(), Problem> {
        let op = node.proto.op_type.as_str();
        // ONNX Runtime's quantizer and optimizer write operators in their own domain.
        let theirs = op.starts_with('Q') || matches!(op, "DequantizeLinear" | "FusedConv");
        let known = own(node.proto) || (node.proto.domain == "com.microsoft" && theirs);
        let mut inputs = Vec::new();
        for name in node.proto.input.iter().map(String::as_str) {
            inputs.push(self.constants.get(name));
            let computed =
                self.values.contains_key(name) || self.moved.contains_key(name) || self.tail.contains(name);
            if !name.is_empty() && inputs.ends_with(&[None]) && !computed {
                return Err(format!("reads {name}, which no node computes"));
            }
        }
        let given = node.proto.input.iter().filter(|n| !n.is_empty()).count();
        if known && inputs.iter().flatten().count() == given {
            let results = constant::evaluate(node, &inputs)?;
            self.constants.extend(node.proto.output.iter().map(String::as_str).zip(results));
            return Ok(());
        }
        self.computing += 1;
        if known && (super::tail::take(self, node)? || super::stack::take(self, node)?) {
            return Ok(());
        }
        let take = operators::TABLE.iter().find(|(name, _)| known && *name == op).map(|(_, take)| take);
        let moves = known && moves::of(op).is_some();
        let moved = |name: &String| self.moved.contains_key(name.as_str());
        if moves && (take.is_none() || node.proto.input.iter().any(moved)) {
            return moves::run(self, node);
        }
        let Some(take) = take else {
            let known: Vec<&str> = operators::names();
            return Err(format!("this operator is not supported; supported are {}", known.join(", ")));
        };
        if matches!(op, "ReduceMean" | "ReduceSum") && self.reduce_slices(node)? {
            return Ok(());
        }
        if !operators::UNREAD.contains(&op) {
            for name in &node.proto.input {
                self.settle(name)?;
            }
        }
        match take(self, node) {
            // A movement that is not just another order of dimensions.
            Err(_) if moves => moves::run(self, node),
            result => result,
        }
    }

    /// Converts a tensor whose numbers were moved to a value, because an operator computes with it.
    fn settle(&mut self, name: &'a str) -> Result<(), Problem> {
        if let Some(places) = self.moved.remove(name) {
            let value = moves::lower(self, name, &places)?;
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Returns the node of the output.
    pub fn output(&mut self, name: &'a str) -> Result<NodeId, ImportError> {
        self.settle(name).map_err(|problem| {
            ImportError::NotOnnx(format!("its output {name} cannot be computed: {problem}"))
        })?;
        let value = self
            .values
            .get(name)
            .ok_or_else(|| ImportError::NotOnnx(format!("its output {name} does not depend on the image")))?;
        Ok(value.node)
    }

    // Functions for operators:

    /// Adds a node to the graph under a name that is not in use yet.
    pub fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: Shape) -> NodeId {
        let mut unique = name.to_owned();
        let mut n = 1;
        while !self.names.insert(unique.clone()) {
            n += 1;
            unique = format!("{name}_{n}");
        }
        self.nodes.push(GraphNode { name: unique, op, inputs, shape });
        self.nodes.len() - 1
    }

    /// Adds a node and makes the ONNX node's first output its value, with the dimensions of `like`.
    pub fn define(
        &mut self,
        node: Node<'a>,
        op: Op,
        inputs: Vec<NodeId>,
        shape: Shape,
        like: &Value,
    ) -> Result<(), Problem> {
        shape.validate().map_err(|e| format!("its output would be {shape}: {e}"))?;
        let id = self.push(node.name(), op, inputs, shape);
        // Axes that shrank to 1 are dropped. Axes never grow from 1, except for channels.
        let keep = |a: &Axis| match a {
            Axis::H => shape.h > 1,
            Axis::W => shape.w > 1,
            Axis::C => shape.c > 1,
        };
        let dims = like.dims.iter().map(|d| d.iter().copied().filter(keep).collect()).collect();
        self.bind(node, Value { node: id, dims, finished: false, integer: false })
    }

    /// Makes a value the node's first output. Further outputs (masks, running statistics) remain undefined:
    /// reading one is an error.
    pub fn bind(&mut self, node: Node<'a>, value: Value) -> Result<(), Problem> {
        let name = node.proto.output.first().ok_or("it has no output")?;
        self.values.insert(name, value);
        Ok(())
    }

    /// Returns the nodes that read an ONNX tensor.
    pub fn readers(&self, tensor: &str) -> Vec<&'a NodeProto> {
        let nodes = self.model.graph.iter().flat_map(|g| &g.node);
        nodes.filter(|n| n.input.iter().any(|i| i == tensor)).collect()
    }

    pub fn shape(&self, value: &Value) -> Shape {
        self.nodes[value.node].shape
    }

    /// Returns the lengths of the dimensions of the value at an input.
    pub fn sizes(&self, node: Node<'a>, input: usize) -> Result<Vec<usize>, Problem> {
        if let Some(places) = node.input(input).and_then(|name| self.moved.get(name)) {
            return Ok(places.dims.clone());
        }
        let value = self.any_value(node, input)?;
        Ok(value.sizes(self.shape(&value)))
    }

    /// Returns the value at an input; nothing may follow the network's last function.
    pub fn value(&self, node: Node<'a>, input: usize) -> Result<Value, Problem> {
        let value = self.any_value(node, input)?;
        if value.integer {
            return Err("it computes with the image's bytes; cast them to floats before it".into());
        }
        if value.finished {
            return Err(format!(
                "it follows the network's {}, which must come last; remove what stands behind it",
                if self.tail.normalized { "normalization".into() } else { format!("{:?}", self.activation) }
            ));
        }
        Ok(value)
    }

    /// Returns the value at an input, even after the last function.
    pub fn any_value(&self, node: Node<'a>, input: usize) -> Result<Value, Problem> {
        let name = node.input(input).ok_or_else(|| format!("input {input} is missing"))?;
        if self.tail.contains(name) {
            return Err(format!("input {input} ({name}) is part of a softmax or of a vector's length"));
        }
        self.values.get(name).cloned().ok_or_else(|| format!("input {input} ({name}) is a constant"))
    }

    /// Returns the value at an input, which must be `[1, C, H, W]`.
    pub fn picture(&self, node: Node<'a>, input: usize) -> Result<Value, Problem> {
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

    /// Returns the constant at an input, if the input is given.
    pub fn optional_constant(&self, node: Node<'a>, input: usize) -> Result<Option<&Constant>, Problem> {
        let Some(name) = node.input(input) else { return Ok(None) };
        match self.constants.get(name) {
            Some(constant) => Ok(Some(constant)),
            None => {
                Err(format!("input {input} ({name}) is computed from the image; a constant is supported"))
            }
        }
    }

    /// Returns the constant at an input.
    pub fn constant(&self, node: Node<'a>, input: usize) -> Result<&Constant, Problem> {
        self.optional_constant(node, input)?.ok_or_else(|| format!("input {input} is missing"))
    }

    /// Returns dimensions and finite values of the constant at an input.
    pub fn weights(&self, node: Node<'a>, input: usize) -> Result<(Vec<usize>, Vec<f32>), Problem> {
        let constant = self.constant(node, input)?;
        let values = constant::floats(constant);
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            let name = node.input(input).unwrap_or_default();
            return Err(format!("tensor {name}: value {i} is {}", values[i]));
        }
        Ok((constant.shape().to_vec(), values))
    }

    /// Returns the finite values of the constant at an input, one per channel.
    pub fn vector(&self, node: Node<'a>, input: usize, channels: usize) -> Result<Vec<f32>, Problem> {
        let (dims, values) = self.weights(node, input)?;
        if values.len() != channels || dims.iter().filter(|&&d| d != 1).count() > 1 {
            return Err(format!("input {input} has dimensions {dims:?} for {channels} channels"));
        }
        Ok(values)
    }
}

/// Returns whether an operator is ONNX's own.
fn own(node: &NodeProto) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}
