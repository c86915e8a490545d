//! Constants: weights, and values computed from constants alone.
//!
//! A node whose inputs are all constants is run at import, and its result is a constant. The shape arithmetic that
//! exporters write before a Reshape therefore never reaches the graph.

mod along;
mod arithmetic;
mod bound;
mod convolve;
mod create;
mod einsum;
mod evaluate;
mod normalize;
mod product;
mod quantize;
mod read;
mod reduce;
mod tensor;
mod top_k;
mod walk;

use std::sync::Arc;

use super::node::Problem;
pub use create::dimensions;
pub use evaluate::evaluate;
pub use read::read;
pub use tensor::{Kind, Tensor};

/// A constant.
pub type Constant = Arc<Tensor>;

/// Returns a node's input, which must be given.
fn input<'c>(inputs: &[Option<&'c Constant>], i: usize) -> Result<&'c Constant, Problem> {
    inputs.get(i).copied().flatten().ok_or_else(|| format!("input {i} is missing"))
}

/// Converts a constant to f32.
pub fn floats(constant: &Constant) -> Vec<f32> {
    constant.floats().into_owned()
}

/// Converts a constant to integers.
pub fn integers(constant: &Constant) -> Vec<i64> {
    constant.integers().into_owned()
}
