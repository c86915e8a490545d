//! The numbers of TFLite's schema (`tensorflow/lite/schema/schema.fbs`, version 3) and of its metadata
//! (`metadata_schema.fbs`) that the reader or the writer needs.

/// The schema's version.
pub const VERSION: i32 = 3;
/// The identifier after a file's first four bytes.
pub const IDENTIFIER: [u8; 4] = *b"TFL3";

/// `BuiltinOperator`.
pub mod operator {
    pub const ADD: i32 = 0;
    pub const AVERAGE_POOL_2D: i32 = 1;
    pub const CONCATENATION: i32 = 2;
    pub const CONV_2D: i32 = 3;
    pub const DEPTHWISE_CONV_2D: i32 = 4;
    pub const DEQUANTIZE: i32 = 6;
    pub const FULLY_CONNECTED: i32 = 9;
    pub const L2_NORMALIZATION: i32 = 11;
    pub const LOGISTIC: i32 = 14;
    pub const MAX_POOL_2D: i32 = 17;
    pub const MUL: i32 = 18;
    pub const RELU: i32 = 19;
    pub const RELU_N1_TO_1: i32 = 20;
    pub const RELU6: i32 = 21;
    pub const RESHAPE: i32 = 22;
    pub const SOFTMAX: i32 = 25;
    pub const RESIZE_BILINEAR: i32 = 23;
    pub const TANH: i32 = 28;
    pub const PAD: i32 = 34;
    pub const TRANSPOSE: i32 = 39;
    pub const MEAN: i32 = 40;
    pub const SUB: i32 = 41;
    pub const DIV: i32 = 42;
    pub const SQUEEZE: i32 = 43;
    pub const STRIDED_SLICE: i32 = 45;
    pub const EXP: i32 = 47;
    pub const SPLIT: i32 = 49;
    pub const LOG_SOFTMAX: i32 = 50;
    pub const PRELU: i32 = 54;
    pub const MAXIMUM: i32 = 55;
    pub const MINIMUM: i32 = 57;
    pub const NEG: i32 = 59;
    pub const PADV2: i32 = 60;
    pub const SLICE: i32 = 65;
    pub const EXPAND_DIMS: i32 = 70;
    pub const SUM: i32 = 74;
    pub const SQRT: i32 = 75;
    pub const RSQRT: i32 = 76;
    pub const POW: i32 = 78;
    pub const REDUCE_MAX: i32 = 82;
    pub const SQUARE: i32 = 92;
    pub const RESIZE_NEAREST_NEIGHBOR: i32 = 97;
    pub const LEAKY_RELU: i32 = 98;
    pub const ABS: i32 = 101;
    pub const SPLIT_V: i32 = 102;
    pub const ELU: i32 = 111;
    pub const QUANTIZE: i32 = 114;
    pub const HARD_SWISH: i32 = 117;
    pub const CUSTOM: i32 = 32;
    pub const GELU: i32 = 150;
    pub const RELU_0_TO_1: i32 = 152;
}

/// `BuiltinOptions`.
pub mod options {
    pub const CONV_2D: u8 = 1;
    pub const DEPTHWISE_CONV_2D: u8 = 2;
    pub const POOL_2D: u8 = 5;
    pub const FULLY_CONNECTED: u8 = 8;
    pub const SOFTMAX: u8 = 9;
    pub const CONCATENATION: u8 = 10;
    pub const ADD: u8 = 11;
    pub const RESHAPE: u8 = 17;
    pub const MUL: u8 = 21;
    pub const PAD: u8 = 22;
    pub const REDUCER: u8 = 27;
    pub const SUB: u8 = 28;
    pub const DIV: u8 = 29;
    pub const STRIDED_SLICE: u8 = 32;
    pub const MAXIMUM_MINIMUM: u8 = 39;
    pub const PAD_V2: u8 = 43;
    pub const LEAKY_RELU: u8 = 75;
    pub const QUANTIZE: u8 = 89;
    pub const GELU: u8 = 116;
}

/// `TensorType`.
pub mod element {
    pub const FLOAT32: u8 = 0;
    pub const FLOAT16: u8 = 1;
    pub const INT32: u8 = 2;
    pub const UINT8: u8 = 3;
    pub const INT64: u8 = 4;
    pub const INT16: u8 = 7;
    pub const INT8: u8 = 9;
}

/// Fields and numbers of the metadata.
pub mod metadata {
    // Of the model.
    pub const NAME: u16 = 0;
    pub const SUBGRAPHS: u16 = 3;
    pub const LEAST_VERSION: u16 = 7;
    // Of a subgraph.
    pub const INPUTS: u16 = 2;
    pub const OUTPUTS: u16 = 3;
    // Of a tensor.
    pub const TENSOR_NAME: u16 = 0;
    pub const TENSOR_CONTENT: u16 = 3;
    pub const PROCESS_UNITS: u16 = 4;
    pub const STATS: u16 = 5;
    pub const ASSOCIATED_FILES: u16 = 6;
    // Of a tensor's content; `ContentProperties`.
    pub const CONTENT_TYPE: u16 = 0;
    pub const CONTENT: u16 = 1;
    pub const IMAGE: u8 = 2;
    pub const COLOR_SPACE: u16 = 0;
    // Of a process unit; `ProcessUnitOptions`.
    pub const PROCESS_TYPE: u16 = 0;
    pub const PROCESS: u16 = 1;
    pub const NORMALIZATION: u8 = 1;
    pub const MEAN: u16 = 0;
    pub const STD: u16 = 1;
    // Of an associated file; `AssociatedFileType`.
    pub const FILE_NAME: u16 = 0;
    pub const FILE_TYPE: u16 = 2;
    pub const AXIS_LABELS: u8 = 2;
    /// The name under which a model has metadata.
    pub const KEY: &str = "TFLITE_METADATA";
}

/// Fields of a model.
pub mod model {
    pub const VERSION: u16 = 0;
    pub const OPERATOR_CODES: u16 = 1;
    pub const SUBGRAPHS: u16 = 2;
    pub const DESCRIPTION: u16 = 3;
    pub const BUFFERS: u16 = 4;
    pub const METADATA: u16 = 6;
}

/// Fields of a subgraph.
pub mod subgraph {
    pub const TENSORS: u16 = 0;
    pub const INPUTS: u16 = 1;
    pub const OUTPUTS: u16 = 2;
    pub const OPERATORS: u16 = 3;
    pub const NAME: u16 = 4;
}

/// Fields of a tensor.
pub mod tensor {
    pub const SHAPE: u16 = 0;
    pub const TYPE: u16 = 1;
    pub const BUFFER: u16 = 2;
    pub const NAME: u16 = 3;
    pub const QUANTIZATION: u16 = 4;
    pub const SPARSITY: u16 = 6;
    pub const SHAPE_SIGNATURE: u16 = 7;
}

/// Fields of a tensor's quantization.
pub mod quantization {
    pub const SCALE: u16 = 2;
    pub const ZERO_POINT: u16 = 3;
    pub const AXIS: u16 = 6;
}

/// Fields of an operator's code.
pub mod code {
    /// One byte, which readers older than the operators above 126 use.
    pub const DEPRECATED: u16 = 0;
    pub const CUSTOM: u16 = 1;
    pub const VERSION: u16 = 2;
    pub const BUILTIN: u16 = 3;
}

/// Fields of an operator in a subgraph.
pub mod node {
    pub const CODE: u16 = 0;
    pub const INPUTS: u16 = 1;
    pub const OUTPUTS: u16 = 2;
    pub const OPTIONS_TYPE: u16 = 3;
    pub const OPTIONS: u16 = 4;
}

/// Fields of a buffer.
pub mod buffer {
    pub const DATA: u16 = 0;
    /// The position of the data in a file that is larger than a FlatBuffer can be.
    pub const OFFSET: u16 = 1;
    pub const SIZE: u16 = 2;
}

/// `ActivationFunctionType`.
pub mod fused {
    pub const NONE: u8 = 0;
    pub const RELU: u8 = 1;
    pub const RELU_N1_TO_1: u8 = 2;
    pub const RELU6: u8 = 3;
    pub const TANH: u8 = 4;
}

/// Returns the name of the operator with this number.
pub fn operator_name(code: i32) -> String {
    let name = usize::try_from(code).ok().and_then(|i| OPERATORS.get(i));
    name.map_or_else(|| format!("operator number {code}"), |name| (*name).into())
}

/// Returns the name of the value type with this number.
pub fn element_name(element: u8) -> String {
    let name = ELEMENTS.get(usize::from(element));
    name.map_or_else(|| format!("number {element}"), |name| (*name).into())
}

const ELEMENTS: [&str; 23] = [
    "FLOAT32",
    "FLOAT16",
    "INT32",
    "UINT8",
    "INT64",
    "STRING",
    "BOOL",
    "INT16",
    "COMPLEX64",
    "INT8",
    "FLOAT64",
    "COMPLEX128",
    "UINT64",
    "RESOURCE",
    "VARIANT",
    "UINT32",
    "UINT16",
    "INT4",
    "BFLOAT16",
    "INT2",
    "UINT4",
    "FLOAT8_E4M3FN",
    "FLOAT8_E5M2",
];

const OPERATORS: [&str; 162] = [
    "ADD",
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEPTH_TO_SPACE",
    "DEQUANTIZE",
    "EMBEDDING_LOOKUP",
    "FLOOR",
    "FULLY_CONNECTED",
    "HASHTABLE_LOOKUP",
    "L2_NORMALIZATION",
    "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION",
    "LOGISTIC",
    "LSH_PROJECTION",
    "LSTM",
    "MAX_POOL_2D",
    "MUL",
    "RELU",
    "RELU_N1_TO_1",
    "RELU6",
    "RESHAPE",
    "RESIZE_BILINEAR",
    "RNN",
    "SOFTMAX",
    "SPACE_TO_DEPTH",
    "SVDF",
    "TANH",
    "CONCAT_EMBEDDINGS",
    "SKIP_GRAM",
    "CALL",
    "CUSTOM",
    "EMBEDDING_LOOKUP_SPARSE",
    "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "GATHER",
    "BATCH_TO_SPACE_ND",
    "SPACE_TO_BATCH_ND",
    "TRANSPOSE",
    "MEAN",
    "SUB",
    "DIV",
    "SQUEEZE",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "STRIDED_SLICE",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "EXP",
    "TOPK_V2",
    "SPLIT",
    "LOG_SOFTMAX",
    "DELEGATE",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "CAST",
    "PRELU",
    "MAXIMUM",
    "ARG_MAX",
    "MINIMUM",
    "LESS",
    "NEG",
    "PADV2",
    "GREATER",
    "GREATER_EQUAL",
    "LESS_EQUAL",
    "SELECT",
    "SLICE",
    "SIN",
    "TRANSPOSE_CONV",
    "SPARSE_TO_DENSE",
    "TILE",
    "EXPAND_DIMS",
    "EQUAL",
    "NOT_EQUAL",
    "LOG",
    "SUM",
    "SQRT",
    "RSQRT",
    "SHAPE",
    "POW",
    "ARG_MIN",
    "FAKE_QUANT",
    "REDUCE_PROD",
    "REDUCE_MAX",
    "PACK",
    "LOGICAL_OR",
    "ONE_HOT",
    "LOGICAL_AND",
    "LOGICAL_NOT",
    "UNPACK",
    "REDUCE_MIN",
    "FLOOR_DIV",
    "REDUCE_ANY",
    "SQUARE",
    "ZEROS_LIKE",
    "FILL",
    "FLOOR_MOD",
    "RANGE",
    "RESIZE_NEAREST_NEIGHBOR",
    "LEAKY_RELU",
    "SQUARED_DIFFERENCE",
    "MIRROR_PAD",
    "ABS",
    "SPLIT_V",
    "UNIQUE",
    "CEIL",
    "REVERSE_V2",
    "ADD_N",
    "GATHER_ND",
    "COS",
    "WHERE",
    "RANK",
    "ELU",
    "REVERSE_SEQUENCE",
    "MATRIX_DIAG",
    "QUANTIZE",
    "MATRIX_SET_DIAG",
    "ROUND",
    "HARD_SWISH",
    "IF",
    "WHILE",
    "NON_MAX_SUPPRESSION_V4",
    "NON_MAX_SUPPRESSION_V5",
    "SCATTER_ND",
    "SELECT_V2",
    "DENSIFY",
    "SEGMENT_SUM",
    "BATCH_MATMUL",
    "PLACEHOLDER_FOR_GREATER_OP_CODES",
    "CUMSUM",
    "CALL_ONCE",
    "BROADCAST_TO",
    "RFFT2D",
    "CONV_3D",
    "IMAG",
    "REAL",
    "COMPLEX_ABS",
    "HASHTABLE",
    "HASHTABLE_FIND",
    "HASHTABLE_IMPORT",
    "HASHTABLE_SIZE",
    "REDUCE_ALL",
    "CONV_3D_TRANSPOSE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "BROADCAST_ARGS",
    "RANDOM_STANDARD_NORMAL",
    "BUCKETIZE",
    "RANDOM_UNIFORM",
    "MULTINOMIAL",
    "GELU",
    "DYNAMIC_UPDATE_SLICE",
    "RELU_0_TO_1",
    "UNSORTED_SEGMENT_PROD",
    "UNSORTED_SEGMENT_MAX",
    "UNSORTED_SEGMENT_SUM",
    "ATAN2",
    "UNSORTED_SEGMENT_MIN",
    "SIGN",
    "BITCAST",
    "BITWISE_XOR",
    "RIGHT_SHIFT",
];
