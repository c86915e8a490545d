//! The quantized network ([`Network`]), what goes with it ([`Manifest`]), and the archive that holds
//! both.
//!
//! An archive (`model.nnef.tgz`) is NNEF that stock tract runs, bit for bit as we do: the graph is
//! written in fragments that the file itself defines in tract's operators. Our reader knows the
//! fragments by name. See `vocabulary.rs` for the words and `container.rs` for the file.

mod container;
mod dat;
mod error;
mod manifest;
mod network;
mod open;
mod output;
mod read_graph;
mod statements;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod vocabulary;
mod write_graph;

pub use container::{pack, read, unpack, write, write_file};
pub use error::{ArchiveError, GraphError};
pub use manifest::{
    Calibration, FORMAT, Input, MAX_BATCH, Manifest, NpuModel, OLDEST_FORMAT, Resize, SourceModel,
};
pub use network::{
    Activation, Add, Affine, AvgPool, Conv, Dequantize, MaxPool, Network, NetworkError, Out, PIXELS, Scale,
    SecondOutput, Step, Sum, Table, Tensor, TensorId, Term,
};
pub use open::open_file;
pub use output::{OutputKind, Scores};
