//! What a roll-out has done, one JSON object a line, so that it can be taken up again.
//!
//! The first line says which releases it is of; a log of others is refused. A last line that was cut is
//! as not written.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// How a device fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its name in the inventory.
    pub device: String,
    /// `done` or `failed`.
    pub outcome: String,
    /// The release.
    pub release: String,
    /// The sort of failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// Release by board.
    rollout: BTreeMap<String, String>,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is of something else.
    #[error("{0} is the log of another roll-out. Delete it, or choose another file with --log")]
    Other(PathBuf),
}

/// A log that is being written.
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Begins a log, or takes one up; the devices that are done.
    pub fn open(path: &Path, rollout: BTreeMap<String, String>) -> Result<(Self, HashSet<String>), LogError> {
        let io = |source| LogError::Io { path: path.into(), source };
        let file = File::options().create(true).append(true).read(true).open(path).map_err(io)?;
        let text = std::fs::read_to_string(path).map_err(io)?;
        let whole = text.rfind('\n').map_or(0, |n| n + 1);
        file.set_len(whole as u64).map_err(io)?;
        let mut log = Self { path: path.into(), file };
        log.file.seek(SeekFrom::End(0)).map_err(io)?;
        let head = Head { rollout };
        let mut lines = text[..whole].lines();
        match lines.next() {
            None => log.write(&head)?,
            Some(line) => match serde_json::from_str::<Head>(line) {
                Ok(found) if found == head => {}
                _ => return Err(LogError::Other(path.into())),
            },
        }
        let mut done = HashSet::new();
        for line in lines {
            let line: Line = serde_json::from_str(line).map_err(|_| LogError::Other(path.into()))?;
            if line.outcome == "done" {
                done.insert(line.device);
            }
        }
        Ok((log, done))
    }

    /// Adds a device.
    pub fn add(&mut self, line: &Line) -> Result<(), LogError> {
        self.write(line)
    }

    fn write(&mut self, value: &impl Serialize) -> Result<(), LogError> {
        let text = serde_json::to_string(value).expect("plain data") + "\n";
        let done = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        done.map_err(|source| LogError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_taken_up_and_a_cut_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let rollout = |id: &str| BTreeMap::from([("b".to_owned(), id.to_owned())]);
        let line = |device: &str, outcome: &str| Line {
            device: device.into(),
            outcome: outcome.into(),
            release: "r".into(),
            error: None,
            message: None,
        };
        let (mut log, done) = Log::open(&path, rollout("1")).unwrap();
        assert!(done.is_empty());
        log.add(&line("x", "done")).unwrap();
        log.add(&line("y", "failed")).unwrap();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"device\":\"z\",\"out").unwrap();
        let (mut log, done) = Log::open(&path, rollout("1")).unwrap();
        assert_eq!(done, HashSet::from(["x".to_owned()]));
        log.add(&line("y", "done")).unwrap();
        assert_eq!(Log::open(&path, rollout("1")).unwrap().1.len(), 2);
        assert!(matches!(Log::open(&path, rollout("2")), Err(LogError::Other(_))));
    }
}
