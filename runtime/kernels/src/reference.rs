//! The arithmetic of every operator, by name: naive loops over plain NHWC int8.
//!
//! Each function stands in its operator's file, see [`crate::op`]. Every kernel set must give these bits.
//! Nothing here is fast, and nothing here may become so.

pub use crate::op::add::{add, add_one};
pub use crate::op::affine::affine;
pub use crate::op::avg_pool::avg_pool;
pub use crate::op::conv::{ConvResult, conv, conv_row};
#[cfg(feature = "gates")]
pub use crate::op::dequantize::dequantize;
pub use crate::op::max_pool::max_pool;
#[cfg(feature = "gates")]
pub use crate::op::scale::{gain, scale};
#[cfg(feature = "gates")]
pub use crate::op::sum::sum;
#[cfg(feature = "gates")]
pub use crate::op::table::table;
