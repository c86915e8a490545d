//! The definition: naive loops over plain NHWC int8, one operator per file.
//!
//! Every kernel set must give these bits. Nothing here is fast, and nothing here may become so.

mod add;
mod affine;
mod avg_pool;
mod conv;
mod dequantize;
mod max_pool;
mod scale;
mod sum;
mod table;

pub use add::{add, add_one};
pub use affine::affine;
pub use avg_pool::avg_pool;
pub use conv::{ConvResult, conv, conv_row};
pub use dequantize::dequantize;
pub use max_pool::max_pool;
pub use scale::{gain, scale};
pub use sum::sum;
pub use table::table;
