//! `runtime bench --submit-file`: what was measured on which machine, as a file that its owner can send to us.
//!
//! It contains no serial number, host name, user name or path, and nothing is sent anywhere.

use std::collections::BTreeMap;
use std::path::Path;

use foldnet::Session;
use foldnet_archive::{digest, write_file};
use serde_json::{Value, json};

use super::Failure;

/// The version of the file's form.
const FORMAT: u32 = 1;
/// The fields of `/proc/cpuinfo` that name a processor's kind. The file has others, such as a board's serial number.
const CPU_FIELDS: [&str; 6] =
    ["model name", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision"];

/// The content of the file: `measured` as `runtime bench --json` prints it, and the machine.
pub fn content(archive: &[u8], session: &Session, compatible: &[String], measured: &Value) -> Value {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    json!({
        "format": FORMAT,
        "runtime": env!("CARGO_PKG_VERSION"),
        "archive_sha256": digest(archive),
        "input": session.input().to_string(),
        "macs": session.macs(),
        "machine": {
            "arch": std::env::consts::ARCH,
            "os": std::env::consts::OS,
            "compatible": compatible,
            "cores": cores,
            "cpus": cpus(&info),
        },
        "bench": measured,
    })
}

/// The kinds of processors that `/proc/cpuinfo` lists, each once.
fn cpus(info: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut kinds: Vec<BTreeMap<&str, &str>> = Vec::new();
    for cpu in info.split("\n\n") {
        let fields = cpu.lines().filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.trim(), value.trim()));
        let kind: BTreeMap<_, _> = fields.filter(|(name, _)| CPU_FIELDS.contains(name)).collect();
        if !kind.is_empty() && !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// Writes the file, completely or not at all.
pub fn write(path: &Path, content: &Value) -> Result<(), Failure> {
    let text = format!("{content:#}\n");
    write_file(path, text.as_bytes())
        .map_err(|error| Failure::input(format_args!("--submit-file {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_cores_are_listed_once_and_no_serial_number() {
        let core = |number: u32, part: &str| {
            format!("processor\t: {number}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n")
        };
        let board = "Hardware\t: BCM2835\nSerial\t\t: 10000000abcdef01\nModel\t\t: Raspberry Pi\n";
        let info = [core(0, "0xd05"), core(1, "0xd05"), core(2, "0xd0b"), board.into()].join("\n");
        assert_eq!(cpus(&info).len(), 2);
        let text = format!("{:?}", cpus(&info));
        assert!(text.contains("0xd0b") && !text.contains("abcdef"), "{text}");
        assert!(cpus("").is_empty());
    }
}
