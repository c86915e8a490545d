//! The ONNX operators, one file per family, and their table.

mod activation;
mod channel_conv;
mod conv;
mod dense;
mod einsum;
mod elementwise;
mod function;
mod layout;
mod norm;
mod pad;
mod pool;
mod quantized;
mod reduce;
mod same;

use super::Importer;
use super::node::{Node, Problem};

pub use einsum::Equation;
pub use reduce::Half;

type Take = for<'a> fn(&mut Importer<'a>, Node<'a>) -> Result<(), Problem>;

/// The operators that may be applied to values computed from the image.
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
    ("Cast", same::cast),
    ("CastLike", same::cast_like),
    ("Ceil", function::plain),
    ("Celu", activation::celu),
    ("Clip", activation::clip),
    ("Conv", conv::conv),
    ("Cos", function::plain),
    ("Cosh", function::plain),
    ("DequantizeLinear", quantized::dequantize),
    ("Div", elementwise::div),
    ("Dropout", same::dropout),
    ("Einsum", einsum::einsum),
    ("Elu", activation::elu),
    ("Equal", function::plain),
    ("Erf", function::plain),
    ("Exp", function::plain),
    ("Expand", layout::expand),
    ("Flatten", layout::flatten),
    ("Floor", function::plain),
    ("FusedConv", conv::fused),
    ("Gelu", activation::gelu),
    ("Gemm", dense::gemm),
    ("GlobalAveragePool", pool::global_average),
    ("GlobalMaxPool", pool::global_max),
    ("Greater", function::plain),
    ("GreaterOrEqual", function::plain),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("Identity", same::identity),
    ("LeakyRelu", activation::leaky_relu),
    ("Less", function::plain),
    ("LessOrEqual", function::plain),
    ("Log", function::plain),
    ("LogSoftmax", activation::log_softmax),
    ("MatMul", dense::matmul),
    ("Max", activation::extremum),
    ("MaxPool", pool::max),
    ("Mean", elementwise::mean),
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
    ("ReduceMax", reduce::max),
    ("ReduceMean", reduce::mean),
    ("ReduceSum", reduce::sum),
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
    ("Size", layout::size),
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

/// Operators that do not read the numbers of their input.
pub(super) const UNREAD: &[&str] = &["Cast", "CastLike", "Dropout", "Identity", "Shape", "Size"];

/// Returns all operators that are supported on values computed from the image.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = TABLE.iter().map(|(name, _)| *name).chain(super::moves::names()).collect();
    names.push("If");
    names.sort_unstable();
    names.dedup();
    names
}
