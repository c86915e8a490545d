//! Translates TFLite's operators to an ONNX model in memory.

use std::collections::{HashMap, HashSet};

use crate::onnx::tensor_proto::DataType;
use crate::onnx::tensor_shape_proto::{Dimension, dimension};
use crate::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

use super::super::error::ImportError;
use super::super::node::Problem;
use super::file::{Model, Operator, Tensor};
use super::halves::Halves;
use super::{InputGrid, constants, operators};
use crate::emit::onnx::float;
use crate::tflite::schema::{element, element_name, fused, operator, operator_name};

/// The opset that is written.
const OPSET: i64 = 13;
/// Constants may be used several times, but a file of a kilobyte must not become a gigabyte of constants.
const VALUES_PER_BYTE: usize = 16;

/// The ONNX model and its origin.
pub struct Translated {
    pub onnx: ModelProto,
    /// The number of TFLite operators that were translated.
    pub operators: usize,
    pub input_grid: Option<InputGrid>,
    pub notes: Vec<String>,
    /// The operator of each ONNX node, by the node's name.
    nodes: HashMap<String, usize>,
}

impl Translated {
    /// Converts an error of the import to the file's terms.
    pub fn located(&self, model: &Model<'_, '_>, error: ImportError) -> ImportError {
        match error {
            ImportError::Node { node, problem, .. } => match self.nodes.get(&node) {
                Some(&index) => refused(model, &model.operators[index], problem),
                None => ImportError::NotTflite(format!("{node}: {problem}")),
            },
            ImportError::NotOnnx(problem) => ImportError::NotTflite(problem),
            other => other,
        }
    }
}

fn refused(model: &Model<'_, '_>, operator: &Operator<'_, '_>, problem: Problem) -> ImportError {
    let output = operator.outputs.first().map(|&id| short(&model.tensors[id].name).to_owned());
    ImportError::Operator {
        index: operator.index,
        op: match &operator.custom {
            Some(name) => format!("CUSTOM {name}"),
            None => operator_name(operator.code),
        },
        output: output.unwrap_or_default(),
        problem,
    }
}

/// Shortens a name: TensorFlow's converter names a tensor after all layers that were fused, separated by
/// semicolons.
fn short(name: &str) -> &str {
    name.split(';').next().unwrap_or(name)
}

/// The state with which operators are translated.
pub struct Translator<'m, 'f, 'a> {
    pub model: &'m Model<'f, 'a>,
    /// The names in the ONNX model, by tensor.
    names: Vec<String>,
    /// All names, so that new ones are unique.
    taken: HashSet<String>,
    /// The operator that computes each tensor.
    writers: Vec<Option<usize>>,
    /// The tensors after the network's last function, whose rounding is left out.
    finished: HashSet<usize>,
    graph: GraphProto,
    nodes: HashMap<String, usize>,
    /// The number of values that constants may still have.
    left: usize,
    pub notes: Vec<String>,
}

/// Translates the operators on which the output depends; `asked` is the output's name if the file has several.
pub fn translate(
    model: &Model<'_, '_>,
    bytes: usize,
    asked: Option<&str>,
) -> Result<Translated, ImportError> {
    let mut translator = Translator::new(model, bytes)?;
    let input = input(model)?;
    let wanted = wanted(model, asked)?;
    let needed = translator.needed(wanted);
    let input_grid = grid(model, input, &needed);
    let name = translator.names[input].clone();
    translator.graph.input.push(value(&name, &model.tensors[input].shape));
    for &index in &needed {
        let operator = &model.operators[index];
        operators::translate(&mut translator, operator)
            .map_err(|problem| refused(model, operator, problem))?;
    }
    let output = translator.names[wanted].clone();
    translator.graph.output.push(value(&output, &[]));
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: OPSET }];
    let onnx = ModelProto { opset_import, graph: Some(translator.graph), ..Default::default() };
    Ok(Translated {
        onnx,
        operators: needed.len(),
        input_grid,
        notes: translator.notes,
        nodes: translator.nodes,
    })
}

/// Returns the one input that is not a constant.
fn input(model: &Model<'_, '_>) -> Result<usize, ImportError> {
    let bad = |name: &str, problem: String| Err(ImportError::Input { name: name.into(), problem });
    let [input] = model.inputs[..] else {
        let names: Vec<&str> = model.inputs.iter().take(8).map(|&i| &model.tensors[i].name[..]).collect();
        let (count, names) = (model.inputs.len(), names.join(", "));
        return bad("of the model", format!("{count} inputs ({names}); one image is supported"));
    };
    let tensor = &model.tensors[input];
    match tensor.element {
        _ if tensor.data.is_some() => bad(&tensor.name, "it is a constant".into()),
        element::FLOAT32 => Ok(input),
        element::INT8 | element::UINT8 => match quantization(tensor) {
            Ok(_) => Ok(input),
            Err(problem) => bad(&tensor.name, problem),
        },
        other => bad(
            &tensor.name,
            format!("its values are of type {}; floats or bytes are supported", element_name(other)),
        ),
    }
}

/// Returns the tensor of the network's output.
fn wanted(model: &Model<'_, '_>, asked: Option<&str>) -> Result<usize, ImportError> {
    let names = || model.outputs.iter().map(|&i| model.tensors[i].name.clone()).collect();
    match (asked, &model.outputs[..]) {
        (None, &[output]) => Ok(output),
        (None, []) => Err(ImportError::NotTflite("it has no output".into())),
        (None, _) => Err(ImportError::Outputs(names())),
        (Some(asked), _) => {
            let found = model.tensors.iter().position(|t| t.name == asked || short(&t.name) == asked);
            found.ok_or_else(|| ImportError::NoOutput { asked: asked.into(), names: names() })
        }
    }
}

/// Returns the quantization of the input, from its own type or the first operator.
fn grid(model: &Model<'_, '_>, input: usize, needed: &[usize]) -> Option<InputGrid> {
    let tensor = &model.tensors[input];
    let of = |tensor, bytes| {
        let (scale, zero) = quantization(tensor).ok()?;
        let zero = zero - if tensor.element == element::UINT8 { 128 } else { 0 };
        Some(InputGrid { scale, zero: zero as f32, bytes })
    };
    if matches!(tensor.element, element::INT8 | element::UINT8) {
        return of(tensor, true);
    }
    let reads =
        |o: &&Operator<'_, '_>| o.code == operator::QUANTIZE && o.inputs.first() == Some(&Some(input));
    let first = needed.iter().map(|&i| &model.operators[i]).find(reads)?;
    of(&model.tensors[*first.outputs.first()?], false)
}

/// Returns scale and zero point of an activation of bytes.
pub fn quantization(tensor: &Tensor<'_>) -> Result<(f32, i64), Problem> {
    let (Some(&scale), 1) = (tensor.scale.first(), tensor.scale.len()) else {
        return Err(format!("{} has {} scales; an activation has one", tensor.name, tensor.scale.len()));
    };
    let range = if tensor.element == element::UINT8 { 0..=255 } else { -128..=127 };
    let zero = tensor.zero[0];
    if scale < f32::MIN_POSITIVE || !range.contains(&zero) {
        return Err(format!("{} has the scale {scale} and the zero point {zero}", tensor.name));
    }
    Ok((scale, zero))
}

fn value(name: &str, shape: &[i32]) -> ValueInfoProto {
    let dim = |&n: &i32| Dimension { value: (n >= 0).then_some(dimension::Value::DimValue(i64::from(n))) };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: shape.iter().map(dim).collect() }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)) }),
    }
}

impl<'m, 'f, 'a> Translator<'m, 'f, 'a> {
    fn new(model: &'m Model<'f, 'a>, bytes: usize) -> Result<Self, ImportError> {
        let mut taken = HashSet::new();
        let mut names = vec![String::new(); model.tensors.len()];
        // A bias has the name of the tensor to which it is added, and that tensor must keep its name.
        let (constants, computed): (Vec<usize>, Vec<usize>) =
            (0..names.len()).partition(|&id| model.tensors[id].data.is_some());
        for id in computed.into_iter().chain(constants) {
            names[id] = unique(&mut taken, short(&model.tensors[id].name));
        }
        let mut writers = vec![None; model.tensors.len()];
        for operator in &model.operators {
            for &id in &operator.outputs {
                let constant = model.tensors[id].data.is_some() || model.inputs.contains(&id);
                if writers[id].replace(operator.index).is_some() || constant {
                    let problem = "it writes a tensor that is a constant, or written by another".into();
                    return Err(refused(model, operator, problem));
                }
            }
        }
        Ok(Self {
            model,
            names,
            taken,
            writers,
            finished: HashSet::new(),
            graph: GraphProto::default(),
            nodes: HashMap::new(),
            left: bytes.saturating_mul(VALUES_PER_BYTE),
            notes: Vec::new(),
        })
    }

    /// Returns the operators that a tensor depends on, in the file's order.
    fn needed(&self, tensor: usize) -> Vec<usize> {
        let mut needed = vec![false; self.model.operators.len()];
        let mut open = vec![tensor];
        while let Some(id) = open.pop() {
            let Some(index) = self.writers[id] else { continue };
            if !std::mem::replace(&mut needed[index], true) {
                let read = operators::read_by(&self.model.operators[index]);
                open.extend(read.iter().flatten().filter(|&&id| self.constant(id).is_none()));
            }
        }
        (0..needed.len()).filter(|&i| needed[i]).collect()
    }

    /// Returns the tensor with a constant's values: itself, or the one that is converted to floats.
    pub fn constant(&self, id: usize) -> Option<&'m Tensor<'a>> {
        let tensor = &self.model.tensors[id];
        if tensor.data.is_some() {
            return Some(tensor);
        }
        let writer = &self.model.operators[self.writers[id]?];
        let source = (*writer.inputs.first()?)?;
        let stored = &self.model.tensors[source];
        (writer.code == operator::DEQUANTIZE && stored.data.is_some()).then_some(stored)
    }

    /// Returns the number of the tensor at an input.
    pub fn input(&self, operator: &Operator<'_, '_>, input: usize) -> Result<usize, Problem> {
        operator.inputs.get(input).copied().flatten().ok_or_else(|| format!("input {input} is missing"))
    }

    /// Returns the tensor at an input.
    pub fn tensor(&self, operator: &Operator<'_, '_>, input: usize) -> Result<&'m Tensor<'a>, Problem> {
        Ok(&self.model.tensors[self.input(operator, input)?])
    }

    /// Returns the tensor that the operator writes.
    pub fn output(&self, operator: &Operator<'_, '_>) -> Result<usize, Problem> {
        match operator.outputs[..] {
            [output] => Ok(output),
            _ => Err(format!("{} outputs; one is supported", operator.outputs.len())),
        }
    }

    /// Returns dimensions and real values of the constant at an input.
    pub fn floats(
        &mut self,
        operator: &Operator<'_, '_>,
        input: usize,
    ) -> Result<(Vec<usize>, Vec<f32>), Problem> {
        let id = self.input(operator, input)?;
        let name = &self.model.tensors[id].name;
        let tensor = self.constant(id).ok_or_else(|| {
            format!("input {input} ({}) is computed from the image; a constant is supported", short(name))
        })?;
        let bytes = tensor.data.map_or(0, <[u8]>::len);
        self.left =
            self.left.checked_sub(bytes).ok_or("the file's constants share too many of their bytes")?;
        Ok((constants::dims(tensor)?, constants::floats(tensor)?))
    }

    /// Returns the integers of the constant at an input.
    pub fn integers(&mut self, operator: &Operator<'_, '_>, input: usize) -> Result<Vec<i64>, Problem> {
        let tensor = self.tensor(operator, input)?;
        let bytes = tensor.data.map_or(0, <[u8]>::len);
        self.left =
            self.left.checked_sub(bytes).ok_or("the file's constants share too many of their bytes")?;
        constants::integers(tensor)
    }

    /// Returns the name of the value at an input; writes it if it is a constant.
    pub fn operand(&mut self, operator: &Operator<'_, '_>, input: usize) -> Result<String, Problem> {
        let id = self.input(operator, input)?;
        if self.constant(id).is_some() {
            let (dims, values) = self.floats(operator, input)?;
            return Ok(self.constant_floats(&dims, &values));
        }
        Ok(self.names[id].clone())
    }

    /// Writes a constant of floats; returns its name.
    pub fn constant_floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(dims, DataType::Float, raw)
    }

    /// Writes a constant of integers; returns its name.
    pub fn constant_integers(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(&[values.len()], DataType::Int64, raw)
    }

    fn initializer(&mut self, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> String {
        let name = unique(&mut self.taken, "constant");
        self.graph.initializer.push(TensorProto {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            name: name.clone(),
            raw_data,
            ..Default::default()
        });
        name
    }

    /// Adds the ONNX node that computes, with the name of the operator's output. Returns its output.
    pub fn main(
        &mut self,
        operator: &Operator<'_, '_>,
        kind: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<String, Problem> {
        let name = self.names[self.output(operator)?].clone();
        Ok(self.push(operator, name, kind, inputs, attributes))
    }

    /// Adds another ONNX node; returns its output.
    pub fn node(
        &mut self,
        operator: &Operator<'_, '_>,
        kind: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<String, Problem> {
        let name = format!("{}/{kind}", self.names[self.output(operator)?]);
        Ok(self.push(operator, name, kind, inputs, attributes))
    }

    /// Adds the ONNX node that computes one of several outputs.
    pub fn part(&mut self, operator: &Operator<'_, '_>, output: usize, kind: &str, inputs: &[&str]) {
        let name = self.names[output].clone();
        let result = self.push(operator, format!("{name}/{kind}"), kind, inputs, vec![]);
        let bound = self.push(operator, format!("{name}/Identity"), "Identity", &[&result], vec![]);
        self.rename(&bound, name);
    }

    fn push(
        &mut self,
        operator: &Operator<'_, '_>,
        name: String,
        kind: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = unique(&mut self.taken, &name);
        self.nodes.insert(name.clone(), operator.index);
        self.graph.node.push(NodeProto {
            name,
            op_type: kind.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.clone()],
            attribute: attributes,
            ..Default::default()
        });
        output
    }

    /// Makes a result the operator's output: applies its fused activation, and rounds to its type.
    pub fn finish(
        &mut self,
        operator: &Operator<'_, '_>,
        result: String,
        activation: u8,
    ) -> Result<(), Problem> {
        self.finish_rounded(operator, result, activation, Halves::ToEven)
    }

    /// Like [`finish`](Self::finish), for operators for which TFLite rounds halves in another way.
    pub fn finish_rounded(
        &mut self,
        operator: &Operator<'_, '_>,
        result: String,
        activation: u8,
        halves: Halves,
    ) -> Result<(), Problem> {
        let clip = |lo: f32, hi: f32| ("Clip", vec![float("min", lo), float("max", hi)]);
        let (kind, attributes) = match activation {
            fused::NONE => ("", vec![]),
            fused::RELU => ("Relu", vec![]),
            fused::RELU_N1_TO_1 => clip(-1.0, 1.0),
            fused::RELU6 => clip(0.0, 6.0),
            fused::TANH => ("Tanh", vec![]),
            other => return Err(format!("the fused activation number {other} is not supported")),
        };
        let mut result = result;
        if !kind.is_empty() {
            result = self.node(operator, kind, &[&result], attributes)?;
        }
        let output = self.output(operator)?;
        let tensor = &self.model.tensors[output];
        let unsigned = tensor.element == element::UINT8;
        match tensor.element {
            element::FLOAT32 => {}
            element::INT8 | element::UINT8 if self.finished.contains(&output) => {}
            element::INT8 | element::UINT8 => {
                let (scale, zero) = quantization(tensor)?;
                let scale = self.constant_floats(&[], &[halves.nudged(scale)]);
                let kind = if unsigned { DataType::Uint8 } else { DataType::Int8 };
                // The lower byte is the number, in both types.
                let zero = self.initializer(&[], kind, vec![zero as u8]);
                let inputs = [&result[..], &scale, &zero];
                let quantized = self.node(operator, "QuantizeLinear", &inputs, vec![])?;
                result = self.node(operator, "DequantizeLinear", &[&quantized, &scale, &zero], vec![])?;
            }
            element::INT16 => self.note(
                "the file's activations have 16 bits; they are quantized to 8 anew, by the calibration images",
            ),
            other => return Err(format!("its output has values of type {}", element_name(other))),
        }
        self.bind(operator, &result)
    }

    /// Makes a result the operator's output without changes.
    pub fn bind(&mut self, operator: &Operator<'_, '_>, result: &str) -> Result<(), Problem> {
        let name = self.names[self.output(operator)?].clone();
        let bound = self.node(operator, "Identity", &[result], vec![])?;
        self.rename(&bound, name);
        Ok(())
    }

    /// Gives the last node's output the name under which other nodes read it.
    fn rename(&mut self, bound: &str, name: String) {
        if let Some(node) = self.graph.node.last_mut().filter(|n| n.output[0] == bound) {
            node.output[0] = name;
        }
    }

    /// Records that the operator's output is after the network's last function.
    pub fn end(&mut self, operator: &Operator<'_, '_>) -> Result<(), Problem> {
        let output = self.output(operator)?;
        self.finished.insert(output);
        Ok(())
    }

    /// Returns whether an input is after the network's last function.
    pub fn is_finished(&self, id: usize) -> bool {
        self.finished.contains(&id)
    }

    fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|n| n == text) {
            self.notes.push(text.into());
        }
    }
}

/// Returns a name that is not in use, and reserves it.
fn unique(taken: &mut HashSet<String>, name: &str) -> String {
    let mut unique = if name.is_empty() { "tensor".to_owned() } else { name.to_owned() };
    let mut n = taken.len();
    while !taken.insert(unique.clone()) {
        n += 1;
        unique = format!("{name}_{n}");
    }
    unique
}
