//! Keys and signatures of archives, in minisign's formats: Ed25519 over BLAKE2b.
//!
//! `minisign -Vm ARCHIVE -p KEY.pub` verifies what is signed here, and the board takes what `minisign -Sm`
//! signs.

use std::io::{Cursor, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use minisign::{KeyPair, PError, SecretKey, SecretKeyBox};

/// Why there is no key or signature.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// A file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key is none, or its password is another.
    #[error("{path}: {source}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PError,
    },
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SignError + '_ {
    move |source| SignError::Io { path: path.into(), source }
}

fn key(path: &Path) -> impl FnOnce(PError) -> SignError + '_ {
    move |source| SignError::Key { path: path.into(), source }
}

/// Writes `<name>.key`, for its owner only, and `<name>.pub`. Asks for a password unless told not to. A
/// file that is there is not overwritten.
pub fn keygen(name: &Path, password: bool) -> Result<[PathBuf; 2], SignError> {
    let paths = [name.with_added_extension("key"), name.with_added_extension("pub")];
    for path in &paths {
        if path.exists() {
            return Err(io(path)(std::io::ErrorKind::AlreadyExists.into()));
        }
    }
    let pair = if password {
        KeyPair::generate_encrypted_keypair(None)
    } else {
        KeyPair::generate_unencrypted_keypair()
    };
    let pair = pair.map_err(key(&paths[0]))?;
    let secret = pair.sk.to_box(None).map_err(key(&paths[0]))?.into_string();
    let public = pair.pk.to_box().map_err(key(&paths[1]))?.into_string();
    for (path, text, mode) in [(&paths[0], secret, 0o600), (&paths[1], public, 0o644)] {
        let mut options = std::fs::File::options();
        let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(io(path))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io(path))?;
    }
    Ok(paths)
}

/// Signs a file's bytes; the text of the signature. Asks for the key's password if it has one.
pub fn sign(secret: &Path, bytes: &[u8], comment: &str) -> Result<String, SignError> {
    let text = std::fs::read_to_string(secret).map_err(io(secret))?;
    let load = |text: &str| SecretKeyBox::from_string(text);
    let open: SecretKey = match load(&text).and_then(SecretKeyBox::into_unencrypted_secret_key) {
        Ok(open) => open,
        Err(_) => load(&text).and_then(|b| b.into_secret_key(None)).map_err(key(secret))?,
    };
    let signature = minisign::sign(None, &open, Cursor::new(bytes), Some(comment), None);
    Ok(signature.map_err(key(secret))?.into_string())
}

#[cfg(test)]
mod tests {
    use minisign_verify::{PublicKey, Signature};

    use super::*;

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let [secret, public] = keygen(&folder.path().join("fleet"), false).unwrap();
        assert!(keygen(&folder.path().join("fleet"), false).is_err(), "overwritten");
        let signature = Signature::decode(&sign(&secret, b"archive", "a comment").unwrap()).unwrap();
        let key = PublicKey::decode(&std::fs::read_to_string(&public).unwrap()).unwrap();
        let verify = |bytes: &[u8]| key.verify(bytes, &signature, false).is_ok();
        assert!(verify(b"archive") && !verify(b"archivf") && !verify(b""));
        assert_eq!(signature.trusted_comment(), "a comment");
        std::fs::write(&secret, "nonsense").unwrap();
        assert!(sign(&secret, b"archive", "").is_err());
    }
}
