//! Whether an archive is signed by a key that this board trusts.

use std::fs;
use std::io::Read;
use std::path::Path;

use minisign_verify::{PublicKey, Signature};

use super::slots::system;
use super::{Device, files};
use crate::protocol::{Kind, Refusal};
use crate::sum;

/// The keys that are installed; a file that is no key counts as one that fits nothing, so that damage
/// does not open the board.
pub fn keys(device: &Device) -> Vec<Option<PublicKey>> {
    let entries = fs::read_dir(device.root.join("keys")).into_iter().flatten().flatten();
    let read = |path: &Path| PublicKey::decode(&fs::read_to_string(path).ok()?).ok();
    entries.filter(|e| e.path().extension().is_some_and(|x| x == "pub")).map(|e| read(&e.path())).collect()
}

/// Installs a key.
pub fn trust(device: &Device, key: &str) -> Result<(), Refusal> {
    PublicKey::decode(key)
        .map_err(|e| Refusal { kind: Kind::Request, message: format!("not a minisign public key: {e}") })?;
    let name = format!("{}.pub", &sum::sha256(key.as_bytes())[..16]);
    let path = device.root.join("keys").join(name);
    files::write(&path, key.as_bytes()).map_err(system(&path))
}

/// Refuses an archive that a key asks for a signature of, when it has none that fits.
pub fn check(device: &Device, archive: &Path, signature: Option<&Path>) -> Result<(), Refusal> {
    let keys = keys(device);
    if keys.is_empty() {
        return Ok(());
    }
    let no = |why: &str| Refusal {
        kind: Kind::Signature,
        message: format!("this board accepts only signed archives, and {why}"),
    };
    let Some(path) = signature else {
        return Err(no("this one has no signature. Sign it with `converter sign`"));
    };
    let text = fs::read_to_string(path).map_err(system(path))?;
    let signature =
        Signature::decode(&text).map_err(|e| no(&format!("the signature cannot be read: {e}")))?;
    for key in keys.iter().flatten() {
        if verified(key, &signature, archive).map_err(system(archive))? {
            return Ok(());
        }
    }
    Err(no("this one was changed, or signed with a key that the board does not trust"))
}

fn verified(key: &PublicKey, signature: &Signature, archive: &Path) -> std::io::Result<bool> {
    let Ok(mut verifier) = key.verify_stream(signature) else { return Ok(false) };
    let (mut file, mut buffer) = (fs::File::open(archive)?, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(verifier.finalize().is_ok()),
            n => verifier.update(&buffer[..n]),
        }
    }
}
