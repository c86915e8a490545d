//! What the whole-product tests share.

pub mod fuzz;
pub mod networks;
pub mod refill;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// A program of the workspace, from the build that this test belongs to.
///
/// # Panics
/// Where it is not built: `cargo test --workspace` builds all.
pub fn program(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let path = profile.join(name);
    assert!(path.is_file(), "{} is not built; run `cargo test --workspace`", path.display());
    Command::new(path)
}

/// Runs a program that must succeed; its standard output.
///
/// # Panics
/// Where it does not, with what it said.
pub fn output(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
