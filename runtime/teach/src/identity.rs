//! By what archives and images are known again.

use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::FileError;

/// The SHA-256 of an archive's file, by which a teaching file knows it.
pub fn hash_archive(archive: &Path) -> Result<[u8; 32], FileError> {
    let io = |source| FileError::Io { path: archive.into(), source };
    let mut file = foldnet_archive::open_file(archive).map_err(io)?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece).map_err(io)? {
            0 => return Ok(hash.finalize().into()),
            n => hash.update(&piece[..n]),
        }
    }
}

/// The number by which the same image is known again: of the pixels that the network reads.
pub fn hash_pixels(pixels: &[u8]) -> u64 {
    u64::from_le_bytes(Sha256::digest(pixels)[..8].try_into().expect("eight bytes"))
}
