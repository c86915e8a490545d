//! The content of a TFLite file: tensors, operators and its metadata.

use crate::tflite::read::{File, FlatError, Table};
use crate::tflite::schema::{VERSION, buffer, code, model, node, operator, quantization, subgraph, tensor};

/// The largest number of tensors, and of operators: far more than in any network that classifies images.
const MOST: usize = 1 << 16;
/// The largest number of dimensions of a tensor, and of inputs or outputs of an operator.
const MOST_DIMS: usize = 8;
const MOST_INPUTS: usize = 256;

/// The reason why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The FlatBuffer is not valid.
    #[error(transparent)]
    Flat(#[from] FlatError),
    /// The model is not valid, or not one that Foldnet supports.
    #[error("{0}")]
    Model(String),
}

/// The content of a file.
pub struct Model<'f, 'a> {
    pub description: String,
    pub tensors: Vec<Tensor<'a>>,
    pub operators: Vec<Operator<'f, 'a>>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
    /// The metadata: names and bytes.
    pub metadata: Vec<(String, &'a [u8])>,
}

/// A tensor.
#[derive(Debug)]
pub struct Tensor<'a> {
    pub name: String,
    /// The lengths of its dimensions, −1 where they are open.
    pub shape: Vec<i32>,
    /// The number of its type.
    pub element: u8,
    /// The values of a constant.
    pub data: Option<&'a [u8]>,
    pub scale: Vec<f32>,
    pub zero: Vec<i64>,
    /// The dimension of the scales.
    pub axis: usize,
    /// Whether its values are packed without zeros.
    pub sparse: bool,
}

/// An operator.
pub struct Operator<'f, 'a> {
    /// Its index in the file.
    pub index: usize,
    pub code: i32,
    /// The name of an operator that is not TFLite's own.
    pub custom: Option<String>,
    /// The inputs; `None` for those that are left out.
    pub inputs: Vec<Option<usize>>,
    pub outputs: Vec<usize>,
    pub options_type: u8,
    pub options: Option<Table<'f, 'a>>,
}

fn bad<T>(problem: String) -> Result<T, FileError> {
    Err(FileError::Model(problem))
}

/// Reads a file.
pub fn read<'f, 'a>(file: &'f File<'a>) -> Result<Model<'f, 'a>, FileError> {
    let root = file.root()?;
    let version = root.int(model::VERSION, 0)?;
    if version != VERSION {
        return bad(format!("it is of the schema's version {version}; version {VERSION} is known"));
    }
    let buffers = root.tables(model::BUFFERS)?;
    let data = |index: i32| -> Result<Option<&'a [u8]>, FileError> {
        let Some(table) = usize::try_from(index).ok().and_then(|i| buffers.get(i)) else {
            return bad(format!("there is no buffer {index}"));
        };
        let (offset, size) = (table.long(buffer::OFFSET)?, table.long(buffer::SIZE)?);
        if offset > 1 {
            return Ok(Some(file.slice(offset, size)?));
        }
        Ok(table.bytes(buffer::DATA)?.filter(|bytes| !bytes.is_empty()))
    };
    let graphs = root.tables(model::SUBGRAPHS)?;
    let [graph] = graphs[..] else {
        let names = graphs.iter().take(4).map(|g| g.text(subgraph::NAME)).collect::<Result<Vec<_>, _>>()?;
        return bad(format!(
            "it has {} subgraphs ({}); one is supported: convert the function that classifies by itself",
            graphs.len(),
            names.join(", ")
        ));
    };
    let tables = graph.tables(subgraph::TENSORS)?;
    let nodes = graph.tables(subgraph::OPERATORS)?;
    if tables.len().max(nodes.len()) > MOST {
        return bad(format!("it has {} tensors and {} operators", tables.len(), nodes.len()));
    }
    let mut tensors = Vec::with_capacity(tables.len());
    for (id, table) in tables.iter().enumerate() {
        tensors.push(read_tensor(id, table, data(table.int(tensor::BUFFER, 0)?)?)?);
    }
    let codes = root.tables(model::OPERATOR_CODES)?;
    let mut operators = Vec::with_capacity(nodes.len());
    for (index, table) in nodes.iter().enumerate() {
        operators.push(read_operator(index, table, &codes, tensors.len())?);
    }
    let list = |field: u16, what: &str| -> Result<Vec<usize>, FileError> {
        graph.ints(field)?.into_iter().map(|i| place(i, tensors.len(), what)).collect()
    };
    let mut metadata = Vec::new();
    for table in root.tables(model::METADATA)? {
        if let Some(bytes) = data(table.int(1, 0)?)? {
            metadata.push((table.text(0)?, bytes));
        }
    }
    let (inputs, outputs) = (list(subgraph::INPUTS, "the input")?, list(subgraph::OUTPUTS, "the output")?);
    Ok(Model { description: root.text(model::DESCRIPTION)?, tensors, operators, inputs, outputs, metadata })
}

/// Checks that a number refers to a tensor, and returns it.
fn place(index: i32, tensors: usize, what: &str) -> Result<usize, FileError> {
    match usize::try_from(index).ok().filter(|&i| i < tensors) {
        Some(index) => Ok(index),
        None => bad(format!("{what} is tensor {index}; there are {tensors}")),
    }
}

fn read_tensor<'a>(
    id: usize,
    table: &Table<'_, 'a>,
    data: Option<&'a [u8]>,
) -> Result<Tensor<'a>, FileError> {
    let name = table.text(tensor::NAME)?;
    let stated = table.ints(tensor::SHAPE)?;
    let open = table.ints(tensor::SHAPE_SIGNATURE)?;
    // The first shape has a 1 where the second marks a length as open.
    let shape = if open.len() == stated.len() { open } else { stated };
    if shape.len() > MOST_DIMS || shape.iter().any(|&n| n < -1) {
        return bad(format!("tensor {id} ({name}) has {} dimensions, or negative ones", shape.len()));
    }
    let (mut scale, mut zero, mut axis) = (Vec::new(), Vec::new(), 0);
    if let Some(quantized) = table.table(tensor::QUANTIZATION)? {
        scale = quantized.floats(quantization::SCALE)?;
        zero = quantized.longs(quantization::ZERO_POINT)?;
        axis = usize::try_from(quantized.int(quantization::AXIS, 0)?).unwrap_or(usize::MAX);
    }
    if !zero.is_empty() && zero.len() != scale.len() {
        return bad(format!(
            "tensor {id} ({name}) has {} scales and {} zero points",
            scale.len(),
            zero.len()
        ));
    }
    if let Some(scale) = scale.iter().find(|s| !s.is_finite() || **s < 0.0) {
        return bad(format!("tensor {id} ({name}) has the scale {scale}"));
    }
    zero.resize(scale.len(), 0);
    let element = table.byte(tensor::TYPE)?;
    let sparse = table.table(tensor::SPARSITY)?.is_some();
    Ok(Tensor { name, shape, element, data, scale, zero, axis, sparse })
}

fn read_operator<'f, 'a>(
    index: usize,
    table: &Table<'f, 'a>,
    codes: &[Table<'f, 'a>],
    tensors: usize,
) -> Result<Operator<'f, 'a>, FileError> {
    let number = table.int(node::CODE, 0)?;
    let Some(kind) = usize::try_from(number).ok().and_then(|i| codes.get(i)) else {
        return bad(format!("operator {index} has code {number}; there are {}", codes.len()));
    };
    let deprecated = i32::from(kind.byte(code::DEPRECATED)? as i8);
    let code = kind.int(code::BUILTIN, 0)?.max(deprecated);
    let custom = (code == operator::CUSTOM).then(|| kind.text(code::CUSTOM)).transpose()?;
    let (inputs, outputs) = (table.ints(node::INPUTS)?, table.ints(node::OUTPUTS)?);
    if inputs.len().max(outputs.len()) > MOST_INPUTS {
        return bad(format!("operator {index} has {} inputs and {} outputs", inputs.len(), outputs.len()));
    }
    let input = |i: i32| match i {
        -1 => Ok(None),
        _ => place(i, tensors, &format!("an input of operator {index}")).map(Some),
    };
    let output = |i: i32| place(i, tensors, &format!("an output of operator {index}"));
    Ok(Operator {
        index,
        code,
        custom,
        inputs: inputs.into_iter().map(input).collect::<Result<_, _>>()?,
        outputs: outputs.into_iter().map(output).collect::<Result<_, _>>()?,
        options_type: table.byte(node::OPTIONS_TYPE)?,
        options: table.table(node::OPTIONS)?,
    })
}
