//! ONNX operators, one file per family, and the table that names them.

mod activation;
mod channel_conv;
mod conv;
mod dense;
mod elementwise;
mod function;
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
    ("Abs", function::plain),
    ("Acos", function::plain),
    ("Acosh", function::plain),
    ("Add", elementwise::add),
    ("And", function::plain),
    ("Asin", function::plain),
    ("Asinh", function::plain),
    ("Atan", function::plain),
    ("Atanh", function::plain),
    ("AveragePool", pool::average),
    ("BatchNormalization", norm::batch),
    ("Cast", layout::pass),
    ("Ceil", function::plain),
    ("Celu", activation::celu),
    ("Clip", activation::clip),
    ("Conv", conv::conv),
    ("Cos", function::plain),
    ("Cosh", function::plain),
    ("DequantizeLinear", quantized::dequantize),
    ("Div", elementwise::div),
    ("Dropout", layout::pass),
    ("Elu", activation::elu),
    ("Equal", function::plain),
    ("Erf", function::plain),
    ("Exp", function::plain),
    ("Expand", layout::expand),
    ("Flatten", layout::flatten),
    ("Floor", function::plain),
    ("Gelu", activation::gelu),
    ("Gemm", dense::gemm),
    ("GlobalAveragePool", pool::global_average),
    ("GlobalMaxPool", pool::global_max),
    ("Greater", function::plain),
    ("GreaterOrEqual", function::plain),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("Identity", layout::pass),
    ("LeakyRelu", activation::leaky_relu),
    ("Less", function::plain),
    ("LessOrEqual", function::plain),
    ("Log", function::plain),
    ("MatMul", dense::matmul),
    ("Max", activation::extremum),
    ("MaxPool", pool::max),
    ("Min", activation::extremum),
    ("Mish", activation::mish),
    ("Mul", elementwise::mul),
    ("Neg", function::plain),
    ("Not", function::plain),
    ("Or", function::plain),
    ("PRelu", activation::prelu),
    ("Pad", pad::pad),
    ("Pow", elementwise::pow),
    ("QGemm", quantized::gemm),
    ("QLinearAdd", quantized::add),
    ("QLinearConv", quantized::conv),
    ("QLinearGlobalAveragePool", quantized::global_average),
    ("QLinearMatMul", quantized::matmul),
    ("QuantizeLinear", quantized::quantize),
    ("Reciprocal", function::plain),
    ("ReduceMean", pool::reduce_mean),
    ("Relu", activation::relu),
    ("Reshape", layout::reshape),
    ("Round", function::plain),
    ("Selu", activation::selu),
    ("Shape", layout::shape),
    ("Shrink", activation::shrink),
    ("Sigmoid", function::plain),
    ("Sign", function::plain),
    ("Sin", function::plain),
    ("Sinh", function::plain),
    ("Softmax", activation::softmax),
    ("Softplus", function::plain),
    ("Softsign", function::plain),
    ("Sqrt", function::plain),
    ("Squeeze", layout::squeeze),
    ("Sub", elementwise::sub),
    ("Sum", elementwise::add),
    ("Swish", activation::swish),
    ("Tan", function::plain),
    ("Tanh", function::plain),
    ("ThresholdedRelu", activation::thresholded_relu),
    ("Transpose", layout::transpose),
    ("Unsqueeze", layout::unsqueeze),
    ("Where", function::plain),
    ("Xor", function::plain),
];
