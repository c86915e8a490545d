//! What can go wrong with an archive.

use std::path::PathBuf;

use foldnet_kernels::network::GraphError;

use crate::{FORMAT, OLDEST_FORMAT};

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system said no.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Not a gzipped tar with the two files that make an archive.
    #[error("{0}: not a Foldnet archive: {1}. `converter quantize` makes one from an ONNX model")]
    NotAnArchive(PathBuf, String),
    /// Written by another version.
    #[error("{path}: archive format {found}; this build reads formats {OLDEST_FORMAT} to {FORMAT}. Convert the model again with this build's `converter`", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What `foldnet.toml` says.
        found: u32,
    },
    /// `foldnet.toml` cannot be understood.
    #[error("{path}: foldnet.toml: {message}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What and where.
        message: String,
    },
    /// `graph.nnef` or a tensor file cannot be understood.
    #[error("{path}: {problem}", path = path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What and where.
        problem: GraphError,
    },
}
