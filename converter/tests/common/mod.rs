//! Small ONNX models, written node by node.
#![allow(dead_code, missing_docs)]

use foldnet_converter::onnx::attribute_proto::AttributeType;
use foldnet_converter::onnx::tensor_proto::DataType;
use foldnet_converter::onnx::tensor_shape_proto::{Dimension, dimension};
use foldnet_converter::onnx::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use prost::Message;

/// A model while it is written; weights come from a seed.
pub struct Onnx {
    pub model: ModelProto,
    state: u32,
}

/// An attribute's value.
pub enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Word(&'a str),
}

impl Onnx {
    /// A model with input `x`; a dimension of 0 is dynamic.
    pub fn new(opset: i64, input: &[i64]) -> Self {
        let mut model = ModelProto {
            ir_version: 8,
            producer_name: "test".into(),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
            graph: Some(GraphProto::default()),
            ..Default::default()
        };
        model.graph.as_mut().unwrap().input.push(value_info("x", input));
        Self { model, state: 1 }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.model.graph.as_mut().unwrap()
    }

    /// Numbers between −1 and 1.
    pub fn numbers(&mut self, n: usize) -> Vec<f32> {
        let mut next = || {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// An f32 initializer of seeded numbers.
    pub fn weight(mut self, name: &str, dims: &[i64]) -> Self {
        let values = self.numbers(dims.iter().product::<i64>() as usize);
        self.floats(name, dims, &values)
    }

    /// As [`Onnx::weight`], all positive: variances.
    pub fn positive(mut self, name: &str, dims: &[i64]) -> Self {
        let values: Vec<f32> =
            self.numbers(dims.iter().product::<i64>() as usize).iter().map(|v| v.abs() + 0.5).collect();
        self.floats(name, dims, &values)
    }

    pub fn floats(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.graph().initializer.push(TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Float as i32,
            raw_data,
            ..Default::default()
        });
        self
    }

    pub fn integers(mut self, name: &str, values: &[i64]) -> Self {
        self.graph().initializer.push(TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    /// `output = op(inputs)`; inputs and attributes by word.
    pub fn node(
        mut self,
        op: &str,
        inputs: &str,
        output: &str,
        attributes: &[(&str, Attribute<'_>)],
    ) -> Self {
        let attribute = attributes
            .iter()
            .map(|(name, value)| {
                let mut a = AttributeProto { name: (*name).into(), ..Default::default() };
                match value {
                    Attribute::Int(i) => (a.r#type, a.i) = (AttributeType::Int as i32, *i),
                    Attribute::Ints(v) => (a.r#type, a.ints) = (AttributeType::Ints as i32, v.to_vec()),
                    Attribute::Float(f) => (a.r#type, a.f) = (AttributeType::Float as i32, *f),
                    Attribute::Word(w) => {
                        (a.r#type, a.s) = (AttributeType::String as i32, w.as_bytes().to_vec())
                    }
                }
                a
            })
            .collect();
        self.graph().node.push(NodeProto {
            name: format!("{output}_node"),
            op_type: op.into(),
            input: inputs.split_whitespace().map(|i| if i == "-" { "" } else { i }.to_owned()).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        });
        self
    }

    /// Convolution with weights of its own.
    pub fn conv(
        self,
        input: &str,
        output: &str,
        dims: [i64; 4],
        attributes: &[(&str, Attribute<'_>)],
    ) -> Self {
        let (w, b) = (format!("{output}.w"), format!("{output}.b"));
        self.weight(&w, &dims).weight(&b, &dims[..1]).node(
            "Conv",
            &format!("{input} {w} {b}"),
            output,
            attributes,
        )
    }

    /// Batch normalisation with weights of its own.
    pub fn batch_norm(self, input: &str, output: &str, channels: i64) -> Self {
        let names = ["scale", "shift", "mean"].map(|n| format!("{output}.{n}"));
        let variance = format!("{output}.variance");
        let mut this = self;
        for name in &names {
            this = this.weight(name, &[channels]);
        }
        this = this.positive(&variance, &[channels]);
        let inputs = format!("{input} {} {variance}", names.join(" "));
        this.node("BatchNormalization", &inputs, output, &[("epsilon", Attribute::Float(1e-3))])
    }

    /// A line of metadata.
    pub fn says(mut self, key: &str, value: &str) -> Self {
        self.model.metadata_props.push(StringStringEntryProto { key: key.into(), value: value.into() });
        self
    }

    pub fn output(mut self, name: &str, dims: &[i64]) -> Self {
        self.graph().output.push(value_info(name, dims));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }
}

fn value_info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension {
        value: Some(match d {
            0 => dimension::Value::DimParam("n".into()),
            d => dimension::Value::DimValue(d),
        }),
    };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)) }),
    }
}

/// A classifier of 8×8 RGB images into `classes`, as PyTorch would write it.
pub fn small_classifier(classes: i64) -> Onnx {
    silent_classifier(classes).says("preprocess", "none")
}

/// As [`small_classifier`], but it does not state what training did to the pixels.
pub fn silent_classifier(classes: i64) -> Onnx {
    Onnx::new(13, &[1, 3, 8, 8])
        .conv("x", "c1", [8, 3, 3, 3], &[("pads", Attribute::Ints(&[1, 1, 1, 1]))])
        .batch_norm("c1", "n1", 8)
        .node("Relu", "n1", "r1", &[])
        .conv("r1", "c2", [8, 8, 3, 3], &[("pads", Attribute::Ints(&[1, 1, 1, 1]))])
        .node("Add", "c2 r1", "sum", &[])
        .node("Relu", "sum", "r2", &[])
        .node("GlobalAveragePool", "r2", "pooled", &[])
        .node("Flatten", "pooled", "flat", &[])
        .weight("fc.w", &[classes, 8])
        .weight("fc.b", &[classes])
        .node("Gemm", "flat fc.w fc.b", "logits", &[("transB", Attribute::Int(1))])
        .output("logits", &[1, classes])
}
