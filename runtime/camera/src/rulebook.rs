//! Rules that are edited on the page, in a small file of their own.
//!
//! ```text
//! {"rules": ["mug > 0.8 for 5 frames", "unknown for 10 seconds"]}
//! ```
//! The file is written whole or not at all. Rules of the command line (`--when`) are not in it and stay as they are.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::rule::Rule;

/// The most rules.
pub const MAX_RULES: usize = 50;
/// The most bytes of the file.
const MAX_BYTES: u64 = 64 << 10;
/// The most bytes of a rule.
const MAX_RULE: usize = 300;

/// Why rules are not taken.
#[derive(Debug, thiserror::Error)]
pub enum RulebookError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is another one, or damaged.
    #[error("{path}: not a file of rules: {why}. Delete it, or write {{\"rules\": []}} into it", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A rule is none.
    #[error("{rule:?}: {why}")]
    Rule {
        /// The rule.
        rule: String,
        /// What is wrong.
        why: String,
    },
    /// There are too many.
    #[error("at most {MAX_RULES} rules of {MAX_RULE} characters")]
    TooMany,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rules: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Rulebook {
    file: PathBuf,
    rules: Mutex<Vec<Rule>>,
    revision: AtomicU64,
}

fn parse(texts: &[String]) -> Result<Vec<Rule>, RulebookError> {
    if texts.len() > MAX_RULES || texts.iter().any(|text| text.len() > MAX_RULE) {
        return Err(RulebookError::TooMany);
    }
    let rule = |text: &String| text.parse().map_err(|why| RulebookError::Rule { rule: text.clone(), why });
    let mut rules: Vec<Rule> = texts.iter().map(rule).collect::<Result<_, _>>()?;
    // The same rule twice would fire twice.
    let mut seen = std::collections::HashSet::new();
    rules.retain(|rule| seen.insert(rule.text.clone()));
    Ok(rules)
}

impl Rulebook {
    /// Reads a file, which need not be there.
    pub fn open(file: &Path) -> Result<Self, RulebookError> {
        let io = |source| RulebookError::Io { path: file.into(), source };
        let damaged = |why: String| RulebookError::Damaged { path: file.into(), why };
        let mut text = String::new();
        match foldnet_archive::open_file(file) {
            Ok(opened) => {
                let read = opened.take(MAX_BYTES + 1).read_to_string(&mut text);
                read.map_err(|e| damaged(e.to_string()))?;
                if text.len() as u64 > MAX_BYTES {
                    return Err(damaged("it is too large".into()));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => text.push_str("{\"rules\": []}"),
            Err(e) => return Err(io(e)),
        }
        let written: Written = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        let rules = parse(&written.rules).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { file: file.into(), rules: Mutex::new(rules), revision: AtomicU64::new(1) })
    }

    /// Replaces all rules, in the file first.
    pub fn set(&self, texts: &[String]) -> Result<(), RulebookError> {
        let rules = parse(texts)?;
        let mut held = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let written = Written { rules: rules.iter().map(|rule| rule.text.clone()).collect() };
        let io = |source| RulebookError::Io { path: self.file.clone(), source };
        let json = serde_json::to_string_pretty(&written).map_err(|e| io(e.into()))?;
        foldnet_archive::write_file(&self.file, json.as_bytes()).map_err(io)?;
        *held = rules;
        self.revision.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Another number after each change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// The file's name, without its folder.
    pub fn file_name(&self) -> String {
        self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned()
    }

    /// The rules.
    pub fn rules(&self) -> Vec<Rule> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rules: &[&str]) -> Vec<String> {
        rules.iter().map(|&rule| rule.into()).collect()
    }

    #[test]
    fn rules_are_kept_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("rules.json");
        let book = Rulebook::open(&file).unwrap();
        assert!(book.rules().is_empty() && !file.exists());
        book.set(&texts(&["mug > 0.8 for 5 frames", "unknown for 10 s", "mug > 0.8 for 5 frames"])).unwrap();
        assert_eq!((book.rules().len(), book.revision()), (2, 2));
        let kept = std::fs::read(&file).unwrap();
        assert_eq!(Rulebook::open(&file).unwrap().rules(), book.rules());
        let many = vec!["a > 0.1".into(); MAX_RULES + 1];
        for bad in [texts(&["mug"]), texts(&["mug > 0.5", "x > 7"]), many, vec!["x".repeat(MAX_RULE + 1)]] {
            assert!(book.set(&bad).is_err());
        }
        assert_eq!((book.rules().len(), book.revision(), std::fs::read(&file).unwrap()), (2, 2, kept));
        for bad in ["", "{}", "[]", "{\"rules\": [\"mug\"]}", "{\"rules\": [], \"more\": 1}", "\u{0}"] {
            std::fs::write(&file, bad).unwrap();
            let refused = Rulebook::open(&file).unwrap_err().to_string();
            assert!(refused.contains("rules.json: not a file of rules"), "{bad}: {refused}");
        }
        std::fs::write(&file, vec![b' '; MAX_BYTES as usize + 1]).unwrap();
        assert!(Rulebook::open(&file).unwrap_err().to_string().contains("too large"));
        // The folder is gone.
        let lost = Rulebook::open(&place.path().join("gone/rules.json")).unwrap();
        assert!(matches!(lost.set(&texts(&["mug > 0.5"])), Err(RulebookError::Io { .. })));
        assert!(lost.rules().is_empty());
    }
}
