//! What `boards` prints, and what happens when that cannot be written.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use foldnet_archive::testing::{manifest, resnet8};

fn boards(folder: &Path, words: &str, stdout: impl Into<Stdio>) -> Output {
    let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
    boards.args(words.split_whitespace()).current_dir(folder).env("XDG_CONFIG_HOME", folder);
    boards.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    boards.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = manifest();
    (manifest.input.height, manifest.input.width) = (32, 32);
    manifest.labels = (0..10).map(|i| format!("label {i}")).collect();
    foldnet_archive::write(&folder.path().join("net.nnef.tgz"), &resnet8(), &manifest).unwrap();
    let commands = [
        "--help",
        "--version",
        "list",
        "list --json",
        "show rock-5b",
        "show rock-5b --json",
        "fit net.nnef.tgz",
        "fit net.nnef.tgz nrf52840-dk",
        "fit net.nnef.tgz nrf52840-dk --json",
        "keygen fleet --no-password",
    ];
    for words in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = boards(folder.path(), words, full);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(words.starts_with("--") || said.contains("standard output: "), "{words}: {said}");
    }
}

#[test]
fn verbosity_and_json_are_global() {
    let folder = tempfile::tempdir().unwrap();
    for words in ["list -v", "-vv list", "--json list", "list --json", "list -q"] {
        let output = boards(folder.path(), words, Stdio::piped());
        assert!(output.status.success() && !output.stdout.is_empty(), "{words}");
        assert_eq!(output.stdout[0] == b'{', words.contains("json"), "{words}");
    }
    assert_eq!(boards(folder.path(), "list -q -v", Stdio::piped()).status.code(), Some(2));
}
