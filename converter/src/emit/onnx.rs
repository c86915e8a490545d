//! Writes ONNX, one node and one initializer at a time.

use crate::onnx as pb;
use crate::onnx::tensor_proto::DataType;
use prost::Message;

/// Returns an attribute with a list of integers.
pub fn ints(name: &str, values: &[usize]) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: pb::attribute_proto::AttributeType::Ints as i32,
        ints: values.iter().map(|&v| v as i64).collect(),
        ..Default::default()
    }
}

/// Returns an attribute with an integer.
pub fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: pb::attribute_proto::AttributeType::Int as i32,
        i: value,
        ..Default::default()
    }
}

/// Returns an attribute with a number.
pub fn float(name: &str, value: f32) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: pb::attribute_proto::AttributeType::Float as i32,
        f: value,
        ..Default::default()
    }
}

/// Returns an attribute with a word.
pub fn word(name: &str, value: &str) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.into(),
        r#type: pb::attribute_proto::AttributeType::String as i32,
        s: value.into(),
        ..Default::default()
    }
}

fn float_value(name: &str, dims: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let dim = dims.iter().map(|&d| Dimension { value: Some(Value::DimValue(d as i64)) }).collect();
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(pb::type_proto::Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(pb::TensorShapeProto { dim }),
            })),
        }),
    }
}

/// A graph under construction. Names are unique; nodes are in execution order.
#[derive(Default)]
pub struct Builder {
    graph: pb::GraphProto,
}

impl Builder {
    /// Adds an initializer; returns its name.
    pub fn tensor(&mut self, name: &str, dims: &[usize], kind: DataType, raw: Vec<u8>) -> String {
        self.graph.initializer.push(pb::TensorProto {
            dims: dims.iter().map(|&d| d as i64).collect(),
            data_type: kind as i32,
            name: name.into(),
            raw_data: raw,
            ..Default::default()
        });
        name.into()
    }

    /// Adds an f32 initializer.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, DataType::Float, raw)
    }

    /// Adds an int8 initializer.
    pub fn int8s(&mut self, name: &str, dims: &[usize], values: &[i8]) -> String {
        self.tensor(name, dims, DataType::Int8, values.iter().map(|&v| v as u8).collect())
    }

    /// Adds a node with one output, which has the same name.
    pub fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<pb::AttributeProto>) {
        self.graph.node.push(pb::NodeProto {
            name: output.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            attribute: attributes,
            ..Default::default()
        });
    }

    /// Pads `x`, in NCHW, with zeros: top, left, bottom, right.
    pub fn pad(&mut self, x: &str, pad: [usize; 4], output: &str) {
        let [top, left, bottom, right] = pad.map(|n| n as i64);
        let raw = [0, 0, top, left, 0, 0, bottom, right].map(i64::to_le_bytes).concat();
        let pads = self.tensor(&format!("{output}/pads"), &[8], DataType::Int64, raw);
        self.node("Pad", &[x, &pads], output, vec![]);
    }

    /// Adds a graph input.
    pub fn input(&mut self, name: &str, dims: &[usize]) {
        self.graph.input.push(float_value(name, dims));
    }

    /// Adds a graph output.
    pub fn output(&mut self, name: &str, dims: &[usize]) {
        self.graph.output.push(float_value(name, dims));
    }

    /// Returns the file's bytes, opset 13.
    pub fn finish(mut self, labels: &[String]) -> Vec<u8> {
        self.graph.name = "foldnet".into();
        let mut properties = Vec::new();
        if !labels.is_empty() {
            let value = labels.join("\n");
            properties.push(pb::StringStringEntryProto { key: "labels".into(), value });
        }
        let model = pb::ModelProto {
            ir_version: 8,
            producer_name: "foldnet".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 13 }],
            graph: Some(self.graph),
            metadata_props: properties,
            ..Default::default()
        };
        model.encode_to_vec()
    }
}
