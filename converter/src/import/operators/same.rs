//! Operators that provably change nothing.

use super::super::Importer;
use super::super::constant::{Kind, floats};
use super::super::node::{Node, Problem};
use crate::onnx::tensor_proto::DataType;

/// Passes its input through.
pub fn identity<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    importer.bind_same(node)
}

/// Does nothing at inference.
pub fn dropout<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["ratio", "seed"])?;
    importer.optional_constant(node, 1)?;
    let training = importer.optional_constant(node, 2)?.map(floats);
    if training.is_some_and(|t| t.iter().any(|&v| v != 0.0)) {
        return Err("it is in training mode: export the model for inference (model.eval())".into());
    }
    importer.bind_same(node)
}

/// A type conversion: between floats, from the image's bytes to floats, or between integers that contain them.
pub fn cast<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["round_mode", "saturate", "to"])?;
    let to = node.int("to", 0)?;
    let to = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok());
    cast_to(importer, node, to.ok_or("it casts to an unknown type")?)
}

/// A conversion to the type of another tensor.
pub fn cast_like<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["round_mode", "saturate"])?;
    let like = node.input(1).ok_or("input 1 is missing")?;
    let to = match importer.constants.get(like).map(|c| c.kind()) {
        // Computed values are floats.
        None => match importer.values.get(like) {
            Some(value) if value.integer => DataType::Int64,
            _ => DataType::Float,
        },
        Some(t) if t.is_float() => DataType::Float,
        Some(Kind::I64 | Kind::I32) => DataType::Int64,
        Some(other) => return Err(format!("it casts to {other:?}")),
    };
    cast_to(importer, node, to)
}

fn cast_to<'a>(importer: &mut Importer<'a>, node: Node<'a>, to: DataType) -> Result<(), Problem> {
    use DataType::{
        Bfloat16, Double, Float, Float16, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64,
    };
    let name = node.input(0).ok_or("input 0 is missing")?;
    let integer = importer.values.get(name).is_some_and(|v| v.integer);
    match to {
        Float | Float16 | Bfloat16 | Double => {
            importer.bind_same(node)?;
            let output = node.proto.output.first().ok_or("it has no output")?;
            if let Some(value) = importer.values.get_mut(output.as_str()) {
                value.integer = false;
            }
            Ok(())
        }
        Uint8 | Uint16 | Int16 | Int32 | Int64 | Uint32 | Uint64 if integer => importer.bind_same(node),
        // PyTorch's quantization-aware training exports a cast to the type that QuantizeLinear has just written.
        Uint8 | Int8 if quantized_to(importer, name) == Some(to) => importer.bind_same(node),
        _ => Err(format!(
            "it casts to {to:?}, which rounds or cuts values; casts between floats are supported"
        )),
    }
}

/// Returns the type of a tensor written by QuantizeLinear, which is that of its zero point.
fn quantized_to(importer: &Importer<'_>, tensor: &str) -> Option<DataType> {
    let nodes = &importer.model.graph.as_ref()?.node;
    let writer = nodes.iter().find(|n| n.output.first().is_some_and(|o| o == tensor))?;
    if writer.op_type != "QuantizeLinear" {
        return None;
    }
    match importer.constants.get(writer.input.get(2)?.as_str())?.kind() {
        Kind::U8 => Some(DataType::Uint8),
        Kind::I8 => Some(DataType::Int8),
        _ => None,
    }
}
