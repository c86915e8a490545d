//! What the program says, and where.

use std::io::Write;
use std::path::PathBuf;

/// The flags that every command obeys.
pub struct Talk {
    /// Results as JSON.
    pub json: bool,
    /// No words.
    pub quiet: bool,
    /// `--board`.
    pub board: Option<PathBuf>,
}

impl Talk {
    /// A line for people.
    pub fn say(&self, words: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{}", words.as_ref());
        }
    }

    /// A result: as JSON for scripts, or as text. A reader that has gone away is no error.
    pub fn result(&self, value: &impl serde::Serialize, text: impl AsRef<str>) {
        let line = match self.json {
            true => serde_json::to_string(value).expect("plain data"),
            false => text.as_ref().trim_end().to_owned(),
        };
        if !line.is_empty() {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
}
