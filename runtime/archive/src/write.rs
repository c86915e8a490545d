//! Writes the archive file.
//!
//! The result is reproducible: it has a fixed order, no times and no owners, so the same network gives the same
//! bytes. The bytes are written to a temporary file beside the target, which is renamed when it is complete.

use std::fs::File;
use std::io::{Error, ErrorKind, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use crate::Network;
use crate::error::ArchiveError;
use crate::manifest::{Manifest, PROOF, PROVENANCE};
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
    if let Some(provenance) = &manifest.provenance {
        add(PROVENANCE, provenance.as_bytes());
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
        return open_device(path)?.write_all(bytes);
    }
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".foldnet-")
        .tempfile_in(folder)
        .map_err(|e| without_name(&e, folder))?;
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

/// Opens a device or a pipe for writing. A FIFO that nobody reads is an error: opening it could wait forever.
fn open_device(path: &Path) -> std::io::Result<File> {
    #[cfg(unix)]
    let _reader = {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
        let fifo = std::fs::metadata(path)?.file_type().is_fifo();
        let open = || File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path);
        fifo.then(open).transpose().map_err(|error| match error.raw_os_error() {
            Some(libc::ENXIO) => Error::new(ErrorKind::InvalidInput, "a FIFO that nobody reads"),
            _ => error,
        })?
    };
    // The reader that is there does not leave before this is open, too.
    File::options().write(true).open(path)
}

/// The reason why a temporary file could not be made, without the file's name, which is of no use to anybody.
fn without_name(error: &Error, folder: &Path) -> Error {
    let message = if folder.exists() {
        error.to_string().split(" at path ").next().unwrap_or_default().to_owned()
    } else {
        format!("the folder {} does not exist", folder.display())
    };
    Error::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let place = tempfile::tempdir().unwrap();
        let said = write_file(&place.path().join("nodir/x"), b"x").unwrap_err().to_string();
        assert!(said.contains("nodir does not exist") && !said.contains(".foldnet-"), "{said}");
    }

    #[test]
    #[cfg(unix)]
    fn a_fifo_is_written_to_if_somebody_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("fifo");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(write_file(&path, b"hello").unwrap_err().to_string().contains("nobody reads"));
        let reader = std::thread::spawn({
            let path = path.clone();
            move || std::fs::read(path).unwrap()
        });
        // The reader needs a moment.
        while write_file(&path, b"hello").is_err() {
            std::thread::yield_now();
        }
        assert_eq!(reader.join().unwrap(), b"hello");
    }
}
