//! What the program prints, and where.

use std::sync::{Arc, Mutex};

use foldnet_cli::{Failure, Flags, Output};
use indicatif::{ProgressBar, ProgressStyle};

use crate::quantize::recipe::Progress;

/// The program's output, with a progress bar where standard error is a terminal; or what hears it in its place.
pub struct Talk {
    output: Output,
    listener: Option<Box<dyn Listener>>,
    bar: Arc<Mutex<Option<ProgressBar>>>,
    /// Why a result could not be written.
    unwritten: Mutex<Option<Failure>>,
}

/// What hears a subcommand that a program runs in its own process, see [`super::quantize()`].
pub trait Listener: Progress + Send {
    /// A line that should be read by a person.
    fn warn(&self, words: &str);
}

impl Talk {
    /// On this output.
    pub fn new(output: &Output) -> Self {
        let bar = Arc::default();
        let shared = Arc::clone(&bar);
        output.clear_with(move || remove(&shared));
        Self { output: output.clone(), listener: None, bar, unwritten: Mutex::default() }
    }

    /// To this listener; nothing is printed.
    pub fn to(listener: impl Listener + 'static) -> Self {
        let flags = Flags { quiet: true, ..Flags::default() };
        let output = Output::new("converter", flags);
        Self { output, listener: Some(Box::new(listener)), bar: Arc::default(), unwritten: Mutex::default() }
    }

    /// Whether this is a program's own output.
    pub fn prints(&self) -> bool {
        self.listener.is_none()
    }

    /// A line for people.
    pub fn say(&self, words: impl AsRef<str>) {
        match &self.listener {
            Some(listener) => listener.note(words.as_ref()),
            None => self.output.say(words.as_ref()),
        }
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
        match &self.listener {
            Some(listener) => listener.warn(words.as_ref()),
            None => self.output.warn(words.as_ref()),
        }
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
        if let Some(listener) = &self.listener {
            return listener.stage(name, ticks);
        }
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

    fn stopped(&self) -> bool {
        self.listener.as_ref().is_some_and(|listener| listener.stopped())
    }

    fn tick(&self) {
        if let Some(listener) = &self.listener {
            return listener.tick();
        }
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
