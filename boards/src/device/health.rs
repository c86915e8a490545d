//! Whether a release works: its runtime classifies an image with its archive, in time, and computes the same bits as
//! the machine that made the archive.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Device;
use crate::protocol::{ARCHIVE, Kind, RUNTIME, Refusal};

/// The most that is read of what a runtime says.
const SAID_MAX: u64 = 1 << 16;

/// Refuses a slot that does not classify within this time.
pub fn classifies(device: &Device, slot: &Path, limit: Duration) -> Result<(), Refusal> {
    let picture = device.root.join("run/health.bmp");
    std::fs::write(&picture, bmp()).map_err(super::slots::system(&picture))?;
    let mut command = runtime(device, slot, "classify");
    command.arg(&picture).args(["--json", "--quiet"]);
    let no = |message: String| Refusal { kind: Kind::Health, message };
    let said = run(command, limit).map_err(|why| no(format!("the first classification failed: {why}")))?;
    let line: serde_json::Value =
        serde_json::from_slice(said.split(|&b| b == b'\n').next().unwrap_or(&[]))
            .map_err(|e| no(format!("the first classification did not print JSON: {e}")))?;
    if line["labels"].as_array().is_none_or(|labels| labels.is_empty()) {
        return Err(no(format!("the first classification returned no label: {line}")));
    }
    Ok(())
}

/// Refuses a slot whose runtime computes other bits than the archive's maker did. Archives of earlier releases have
/// nothing to compare with.
pub fn verifies(device: &Device, slot: &Path, limit: Duration) -> Result<(), Refusal> {
    let mut command = runtime(device, slot, "verify");
    command.args(["--allow-missing", "--json", "--quiet"]);
    match run(command, limit) {
        // A release from before `runtime verify`, to roll back to.
        Ok(_) | Err(Failed { code: Some(2), .. }) => Ok(()),
        Err(failed) => {
            let message = format!("the check of the network's bits failed: {failed}");
            Err(Refusal { kind: Kind::Health, message })
        }
    }
}

/// The slot's runtime with its archive.
fn runtime(device: &Device, slot: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(slot.join(RUNTIME));
    command.arg(subcommand).arg(slot.join(ARCHIVE));
    // What the runtime keeps is kept below our folder.
    command.env("XDG_CACHE_HOME", device.root.join("cache"));
    command
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
struct Failed {
    /// Its exit code, if it ended by itself.
    code: Option<i32>,
    why: String,
}

/// Runs a program for at most this long; its standard output.
fn run(mut command: Command, limit: Duration) -> Result<Vec<u8>, Failed> {
    let system = |why: std::io::Error| Failed { code: None, why: why.to_string() };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(system)?;
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.by_ref().take(SAID_MAX).read_to_end(&mut bytes);
            // So that a talkative program does not wait for a reader.
            let _ = std::io::copy(&mut from, &mut std::io::sink());
            bytes
        })
    };
    let out = read(Box::new(child.stdout.take().expect("it is piped")));
    let err = read(Box::new(child.stderr.take().expect("it is piped")));
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(system)? {
            Some(status) => break status,
            None if start.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failed { code: None, why: format!("no answer within {} s", limit.as_secs()) });
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    let words = String::from_utf8_lossy(&err);
    let last = words.lines().rfind(|l| !l.trim().is_empty()).unwrap_or_default();
    Err(Failed { code: status.code(), why: format!("{status}: {last}") })
}

/// A picture: 32 × 32 pixels, 24 bit, a gradient.
fn bmp() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    let mut words = |list: &[u32]| list.iter().for_each(|w| bytes.extend(w.to_le_bytes()));
    // Length, reserved, offset of the pixels; header size, width, height, planes and bits, six defaults.
    words(&[54 + 3072, 0, 54, 40, 32, 32, 24 << 16 | 1, 0, 3072, 0, 0, 0, 0]);
    bytes.extend((0..1024u32).flat_map(|i| [(i % 32 * 8) as u8, (i / 32 * 8) as u8, 128]));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_a_bitmap() {
        let bytes = bmp();
        assert_eq!(bytes.len(), 54 + 3072);
        assert_eq!(u32::from_le_bytes(bytes[2..6].try_into().unwrap()) as usize, bytes.len());
    }

    #[test]
    fn a_program_that_hangs_or_fails_is_told() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        assert_eq!(run(shell("echo hello"), Duration::from_secs(60)).unwrap(), b"hello\n");
        assert!(run(shell("exec sleep 1000"), Duration::ZERO).unwrap_err().why.contains("no answer within"));
        let failed = run(shell("echo oh >&2; echo >&2; exit 3"), Duration::from_secs(60)).unwrap_err();
        assert!(failed.code == Some(3) && failed.why.contains("3: oh"), "{failed}");
    }
}
