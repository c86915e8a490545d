//! Writes the archive file.
//!
//! The result is reproducible: it has a fixed order, no times and no owners, so the same network gives the same
//! bytes. The bytes are written to a temporary file beside the target, which is renamed when it is complete.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, GzBuilder};

use crate::Network;
use crate::error::ArchiveError;
use crate::manifest::{Manifest, PROOF};
use crate::write_graph::write_graph;

/// Packs an archive in memory.
pub fn pack(network: &Network, manifest: &Manifest) -> Vec<u8> {
    let (graph, tensors) = write_graph(network);
    let text = |result: Result<String, toml::ser::Error>| result.expect("a manifest is plain data");
    // The proof is a member of its own, since earlier releases refuse keys that they do not know.
    let toml = text(toml::to_string(&Manifest { proof: None, ..manifest.clone() }));
    let gzip = GzBuilder::new().write(Vec::new(), Compression::default());
    let mut tar = tar::Builder::new(gzip);
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).expect("writing to memory");
    };
    add("foldnet.toml", toml.as_bytes());
    add("graph.nnef", graph.as_bytes());
    for (name, bytes) in &tensors {
        add(&format!("{name}.dat"), bytes);
    }
    for npu in &manifest.npu {
        add(&npu.member(), &npu.model);
    }
    if let Some(proof) = &manifest.proof {
        add(PROOF, text(toml::to_string(proof)).as_bytes());
    }
    let gzip = tar.into_inner().expect("writing to memory");
    gzip.finish().expect("writing to memory")
}

/// Writes an archive completely or not at all; returns its size in bytes. A device file, such as `/dev/full`, is
/// written to directly.
pub fn write(path: &Path, network: &Network, manifest: &Manifest) -> Result<u64, ArchiveError> {
    let bytes = pack(network, manifest);
    write_file(path, &bytes).map_err(|source| ArchiveError::Io { path: path.into(), source })?;
    Ok(bytes.len() as u64)
}

/// Writes a file and gives it its final name only when it is complete and on disk.
pub fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new().prefix(".foldnet-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
