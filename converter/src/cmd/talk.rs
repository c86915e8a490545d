//! What the program says, and where.

use std::io::Write;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

use crate::quantize::recipe::Progress;

/// Words to standard error unless quiet, JSON to standard output if asked for, a progress bar where
/// standard error is a terminal.
pub struct Talk {
    json: bool,
    quiet: bool,
    verbose: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Talk {
    /// As the flags say.
    pub fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        Self { json, quiet, verbose, bar: Mutex::new(None) }
    }

    /// A line for people.
    pub fn say(&self, words: impl AsRef<str>) {
        if !self.quiet {
            self.clear();
            let _ = writeln!(std::io::stderr(), "{}", words.as_ref());
        }
    }

    /// A line for people who asked for details.
    pub fn detail(&self, words: impl AsRef<str>) {
        if self.verbose {
            self.say(words);
        }
    }

    /// A line that is printed even when quiet.
    pub fn warn(&self, words: impl AsRef<str>) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "converter: {}", words.as_ref());
    }

    /// The result for scripts; a reader that has gone away is no error.
    pub fn result(&self, value: &impl serde::Serialize) {
        if self.json {
            let text = serde_json::to_string(value).expect("plain data");
            let _ = writeln!(std::io::stdout(), "{text}");
        }
    }

    /// Takes the progress bar away.
    pub fn clear(&self) {
        if let Some(bar) = self.bar.lock().ok().and_then(|mut b| b.take()) {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Talk {
    fn note(&self, words: &str) {
        self.say(words);
    }

    fn stage(&self, name: &str, ticks: usize) {
        self.clear();
        if self.quiet {
            return;
        }
        let style = ProgressStyle::with_template("{msg:24} {wide_bar} {pos}/{len} {eta:>4}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(ticks as u64).with_style(style).with_message(name.to_owned());
        if let Ok(mut current) = self.bar.lock() {
            *current = Some(bar);
        }
    }

    fn tick(&self) {
        if let Ok(bar) = self.bar.lock()
            && let Some(bar) = bar.as_ref()
        {
            bar.inc(1);
        }
    }
}

/// `1234567` as `1.23 MB`.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.2} MB", n as f64 / 1e6),
    }
}

/// `0.98765` as `98.77 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}
