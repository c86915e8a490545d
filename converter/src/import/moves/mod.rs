//! Operators that only move numbers: slices, concatenations, shuffles, pads, index maps of any kind.
//!
//! They are run once, at import, on [`Places`]: an array that contains, for each number of a tensor, its place in
//! the graph. Consecutive operators compose automatically, and if they cancel, an ordinary [`Value`] remains.
//! Otherwise, when an operator that computes reads the result, it becomes nodes of the graph ([`lower`]).

mod blocks;
mod indexed;
mod lower;
mod operators;
mod places;
mod selection;
mod sides;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use foldnet_kernels::Shape;

use super::Importer;
use super::constant::{self, Constant, Kind, Tensor};
use super::node::{Node, Problem};
use super::value::{Axis, Value};
use crate::graph::NodeId;
pub use lower::lower;
use operators::Inputs;
pub use operators::{dimension, names, of, reshaped};
use places::ZERO;
pub use places::{Places, broadcast};
pub use selection::Run;

/// The places of the graph's nodes and of constant numbers. A node's output, HWC, has consecutive positive places;
/// constants have negative ones.
#[derive(Default)]
pub struct Numbering {
    /// The first place and the node, ascending.
    nodes: Vec<(i64, NodeId)>,
    next: i64,
    constants: Vec<f32>,
    known: HashMap<u32, i64>,
}

/// The origin of a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Origin {
    /// A number of a node's output, with its index in HWC order.
    Node(NodeId, usize),
    /// A constant.
    Constant(f32),
}

impl Numbering {
    /// Returns the first place of a node's output.
    fn first(&mut self, node: NodeId, shape: Shape) -> i64 {
        if let Some((first, _)) = self.nodes.iter().find(|(_, n)| *n == node) {
            return *first;
        }
        let first = self.next + 1;
        self.nodes.push((first, node));
        self.next += shape.len() as i64;
        first
    }

    /// Returns the place of a number.
    fn constant(&mut self, value: f32) -> i64 {
        if value == 0.0 {
            return ZERO;
        }
        *self.known.entry(value.to_bits()).or_insert_with(|| {
            self.constants.push(value);
            -(self.constants.len() as i64)
        })
    }

    /// Returns the origin of a place.
    pub fn origin(&self, place: i64) -> Origin {
        match place {
            ZERO => Origin::Constant(0.0),
            ..0 => Origin::Constant(self.constants[(-place - 1) as usize]),
            _ => {
                let (first, node) = self.nodes[self.nodes.partition_point(|(first, _)| *first <= place) - 1];
                Origin::Node(node, (place - first) as usize)
            }
        }
    }
}

/// A node's inputs when it is run on places of the graph.
struct OfGraph<'i, 'a> {
    importer: &'i Importer<'a>,
    node: Node<'a>,
    numbering: RefCell<Numbering>,
}

impl Inputs for OfGraph<'_, '_> {
    fn places(&self, input: usize) -> Result<Places, Problem> {
        let name = self.node.input(input).ok_or_else(|| format!("input {input} is missing"))?;
        if let Some(moved) = self.importer.moved.get(name) {
            return Ok(moved.clone());
        }
        if let Some(constant) = self.importer.constants.get(name) {
            let mut numbering = self.numbering.borrow_mut();
            let items = constant::floats(constant).into_iter().map(|v| numbering.constant(v)).collect();
            return Ok(Places { dims: constant.shape().to_vec(), items });
        }
        let value = self.importer.value(self.node, input)?;
        if value.integer {
            return Err("it moves integers; cast them to floats before it".into());
        }
        let shape = self.importer.shape(&value);
        let first = self.numbering.borrow_mut().first(value.node, shape);
        of_value(&value, shape, first)
    }

    fn integers(&self, input: usize) -> Result<Option<(Vec<usize>, Vec<i64>)>, Problem> {
        let constant = self.importer.optional_constant(self.node, input)?;
        Ok(constant.map(|c| (c.shape().to_vec(), constant::integers(c))))
    }

    fn floats(&self, input: usize) -> Result<Option<Vec<f32>>, Problem> {
        Ok(self.importer.optional_constant(self.node, input)?.map(constant::floats))
    }

    fn fill(&self, value: f32) -> Result<i64, Problem> {
        Ok(self.numbering.borrow_mut().constant(value))
    }
}

/// Runs an operator on values. Outputs that are whole nodes in some order become values again.
pub fn run<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    let run = of(&node.proto.op_type).ok_or("it does more than move numbers")?;
    let numbering = RefCell::new(std::mem::take(&mut importer.numbering));
    let inputs = OfGraph { importer, node, numbering };
    let outputs = run(node, &inputs);
    importer.numbering = inputs.numbering.into_inner();
    for (name, places) in node.proto.output.iter().zip(outputs?).filter(|(name, _)| !name.is_empty()) {
        match as_value(importer, &places) {
            Some(value) => importer.values.insert(name, value).map(drop).unwrap_or_default(),
            None => importer.moved.insert(name, places).map(drop).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Returns the places of a value.
pub fn places(importer: &mut Importer<'_>, value: &Value) -> Result<Places, Problem> {
    let shape = importer.nodes[value.node].shape;
    let first = importer.numbering.first(value.node, shape);
    of_value(value, shape, first)
}

/// Returns the places of a value whose node's first place is `first`.
fn of_value(value: &Value, shape: Shape, first: i64) -> Result<Places, Problem> {
    let axes: Vec<Axis> = value.dims.iter().flatten().copied().collect();
    let dims = axes.iter().map(|a| a.size(shape)).collect();
    let strides: Vec<usize> = axes.iter().map(|a| a.stride(shape)).collect();
    let places = Places::build(dims, |at| {
        Ok(first + at.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>() as i64)
    })?;
    places.regrouped(value.sizes(shape))
}

/// Returns the value of these places, if they are all of one node with its axes in some order.
fn as_value(importer: &Importer<'_>, places: &Places) -> Option<Value> {
    let Origin::Node(node, _) = importer.numbering.origin(*places.items.first()?) else { return None };
    let shape = importer.nodes[node].shape;
    if places.items.len() != shape.len() {
        return None;
    }
    let (first, _) = *importer.numbering.nodes.iter().find(|(_, n)| *n == node)?;
    use Axis::{C, H, W};
    for order in [[H, W, C], [H, C, W], [W, H, C], [W, C, H], [C, H, W], [C, W, H]] {
        let axes: Vec<Axis> = order.into_iter().filter(|a| a.size(shape) > 1).collect();
        let flat = Value { node, dims: vec![axes], finished: false, integer: false };
        let Some(value) = flat.reshaped(shape, &places.dims) else { continue };
        if of_value(&value, shape, first).is_ok_and(|p| p.items == places.items) {
            return Some(value);
        }
    }
    None
}

/// Returns the value of these places, and creates nodes for it if necessary.
pub fn settled(importer: &mut Importer<'_>, name: &str, places: &Places) -> Result<Value, Problem> {
    match as_value(importer, places) {
        Some(value) => Ok(value),
        None => lower(importer, name, places),
    }
}

/// A node's constant inputs when it is run on them: the numbers of each have consecutive places.
struct OfConstants<'i> {
    inputs: Vec<Option<&'i Constant>>,
}

impl OfConstants<'_> {
    fn first(&self, input: usize) -> i64 {
        1 + self.inputs[..input].iter().flatten().map(|c| c.len() as i64).sum::<i64>()
    }
}

impl Inputs for OfConstants<'_> {
    fn places(&self, input: usize) -> Result<Places, Problem> {
        let constant = self.inputs.get(input).copied().flatten();
        let constant = constant.ok_or_else(|| format!("input {input} is missing"))?;
        Ok(Places::counted(constant.shape(), self.first(input)))
    }

    fn integers(&self, input: usize) -> Result<Option<(Vec<usize>, Vec<i64>)>, Problem> {
        let constant = self.inputs.get(input).copied().flatten();
        Ok(constant.map(|c| (c.shape().to_vec(), constant::integers(c))))
    }

    fn floats(&self, input: usize) -> Result<Option<Vec<f32>>, Problem> {
        Ok(self.inputs.get(input).copied().flatten().map(constant::floats))
    }

    fn fill(&self, value: f32) -> Result<i64, Problem> {
        match value {
            0.0 => Ok(ZERO),
            // The padding value is an input, and its first number has a place.
            _ if self.inputs.len() > 2 && self.inputs[2].is_some() => Ok(self.first(2)),
            _ => Err(format!("a constant is padded with the attribute value {value}: not supported")),
        }
    }
}

/// Runs an operator that only moves numbers on constants. Returns `None` if their type is not supported, or if
/// there are too many.
pub fn of_constants(node: Node<'_>, inputs: &[Option<&Constant>]) -> Option<Result<Vec<Constant>, Problem>> {
    let run = of(&node.proto.op_type)?;
    let moved = |i: &usize| match node.proto.op_type.as_str() {
        "Where" => *i > 0,
        "ScatterElements" | "Scatter" | "ScatterND" => *i != 1,
        "Concat" => true,
        _ => *i == 0,
    };
    let data: Vec<&Constant> = (0..inputs.len()).filter(moved).filter_map(|i| inputs[i]).collect();
    let kind = data.first()?.kind();
    let plain = data.iter().all(|c| c.kind() == kind);
    if !plain || inputs.iter().flatten().any(|c| c.len() > places::MOST_PLACES) {
        return None;
    }
    let outputs = match run(node, &OfConstants { inputs: inputs.to_vec() }) {
        Ok(outputs) => outputs,
        Err(problem) => return Some(Err(problem)),
    };
    Some(outputs.into_iter().map(|places| assemble(kind, inputs, &places)).collect())
}

/// Returns the tensor of the inputs' numbers at these places.
fn assemble(kind: Kind, inputs: &[Option<&Constant>], places: &Places) -> Result<Constant, Problem> {
    let mut next = 1;
    let mut firsts = Vec::new();
    let mut from: Vec<&Tensor> = Vec::new();
    for constant in inputs.iter().flatten() {
        // Inputs of another type are indices, whose values are not moved.
        if constant.kind() == kind {
            firsts.push(next);
            from.push(constant);
        }
        next += constant.len() as i64;
    }
    let place = |&place: &i64| {
        let input = firsts.partition_point(|&first| first <= place).checked_sub(1)?;
        Some((input, (place - firsts[input]) as usize)).filter(|_| place != ZERO)
    };
    Tensor::gathered(&from, &places.dims, places.items.iter().map(place)).map(Arc::new)
}
