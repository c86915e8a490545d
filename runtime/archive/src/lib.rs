//! The quantized network ([`Network`]), its description ([`Manifest`]), and the archive that contains both.
//!
//! An archive (`model.nnef.tgz`) is NNEF that stock tract runs with the same bits as our kernels. The graph is
//! written in fragments, which the file itself defines in tract's operators. Our reader knows the fragments by
//! name. See `vocabulary.rs` for the fragments and `container.rs` for the file.

mod container;
mod dat;
mod error;
mod manifest;
mod open;
mod output;
mod read_graph;
mod statements;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod vocabulary;
#[cfg(feature = "write")]
mod write;
#[cfg(feature = "write")]
mod write_graph;

pub use container::{read, unpack};
pub use error::ArchiveError;
pub use foldnet_kernels::network::{
    Activation, GraphError, Network, NetworkError, Out, PIXELS, StepError, Tensor, TensorId,
};
pub use foldnet_kernels::op::add::Add;
pub use foldnet_kernels::op::affine::Affine;
pub use foldnet_kernels::op::avg_pool::AvgPool;
pub use foldnet_kernels::op::channel_table::ChannelTable;
pub use foldnet_kernels::op::conv::{Conv, SecondOutput, oihw};
pub use foldnet_kernels::op::dequantize::Dequantize;
pub use foldnet_kernels::op::max_pool::MaxPool;
pub use foldnet_kernels::op::scale::Scale;
pub use foldnet_kernels::op::sum::{Sum, Term};
pub use foldnet_kernels::op::table::Table;
pub use foldnet_kernels::op::{Kind, Step};
pub use manifest::{
    Calibration, FORMAT, Input, MAX_BATCH, Manifest, NpuModel, OLDEST_FORMAT, Proof, Resize, SourceModel,
    digest,
};
pub use open::open_file;
pub use output::{OutputKind, Scores};
#[cfg(feature = "write")]
pub use write::{pack, write, write_file};
