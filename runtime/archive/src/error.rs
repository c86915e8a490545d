//! Errors of reading and writing archives.

use std::path::PathBuf;

use foldnet_kernels::network::GraphError;

use crate::{FORMAT, OLDEST_FORMAT};

/// The reason why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system reported an error.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not a gzipped tar with the two files that every archive contains.
    #[error("{0}: not a Foldnet archive: {1}. `converter quantize` makes one from an ONNX model")]
    NotAnArchive(PathBuf, String),
    /// Another version wrote the archive.
    #[error("{path}: archive format {found}; this build reads formats {OLDEST_FORMAT} to {FORMAT}. Convert the model again with this build's `converter`", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in `foldnet.toml`.
        found: u32,
    },
    /// `foldnet.toml` is not valid.
    #[error("{path}: foldnet.toml: {message}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The problem and its place.
        message: String,
    },
    /// `graph.nnef` or a tensor file is not valid.
    #[error("{path}: {problem}", path = path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// The problem and its place.
        problem: GraphError,
    },
}
