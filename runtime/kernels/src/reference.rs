//! The arithmetic of every operator, by name: naive loops over plain NHWC int8.
//!
//! Each function is defined in its operator's file, see [`crate::op`]. Every kernel set must compute the same
//! bits. The loops are not fast, and must not be made fast.

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
