//! Constants: weights, and what is computed from constants alone.
//!
//! A node whose inputs are all constants is run by tract, by itself, and its result is a constant; so
//! the shape arithmetic that exporters write in front of a Reshape never reaches the graph.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use foldnet_kernels::MAX_VOLUME;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ModelProto, TensorProto};
use tract_onnx::prelude::InferenceModelExt;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{InferenceFact, InferenceModel};

use super::error::ImportError;
use super::node::{Node, Problem};

/// A constant.
pub type Constant = Arc<Tensor>;

/// Reads a tensor of the file, or of the files beside it, after checking that it holds as many numbers
/// as its dimensions claim.
pub fn read(proto: &TensorProto, folder: &Path) -> Result<Constant, ImportError> {
    let bad = |problem: String| ImportError::Tensor { name: proto.name.clone(), problem };
    let size = match DataType::try_from(proto.data_type) {
        Ok(DataType::Bool | DataType::Int8 | DataType::Uint8) => 1,
        Ok(DataType::Float16 | DataType::Int16 | DataType::Uint16) => 2,
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => 4,
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64) => 8,
        Ok(other) => return Err(bad(format!("values of type {other:?} are not supported"))),
        Err(_) => return Err(bad(format!("type {} is not known", proto.data_type))),
    };
    let volume = proto
        .dims
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))
        .filter(|&n| n <= MAX_VOLUME)
        .ok_or_else(|| bad(format!("dimensions {:?} are negative or too large", proto.dims)))?;
    if !proto.raw_data.is_empty() && proto.raw_data.len() != volume * size {
        return Err(bad(format!(
            "dimensions {:?} claim {} bytes, the file holds {}",
            proto.dims,
            volume * size,
            proto.raw_data.len()
        )));
    }
    let external = proto.external_data.iter().find(|e| e.key == "location");
    if let Some(file) = external.map(|file| &file.value)
        && !folder.join(file).is_file()
    {
        // Opening a pipe would wait for ever.
        return Err(bad(format!(
            "its values are in the file {file} beside the model, which is missing or no regular file"
        )));
    }
    let folder = folder.to_string_lossy();
    let onnx = tract_onnx::onnx();
    let tensor =
        guarded(|| tract_onnx::tensor::load_tensor(&*onnx.provider, proto, Some(&folder))).map_err(|e| {
            bad(match external {
                Some(file) => format!("its values are in the file {}, which cannot be read: {e}", file.value),
                None => e,
            })
        })?;
    if tensor.len() != volume {
        return Err(bad(format!("dimensions {:?}, but {} values", proto.dims, tensor.len())));
    }
    Ok(Arc::new(tensor))
}

/// As f32.
pub fn floats(constant: &Constant) -> Result<Vec<f32>, Problem> {
    let slice = || -> TractResult<Vec<f32>> {
        Ok(constant.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    };
    slice().map_err(|e| format!("a constant cannot be read as numbers: {e}"))
}

/// As integers.
pub fn integers(constant: &Constant) -> Result<Vec<i64>, Problem> {
    let slice = || -> TractResult<Vec<i64>> {
        Ok(constant.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
    };
    slice().map_err(|e| format!("a constant cannot be read as integers: {e}"))
}

/// A constant of integers.
pub fn from_integers(values: &[i64]) -> Constant {
    Arc::new(tensor1(values))
}

/// Operators that are run on constants.
const EVALUATED: [&str; 30] = [
    "Abs",
    "Add",
    "Cast",
    "Ceil",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "DequantizeLinear",
    "Div",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Identity",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "Reshape",
    "Shape",
    "Slice",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Whether a node of this kind can be run on constants.
pub fn can_evaluate(op: &str) -> bool {
    EVALUATED.contains(&op)
}

/// Runs one node on constants.
pub fn evaluate(node: Node<'_>, inputs: &[Constant], model: &ModelProto) -> Result<Vec<Constant>, Problem> {
    bound_output(node, inputs)?;
    let outputs = guarded(|| {
        let framework = tract_onnx::onnx();
        let context = ParsingContext {
            onnx_operator_set_version: node.opset,
            framework: &framework,
            model,
            parent_graphs: Vec::new(),
            model_dir: None,
            template: InferenceModel::default(),
        };
        let build = framework.op_register.0.get(&node.proto.op_type).context("not known to tract")?;
        let (op, _) = build(&context, node.proto)?;
        let mut model = InferenceModel::default();
        let mut outlets = Vec::new();
        for (i, input) in inputs.iter().enumerate() {
            outlets.push(model.add_const(format!("input{i}"), input.clone())?);
        }
        let facts = node.proto.output.iter().map(|_| InferenceFact::default()).collect();
        let id = model.add_node("node", op, facts)?;
        for (i, outlet) in outlets.into_iter().enumerate() {
            model.add_edge(outlet, InletId::new(id, i))?;
        }
        let outputs: Vec<OutletId> = (0..node.proto.output.len()).map(|i| OutletId::new(id, i)).collect();
        model.select_output_outlets(&outputs)?;
        let results = model.into_typed()?.into_runnable()?.run(tvec!())?;
        Ok(results.into_iter().map(|v| v.into_arc_tensor()).collect::<Vec<_>>())
    });
    outputs.map_err(|e| format!("its constant inputs give no result: {e}"))
}

/// No result may be larger than what a layer's weights may be: a file of a kilobyte can ask for a
/// terabyte.
fn bound_output(node: Node<'_>, inputs: &[Constant]) -> Result<(), Problem> {
    let claimed = match node.proto.op_type.as_str() {
        "ConstantOfShape" | "Expand" => {
            let shape = inputs.last().map(integers).transpose()?.unwrap_or_default();
            let most = inputs.first().map_or(1, |t| t.len().max(1));
            shape
                .iter()
                .try_fold(most, |n, &d| n.checked_mul(usize::try_from(d).ok()?.max(1)))
                .unwrap_or(usize::MAX)
        }
        "Gather" => inputs.iter().fold(1usize, |n, t| n.saturating_mul(t.len())),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" | "Where" => {
            let rank = inputs.iter().map(|t| t.rank()).max().unwrap_or(0);
            (0..rank).fold(1usize, |n, d| {
                let side = |t: &Constant| t.shape().iter().rev().nth(d).copied().unwrap_or(1);
                n.saturating_mul(inputs.iter().map(side).max().unwrap_or(1))
            })
        }
        // Its output is as large as its first input, unless scales were spread over a dimension of 1.
        "DequantizeLinear" => {
            let x = inputs.first().ok_or("it has no input")?;
            let axis = node.int("axis", 1)?;
            let axis = if axis < 0 { axis + x.rank() as i64 } else { axis };
            let side = usize::try_from(axis).ok().and_then(|a| x.shape().get(a)).copied().unwrap_or(1);
            if let Some(other) = inputs[1..].iter().find(|t| t.len() != 1 && t.len() != side) {
                return Err(format!("{} scales or zero points for a dimension of {side}", other.len()));
            }
            x.len()
        }
        _ => 0,
    };
    if claimed > MAX_VOLUME {
        return Err(format!("a constant of {claimed} values is too large"));
    }
    Ok(())
}

/// Runs foreign code on a file that nobody has checked: its panics are errors, too.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    let quiet = Quiet::new();
    let result = catch_unwind(AssertUnwindSafe(work));
    drop(quiet);
    match result {
        Ok(result) => result.map_err(|e| format!("{e:#}")),
        Err(_) => Err("the values do not fit together".into()),
    }
}

thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// While it lives, panics on this thread are caught and are no news.
struct Quiet(bool);

impl Quiet {
    fn new() -> Self {
        Self(QUIET.replace(true))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(self.0);
    }
}

/// Whether a panic on this thread would be caught and become an error of the input. For panic hooks.
pub fn panics_are_caught() -> bool {
    QUIET.get()
}
