//! What the whole-product tests share.

pub mod networks;
pub mod refill;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder with trained models and test images that the project's own machines have beside the
/// repository, or where `FOLDNET_SHARED` says. A test that needs it and gets `None` returns; that it was
/// skipped has then been said on standard error, past the test harness's capture.
pub fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("FOLDNET_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    if path.join("models").is_dir() {
        return Some(path);
    }
    let message =
        format!("SKIPPED: {} holds no models and data (FOLDNET_SHARED names the folder)", path.display());
    writeln!(std::io::stderr(), "{message}").expect("standard error");
    None
}
