//! ONNX operators, one file per family, and the table that names them.

mod activation;
mod channel_conv;
mod conv;
mod dense;
mod elementwise;
mod layout;
mod norm;
mod pad;
mod pool;
mod quantized;

use super::Importer;
use super::node::{Node, Problem};

type Take = for<'a> fn(&mut Importer<'a>, Node<'a>) -> Result<(), Problem>;

/// The operators that may be applied to what is computed from the picture.
pub(super) const TABLE: &[(&str, Take)] = &[
    ("Add", elementwise::add),
    ("AveragePool", pool::average),
    ("BatchNormalization", norm::batch),
    ("Cast", layout::pass),
    ("Clip", activation::clip),
    ("Conv", conv::conv),
    ("DequantizeLinear", quantized::dequantize),
    ("Div", elementwise::div),
    ("Dropout", layout::pass),
    ("Expand", layout::expand),
    ("Flatten", layout::flatten),
    ("Gemm", dense::gemm),
    ("GlobalAveragePool", pool::global_average),
    ("GlobalMaxPool", pool::global_max),
    ("Identity", layout::pass),
    ("MatMul", dense::matmul),
    ("Max", activation::max),
    ("MaxPool", pool::max),
    ("Mul", elementwise::mul),
    ("Pad", pad::pad),
    ("QGemm", quantized::gemm),
    ("QLinearAdd", quantized::add),
    ("QLinearConv", quantized::conv),
    ("QLinearGlobalAveragePool", quantized::global_average),
    ("QLinearMatMul", quantized::matmul),
    ("QuantizeLinear", quantized::quantize),
    ("ReduceMean", pool::reduce_mean),
    ("Relu", activation::relu),
    ("Reshape", layout::reshape),
    ("Shape", layout::shape),
    ("Sigmoid", activation::sigmoid),
    ("Softmax", activation::softmax),
    ("Squeeze", layout::squeeze),
    ("Sub", elementwise::sub),
    ("Sum", elementwise::add),
    ("Tanh", activation::tanh),
    ("Transpose", layout::transpose),
    ("Unsqueeze", layout::unsqueeze),
];
