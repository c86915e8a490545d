//! The time that `boards fit` expects of this machine, beside the time that was measured.

use std::io::Read;
use std::path::Path;

use foldnet_archive::Network;
use foldnet_catalogue::times::{Expected, expect, steps};
use foldnet_catalogue::{Board, CatalogueError, all, find};
use serde_json::{Value, json};

use super::Failure;

/// Where Linux names the board, from general to special, on machines that have a device tree.
const COMPATIBLE: &str = "/proc/device-tree/compatible";
/// No device tree has a longer list.
const MOST_BYTES: u64 = 4096;

/// A board of the catalogue, and what is expected of it.
pub struct Expectation {
    board: Board,
    /// Whether this machine is that board, by its device tree.
    here: bool,
    time: Result<Expected, String>,
}

/// The entries of the device tree's `compatible`; none on other machines.
pub fn compatible() -> Vec<String> {
    entries(Path::new(COMPATIBLE))
}

fn entries(path: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let names = bytes.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

impl Expectation {
    /// For the board of this name, or else for the one that this machine is. `None` without either.
    pub fn new(
        name: Option<&str>,
        network: &Network,
        compatible: &[String],
    ) -> Result<Option<Self>, Failure> {
        let is = |board: &Board| {
            let known = board.linux.as_ref().map_or(&[][..], |linux| &linux.compatible);
            known.iter().any(|entry| compatible.contains(entry))
        };
        let bad = |error: CatalogueError| Failure::input(format_args!("--board: {error}"));
        let board = match name {
            Some(name) => Some(find(name).map_err(bad)?),
            None if compatible.is_empty() => None,
            None => all().map_err(|error| Failure::input(error.to_string()))?.into_iter().find(is),
        };
        let Some(board) = board else { return Ok(None) };
        let steps = steps(network).map_err(Failure::internal)?;
        let time = expect(&board, &steps).map_err(|why| why.to_string());
        Ok(Some(Self { here: is(&board), board, time }))
    }

    /// The expected time beside the median that was measured with this many threads.
    pub fn words(&self, median_ms: f64, threads: usize) -> String {
        let name = &self.board.name;
        let time = match &self.time {
            Ok(time) => time,
            Err(why) => return format!("expected of {name}: not estimated: {why}"),
        };
        let expected = format!(
            "expected of one thread on {name}: {:.3} ms ({:.3} to {:.3}), estimated",
            time.ms, time.low_ms, time.high_ms
        );
        match self.compared(median_ms, threads) {
            Some(ratio) => format!("{expected}; measured: {median_ms:.3} ms, {ratio:.2} times the expected"),
            None if self.here => format!("{expected}; to compare, measure with --threads 1"),
            None => format!("{expected}; this machine is not known to be one, so nothing is compared"),
        }
    }

    /// Measured by expected, where both are of the same board and of one thread.
    fn compared(&self, median_ms: f64, threads: usize) -> Option<f64> {
        let time = self.time.as_ref().ok()?;
        (self.here && threads == 1).then(|| median_ms / time.ms)
    }

    /// As data.
    pub fn json(&self, median_ms: f64, threads: usize) -> Value {
        json!({
            "board": self.board.id,
            "this_machine": self.here,
            "expected": self.time.as_ref().ok(),
            "not_estimated": self.time.as_ref().err(),
            "measured_by_expected": self.compared(median_ms, threads),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(name: Option<&str>, compatible: &[&str]) -> Option<Expectation> {
        let compatible: Vec<String> = compatible.iter().map(|&entry| entry.into()).collect();
        Expectation::new(name, &foldnet_archive::testing::resnet8(), &compatible).unwrap()
    }

    #[test]
    fn the_device_tree_names_the_board() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("compatible");
        std::fs::write(&path, b"raspberrypi,4-model-b\0brcm,bcm2711\0").unwrap();
        assert_eq!(entries(&path), ["raspberrypi,4-model-b", "brcm,bcm2711"]);
        assert_eq!(entries(&place.path().join("absent")), [""; 0]);
        let here = expectation(None, &["raspberrypi,4-model-b", "brcm,bcm2711"]).unwrap();
        assert!(here.here && here.board.id == "raspberry-pi-4");
        assert!(expectation(None, &["acme,toaster"]).is_none() && expectation(None, &[]).is_none());
    }

    #[test]
    fn only_the_same_board_and_one_thread_are_compared() {
        let here = expectation(None, &["raspberrypi,4-model-b"]).unwrap();
        let ms = here.time.as_ref().unwrap().ms;
        assert!(here.words(2.0 * ms, 1).contains("2.00 times the expected"), "{}", here.words(2.0 * ms, 1));
        assert!(here.words(ms, 2).contains("--threads 1"));
        assert_eq!(here.json(2.0 * ms, 1)["measured_by_expected"], 2.0);
        let elsewhere = expectation(Some("raspberry-pi-4"), &["acme,toaster"]).unwrap();
        assert!(elsewhere.words(ms, 1).contains("not known to be one"));
        assert_eq!(elsewhere.json(ms, 1)["measured_by_expected"], Value::Null);
    }

    #[test]
    fn boards_without_an_estimate_say_why() {
        let none = expectation(Some("khadas-vim3"), &[]).unwrap();
        assert!(none.words(1.0, 1).contains("no table of costs for cortex-a73"), "{}", none.words(1.0, 1));
        let unknown = Expectation::new(Some("toaster"), &foldnet_archive::testing::resnet8(), &[]);
        assert!(format!("{:?}", unknown.err().unwrap()).contains("unknown board `toaster`"));
    }
}
