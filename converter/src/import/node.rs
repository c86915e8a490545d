//! One ONNX node, its attributes read with their types.

use crate::onnx::NodeProto;
use crate::onnx::attribute_proto::AttributeType;

/// The problem of a node, in words; [`super::ImportError::Node`] adds which node.
pub type Problem = String;

/// A node and its opset.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    /// The node in the file.
    pub proto: &'a NodeProto,
    /// The opset of the model.
    pub opset: i64,
}

impl<'a> Node<'a> {
    /// Returns the node's name, or that of its output if it has none.
    pub fn name(&self) -> &'a str {
        match &self.proto.name {
            name if !name.is_empty() => name,
            _ => self.proto.output.first().map_or("without a name", |o| o.as_str()),
        }
    }

    /// Returns the input with this number, if it is given.
    pub fn input(&self, number: usize) -> Option<&'a str> {
        self.proto.input.get(number).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Refuses attributes that are not in this list, since an unknown attribute must not be ignored.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.proto.attribute.iter().find(|a| !known.contains(&a.name.as_str())) {
            Some(a) => Err(format!("attribute {} is not supported", a.name)),
            None => Ok(()),
        }
    }

    fn attribute(
        &self,
        name: &str,
        kind: AttributeType,
    ) -> Result<Option<&'a crate::onnx::AttributeProto>, Problem> {
        match self.proto.attribute.iter().find(|a| a.name == name) {
            // Files of the first ONNX versions do not specify the type.
            Some(a) if a.r#type == kind as i32 || a.r#type == 0 => Ok(Some(a)),
            Some(_) => Err(format!("attribute {name} is not of type {kind:?}")),
            None => Ok(None),
        }
    }

    /// Returns an integer.
    pub fn int(&self, name: &str, default: i64) -> Result<i64, Problem> {
        Ok(self.attribute(name, AttributeType::Int)?.map_or(default, |a| a.i))
    }

    /// Returns a number.
    pub fn float(&self, name: &str, default: f32) -> Result<f32, Problem> {
        Ok(self.attribute(name, AttributeType::Float)?.map_or(default, |a| a.f))
    }

    /// Returns a list of integers.
    pub fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, Problem> {
        Ok(self.attribute(name, AttributeType::Ints)?.map(|a| &a.ints[..]))
    }

    /// Returns a list of numbers.
    pub fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, Problem> {
        Ok(self.attribute(name, AttributeType::Floats)?.map(|a| &a.floats[..]))
    }

    /// Returns a word.
    pub fn word(&self, name: &str, default: &str) -> Result<String, Problem> {
        let word = self.attribute(name, AttributeType::String)?.map(|a| String::from_utf8_lossy(&a.s));
        Ok(word.map_or_else(|| default.to_owned(), |w| w.into_owned()))
    }

    /// Returns a list of non-negative numbers with a fixed length.
    pub fn sizes<const N: usize>(&self, name: &str, default: [usize; N]) -> Result<[usize; N], Problem> {
        let Some(ints) = self.ints(name)? else { return Ok(default) };
        let sizes: Option<Vec<usize>> = ints.iter().map(|&i| usize::try_from(i).ok()).collect();
        sizes
            .filter(|s| s.iter().all(|&n| n <= foldnet_kernels::MAX_SIDE))
            .and_then(|s| s.try_into().ok())
            .ok_or_else(|| {
                format!(
                    "{name} is {ints:?}; {N} numbers from 0 to {} are supported",
                    foldnet_kernels::MAX_SIDE
                )
            })
    }
}
