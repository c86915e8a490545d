//! A TFLite model (schema version 3), one tensor and one operator at a time.
//!
//! The numbers are the schema's (`tensorflow/lite/schema/schema.fbs`): operators, their versions for int8,
//! their tables of options and the fields in them.

use super::flat::{Content, Table, file};

/// Index of a tensor in the model.
pub type Id = i32;

/// The schema's version.
const SCHEMA: i32 = 3;
const IDENTIFIER: [u8; 4] = *b"TFL3";

/// `TensorType`.
mod element {
    pub const INT32: u8 = 2;
    pub const INT8: u8 = 9;
}

/// What is applied to an operator's result before it is rounded to int8 (`ActivationFunctionType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fused {
    /// Nothing.
    None = 0,
    /// max(x, 0).
    Relu = 1,
}

/// `Padding`: none, or such that the output has ⌈input / stride⌉ rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// With the odd one below and to the right.
    Same = 0,
    /// None.
    Valid = 1,
}

/// How a window moves: vertical, horizontal.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Around the input.
    pub padding: Padding,
    /// Steps.
    pub stride: [usize; 2],
    /// Distance of its taps.
    pub dilation: [usize; 2],
}

/// An operator with its options.
#[derive(Clone, Copy, Debug)]
pub enum Operator {
    /// Two tensors, or a tensor and one that is broadcast.
    Add(Fused),
    /// Along an axis.
    Concatenation(usize),
    /// Input, weights OHWI, bias; whether its filters see a part of the channels.
    Conv2D(Window, bool, Fused),
    /// Input, weights 1HWO, bias; outputs for each input.
    DepthwiseConv2D(Window, usize, Fused),
    /// 1 / (1 + exp(−x)); output scale 1/256, zero point −128.
    Logistic,
    /// Height and width of the window.
    MaxPool2D(Window, [usize; 2]),
    /// The greater one.
    Maximum,
    /// Input, axes; the axes stay, with length 1.
    Mean,
    /// The smaller one.
    Minimum,
    /// Two tensors, or a tensor and one that is broadcast.
    Mul(Fused),
    /// Input, `[axes, 2]` of how much before and behind; what is put there is zero.
    Pad,
    /// The same with a value.
    PadV2,
    /// To another scale and zero point.
    Quantize,
    /// Input, shape.
    Reshape,
    /// Hyperbolic tangent; output scale 1/128, zero point 0.
    Tanh,
}

impl Operator {
    /// `BuiltinOperator`, and the version that has int8 in this use.
    fn code(self) -> (i32, i32) {
        match self {
            Self::Add(_) => (0, 2),
            Self::Concatenation(_) => (2, 2),
            Self::Conv2D(_, grouped, _) => (3, if grouped { 6 } else { 3 }),
            Self::DepthwiseConv2D(..) => (4, 3),
            Self::Logistic => (14, 2),
            Self::MaxPool2D(..) => (17, 2),
            Self::Maximum => (55, 2),
            Self::Mean => (40, 2),
            Self::Minimum => (57, 2),
            Self::Mul(_) => (18, 2),
            Self::Pad => (34, 2),
            Self::PadV2 => (60, 2),
            Self::Quantize => (114, 2),
            Self::Reshape => (22, 1),
            Self::Tanh => (28, 2),
        }
    }

    /// `BuiltinOptions`: number and table.
    fn options(self) -> Option<(u8, Table)> {
        let table = Table::default();
        let int = |v: usize| Content::Int(v as i32);
        let fused = |f: Fused| Content::Byte(f as u8);
        // The schema has the width first.
        let window = |w: Window| {
            table
                .clone()
                .with(0, Content::Byte(w.padding as u8))
                .with(1, int(w.stride[1]))
                .with(2, int(w.stride[0]))
        };
        match self {
            Self::Add(f) => Some((11, table.with(0, fused(f)))),
            Self::Concatenation(axis) => Some((10, table.with(0, int(axis)))),
            Self::Conv2D(w, _, f) => {
                let dilated = window(w).with(3, fused(f)).with(4, int(w.dilation[1]));
                Some((1, dilated.with(5, int(w.dilation[0]))))
            }
            Self::DepthwiseConv2D(w, multiplier, f) => {
                let multiplied = window(w).with(3, int(multiplier)).with(4, fused(f));
                Some((2, multiplied.with(5, int(w.dilation[1])).with(6, int(w.dilation[0]))))
            }
            Self::MaxPool2D(w, [height, width]) => {
                Some((5, window(w).with(3, int(width)).with(4, int(height))))
            }
            Self::Maximum | Self::Minimum => Some((39, table)),
            Self::Mean => Some((27, table.with(0, Content::Byte(1)))),
            Self::Mul(f) => Some((21, table.with(0, fused(f)))),
            Self::Pad => Some((22, table)),
            Self::PadV2 => Some((43, table)),
            Self::Quantize => Some((89, table)),
            Self::Reshape => Some((17, table)),
            Self::Logistic | Self::Tanh => None,
        }
    }
}

/// The model as it grows.
pub struct Builder {
    tensors: Vec<Table>,
    buffers: Vec<Table>,
    codes: Vec<(i32, i32)>,
    operators: Vec<Table>,
}

impl Default for Builder {
    /// The first buffer is empty: that of every tensor that is computed.
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
            self.buffers.push(Table::default().with(0, Content::Bytes(data)));
        }
        let mut table = Table::default()
            .with(0, Content::Ints(shape.iter().map(|&n| n as i32).collect()))
            .with(1, Content::Byte(of))
            .with(2, Content::Int(buffer as i32))
            .with(3, Content::Text(name.into()));
        if let Some(scales) = scales {
            table = table.with(4, Content::Table(scales));
        }
        self.tensors.push(table);
        self.tensors.len() as Id - 1
    }

    /// An int8 tensor that is computed, or the input.
    pub fn int8(&mut self, name: &str, shape: &[usize], scale: f32, zero: i8) -> Id {
        self.tensor(name, shape, element::INT8, None, Some(per_tensor(scale, zero)))
    }

    /// An int8 constant.
    pub fn int8_constant(&mut self, name: &str, shape: &[usize], scale: f32, zero: i8, values: &[i8]) -> Id {
        let data = values.iter().map(|&v| v as u8).collect();
        self.tensor(name, shape, element::INT8, Some(data), Some(per_tensor(scale, zero)))
    }

    /// An int8 constant with a scale for each slice along an axis.
    pub fn weights(&mut self, name: &str, shape: &[usize], axis: usize, scales: &[f32], values: &[i8]) -> Id {
        let data = values.iter().map(|&v| v as u8).collect();
        self.tensor(name, shape, element::INT8, Some(data), Some(per_channel(scales, axis)))
    }

    /// An int32 constant with a scale for each value.
    pub fn bias(&mut self, name: &str, scales: &[f32], values: &[i32]) -> Id {
        let data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, &[values.len()], element::INT32, Some(data), Some(per_channel(scales, 0)))
    }

    /// An int32 constant: shapes, axes, paddings.
    pub fn int32_constant(&mut self, name: &str, shape: &[usize], values: &[usize]) -> Id {
        let data = values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect();
        self.tensor(name, shape, element::INT32, Some(data), None)
    }

    /// An operator.
    pub fn operator(&mut self, operator: Operator, inputs: &[Id], output: Id) {
        let code = operator.code();
        let index = self.codes.iter().position(|&c| c == code).unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        let mut table = Table::default()
            .with(0, Content::Int(index as i32))
            .with(1, Content::Ints(inputs.to_vec()))
            .with(2, Content::Ints(vec![output]));
        if let Some((number, options)) = operator.options() {
            table = table.with(3, Content::Byte(number)).with(4, Content::Table(options));
        }
        self.operators.push(table);
    }

    /// The file.
    pub fn finish(self, name: &str, input: Id, output: Id) -> Vec<u8> {
        let code = |&(code, version): &(i32, i32)| {
            // Readers from before operators above 126 look at the first field.
            Table::default()
                .with(0, Content::Byte(code.min(127) as u8))
                .with(2, Content::Int(version))
                .with(3, Content::Int(code))
        };
        let graph = Table::default()
            .with(0, Content::Tables(self.tensors))
            .with(1, Content::Ints(vec![input]))
            .with(2, Content::Ints(vec![output]))
            .with(3, Content::Tables(self.operators))
            .with(4, Content::Text("main".into()));
        let model = Table::default()
            .with(0, Content::Int(SCHEMA))
            .with(1, Content::Tables(self.codes.iter().map(code).collect()))
            .with(2, Content::Tables(vec![graph]))
            .with(3, Content::Text(name.into()))
            .with(4, Content::Tables(self.buffers));
        file(&model, IDENTIFIER)
    }
}

fn per_tensor(scale: f32, zero: i8) -> Table {
    Table::default().with(2, Content::Floats(vec![scale])).with(3, Content::Longs(vec![i64::from(zero)]))
}

fn per_channel(scales: &[f32], axis: usize) -> Table {
    Table::default()
        .with(2, Content::Floats(scales.to_vec()))
        .with(3, Content::Longs(vec![0; scales.len()]))
        .with(6, Content::Int(axis as i32))
}
