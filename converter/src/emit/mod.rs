//! From a quantized network to files for other engines and machines. The archive itself is written by
//! [`foldnet_archive::write`].

pub mod plan;
pub mod qdq;
