//! A TFLite model (schema version 3), one tensor and one operator at a time.
//!
//! The schema has no table for the operators' versions for int8 and for the fields of their options, so these are
//! here.

use crate::tflite::schema::{
    self, code, element, model, node, operator, options, quantization, subgraph, tensor,
};
use crate::tflite::write::{Content, Table, file};

/// The index of a tensor in the model.
pub type Id = i32;

/// The function applied to an operator's result before it is rounded to int8 (`ActivationFunctionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fused {
    /// No function.
    None = schema::fused::NONE,
    /// max(x, 0).
    Relu = schema::fused::RELU,
}

/// `Padding`: none, or enough for ⌈input / stride⌉ rows and columns in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// With the odd element below and to the right.
    Same = 0,
    /// No padding.
    Valid = 1,
}

/// The movement of a window: vertical, horizontal.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The padding around the input.
    pub padding: Padding,
    /// The strides.
    pub stride: [usize; 2],
    /// The distance of its taps.
    pub dilation: [usize; 2],
}

/// An operator with its options.
#[derive(Clone, Copy, Debug)]
pub enum Operator {
    /// Two tensors, or a tensor and a broadcast one.
    Add(Fused),
    /// Joins tensors along an axis.
    Concatenation(usize),
    /// Input, weights OHWI, bias; whether each filter reads only a part of the channels.
    Conv2D(Window, bool, Fused),
    /// Input, weights 1HWO, bias; the number of outputs per input.
    DepthwiseConv2D(Window, usize, Fused),
    /// 1 / (1 + exp(−x)); output scale 1/256, zero point −128.
    Logistic,
    /// The height and width of the window.
    MaxPool2D(Window, [usize; 2]),
    /// The larger value.
    Maximum,
    /// Input, axes; the axes remain, with length 1.
    Mean,
    /// The smaller value.
    Minimum,
    /// Two tensors, or a tensor and a broadcast one.
    Mul(Fused),
    /// Input, `[axes, 2]` with the amounts before and after; pads with zeros.
    Pad,
    /// Like `Pad`, with a given value.
    PadV2,
    /// Converts to another scale and zero point.
    Quantize,
    /// Input, shape.
    Reshape,
    /// Hyperbolic tangent; output scale 1/128, zero point 0.
    Tanh,
}

impl Operator {
    /// Returns `BuiltinOperator`, and the version that supports int8 in this use.
    fn code(self) -> (i32, i32) {
        match self {
            Self::Add(_) => (operator::ADD, 2),
            Self::Concatenation(_) => (operator::CONCATENATION, 2),
            Self::Conv2D(_, grouped, _) => (operator::CONV_2D, if grouped { 6 } else { 3 }),
            Self::DepthwiseConv2D(..) => (operator::DEPTHWISE_CONV_2D, 3),
            Self::Logistic => (operator::LOGISTIC, 2),
            Self::MaxPool2D(..) => (operator::MAX_POOL_2D, 2),
            Self::Maximum => (operator::MAXIMUM, 2),
            Self::Mean => (operator::MEAN, 2),
            Self::Minimum => (operator::MINIMUM, 2),
            Self::Mul(_) => (operator::MUL, 2),
            Self::Pad => (operator::PAD, 2),
            Self::PadV2 => (operator::PADV2, 2),
            Self::Quantize => (operator::QUANTIZE, 2),
            Self::Reshape => (operator::RESHAPE, 1),
            Self::Tanh => (operator::TANH, 2),
        }
    }

    /// Returns `BuiltinOptions`: number and table.
    fn options(self) -> Option<(u8, Table)> {
        let table = Table::default();
        let int = |v: usize| Content::Int(v as i32);
        let fused = |f: Fused| Content::Byte(f as u8);
        // In the schema, the width comes first.
        let window = |w: Window| {
            table
                .clone()
                .with(0, Content::Byte(w.padding as u8))
                .with(1, int(w.stride[1]))
                .with(2, int(w.stride[0]))
        };
        match self {
            Self::Add(f) => Some((options::ADD, table.with(0, fused(f)))),
            Self::Concatenation(axis) => Some((options::CONCATENATION, table.with(0, int(axis)))),
            Self::Conv2D(w, _, f) => {
                let dilated = window(w).with(3, fused(f)).with(4, int(w.dilation[1]));
                Some((options::CONV_2D, dilated.with(5, int(w.dilation[0]))))
            }
            Self::DepthwiseConv2D(w, multiplier, f) => {
                let multiplied = window(w).with(3, int(multiplier)).with(4, fused(f));
                Some((
                    options::DEPTHWISE_CONV_2D,
                    multiplied.with(5, int(w.dilation[1])).with(6, int(w.dilation[0])),
                ))
            }
            Self::MaxPool2D(w, [height, width]) => {
                Some((options::POOL_2D, window(w).with(3, int(width)).with(4, int(height))))
            }
            Self::Maximum | Self::Minimum => Some((options::MAXIMUM_MINIMUM, table)),
            Self::Mean => Some((options::REDUCER, table.with(0, Content::Byte(1)))),
            Self::Mul(f) => Some((options::MUL, table.with(0, fused(f)))),
            Self::Pad => Some((options::PAD, table)),
            Self::PadV2 => Some((options::PAD_V2, table)),
            Self::Quantize => Some((options::QUANTIZE, table)),
            Self::Reshape => Some((options::RESHAPE, table)),
            Self::Logistic | Self::Tanh => None,
        }
    }
}

/// A model under construction.
pub struct Builder {
    tensors: Vec<Table>,
    buffers: Vec<Table>,
    codes: Vec<(i32, i32)>,
    operators: Vec<Table>,
}

impl Default for Builder {
    /// The first buffer is empty: it is that of every computed tensor.
    fn default() -> Self {
        Self { tensors: vec![], buffers: vec![Table::default()], codes: vec![], operators: vec![] }
    }
}

impl Builder {
    fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        of: u8,
        data: Option<Vec<u8>>,
        scales: Option<Table>,
    ) -> Id {
        let mut buffer = 0;
        if let Some(data) = data {
            buffer = self.buffers.len();
            self.buffers.push(Table::default().with(schema::buffer::DATA, Content::Bytes(data)));
        }
        let mut table = Table::default()
            .with(tensor::SHAPE, Content::Ints(shape.iter().map(|&n| n as i32).collect()))
            .with(tensor::TYPE, Content::Byte(of))
            .with(tensor::BUFFER, Content::Int(buffer as i32))
            .with(tensor::NAME, Content::Text(name.into()));
        if let Some(scales) = scales {
            table = table.with(tensor::QUANTIZATION, Content::Table(scales));
        }
        self.tensors.push(table);
        self.tensors.len() as Id - 1
    }

    /// Adds an int8 tensor that is computed, or the input.
    pub fn int8(&mut self, name: &str, shape: &[usize], scale: f32, zero: i8) -> Id {
        self.tensor(name, shape, element::INT8, None, Some(per_tensor(scale, zero)))
    }

    /// Adds an int8 constant.
    pub fn int8_constant(&mut self, name: &str, shape: &[usize], scale: f32, zero: i8, values: &[i8]) -> Id {
        let data = values.iter().map(|&v| v as u8).collect();
        self.tensor(name, shape, element::INT8, Some(data), Some(per_tensor(scale, zero)))
    }

    /// Adds an int8 constant with a scale for each slice along an axis.
    pub fn weights(&mut self, name: &str, shape: &[usize], axis: usize, scales: &[f32], values: &[i8]) -> Id {
        let data = values.iter().map(|&v| v as u8).collect();
        self.tensor(name, shape, element::INT8, Some(data), Some(per_channel(scales, axis)))
    }

    /// Adds an int32 constant with a scale for each value.
    pub fn bias(&mut self, name: &str, scales: &[f32], values: &[i32]) -> Id {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, &[values.len()], element::INT32, Some(data), Some(per_channel(scales, 0)))
    }

    /// Adds an int32 constant: shapes, axes, paddings.
    pub fn int32_constant(&mut self, name: &str, shape: &[usize], values: &[usize]) -> Id {
        let data = values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect();
        self.tensor(name, shape, element::INT32, Some(data), None)
    }

    /// Adds an operator.
    pub fn operator(&mut self, operator: Operator, inputs: &[Id], output: Id) {
        let code = operator.code();
        let index = self.codes.iter().position(|&c| c == code).unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        let mut table = Table::default()
            .with(node::CODE, Content::Int(index as i32))
            .with(node::INPUTS, Content::Ints(inputs.to_vec()))
            .with(node::OUTPUTS, Content::Ints(vec![output]));
        if let Some((number, options)) = operator.options() {
            table = table
                .with(node::OPTIONS_TYPE, Content::Byte(number))
                .with(node::OPTIONS, Content::Table(options));
        }
        self.operators.push(table);
    }

    /// Returns the file; `metadata` is a FlatBuffer of its own.
    pub fn finish(mut self, name: &str, input: Id, output: Id, metadata: Option<Vec<u8>>) -> Vec<u8> {
        let kind = |&(number, version): &(i32, i32)| {
            // Readers older than the operators above 126 use the first field.
            Table::default()
                .with(code::DEPRECATED, Content::Byte(number.min(127) as u8))
                .with(code::VERSION, Content::Int(version))
                .with(code::BUILTIN, Content::Int(number))
        };
        let graph = Table::default()
            .with(subgraph::TENSORS, Content::Tables(self.tensors))
            .with(subgraph::INPUTS, Content::Ints(vec![input]))
            .with(subgraph::OUTPUTS, Content::Ints(vec![output]))
            .with(subgraph::OPERATORS, Content::Tables(self.operators))
            .with(subgraph::NAME, Content::Text("main".into()));
        let metadata = metadata.map(|bytes| {
            self.buffers.push(Table::default().with(schema::buffer::DATA, Content::Bytes(bytes)));
            Table::default()
                .with(0, Content::Text(schema::metadata::KEY.into()))
                .with(1, Content::Int(self.buffers.len() as i32 - 1))
        });
        let root = Table::default()
            .with(model::VERSION, Content::Int(schema::VERSION))
            .with(model::OPERATOR_CODES, Content::Tables(self.codes.iter().map(kind).collect()))
            .with(model::SUBGRAPHS, Content::Tables(vec![graph]))
            .with(model::DESCRIPTION, Content::Text(name.into()))
            .with(model::BUFFERS, Content::Tables(self.buffers));
        let root = match metadata {
            Some(metadata) => root.with(model::METADATA, Content::Tables(vec![metadata])),
            None => root,
        };
        file(&root, schema::IDENTIFIER)
    }
}

fn per_tensor(scale: f32, zero: i8) -> Table {
    Table::default()
        .with(quantization::SCALE, Content::Floats(vec![scale]))
        .with(quantization::ZERO_POINT, Content::Longs(vec![i64::from(zero)]))
}

fn per_channel(scales: &[f32], axis: usize) -> Table {
    Table::default()
        .with(quantization::SCALE, Content::Floats(scales.to_vec()))
        .with(quantization::ZERO_POINT, Content::Longs(vec![0; scales.len()]))
        .with(quantization::AXIS, Content::Int(axis as i32))
}
