//! What the program prints, and where.

use std::sync::{Arc, Mutex};

use foldnet_cli::{Failure, Output};
use indicatif::{ProgressBar, ProgressStyle};

use crate::quantize::recipe::Progress;

/// The program's output, with a progress bar where standard error is a terminal.
pub struct Talk {
    output: Output,
    bar: Arc<Mutex<Option<ProgressBar>>>,
    /// Why a result could not be written.
    unwritten: Mutex<Option<Failure>>,
}

impl Talk {
    /// On this output.
    pub fn new(output: &Output) -> Self {
        let bar = Arc::default();
        let shared = Arc::clone(&bar);
        output.clear_with(move || remove(&shared));
        Self { output: output.clone(), bar, unwritten: Mutex::default() }
    }

    /// A line for people.
    pub fn say(&self, words: impl AsRef<str>) {
        self.output.say(words.as_ref());
    }

    /// A line of results for people.
    pub fn human(&self, words: impl AsRef<str>) {
        self.clear();
        self.wrote(self.output.human(words.as_ref()));
    }

    /// A line for people who asked for details.
    pub fn detail(&self, words: impl AsRef<str>) {
        self.output.detail(words.as_ref());
    }

    /// A line that is printed even when quiet.
    pub fn warn(&self, words: impl AsRef<str>) {
        self.output.warn(words.as_ref());
    }

    /// The result for scripts. [`Talk::written`] tells whether it could be written.
    pub fn result(&self, value: &impl serde::Serialize) {
        self.wrote(self.output.data(value));
    }

    fn wrote(&self, result: Result<(), Failure>) {
        if let (Err(failure), Ok(mut first)) = (result, self.unwritten.lock()) {
            first.get_or_insert(failure);
        }
    }

    /// An error if a result could not be written.
    pub fn written(self) -> Result<(), Failure> {
        self.unwritten.into_inner().unwrap_or_default().map_or(Ok(()), Err)
    }

    /// Takes the progress bar away.
    pub fn clear(&self) {
        remove(&self.bar);
    }
}

fn remove(bar: &Mutex<Option<ProgressBar>>) {
    if let Some(bar) = bar.lock().ok().and_then(|mut b| b.take()) {
        bar.finish_and_clear();
    }
}

impl Progress for Talk {
    fn note(&self, words: &str) {
        self.say(words);
    }

    fn stage(&self, name: &str, ticks: usize) {
        self.clear();
        if self.output.quiet() {
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
