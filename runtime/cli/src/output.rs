//! Writes results to standard output and everything else to standard error.

use std::fmt::Display;
use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::text::printable_lines;
use crate::{Exit, Failure, printable};

/// Heading of the options that every subcommand has.
pub const GLOBAL: &str = "Global options";

/// The options that every subcommand has.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Flags {
    /// Print results as JSON, one object per line
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Print only results and errors
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub quiet: bool,
    /// Increase verbosity (repeat for debug output)
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,
}

type Clear = Box<dyn FnMut() + Send>;

/// Where a program prints. Clones print to the same place.
///
/// Results go to standard output. Lines become visible with [`Output::flush`] or at the program's end; JSON
/// objects and whole results become visible immediately. A result that cannot be written is a failure, unless the
/// reader has closed the pipe: then the program ends without an error.
///
/// Control characters are escaped, so that a label or a file name stays on its line. Only the text of
/// [`Output::result`] may have several lines; pass the names in it through [`printable`].
#[derive(Clone)]
pub struct Output {
    program: &'static str,
    flags: Flags,
    stdout: Arc<Mutex<BufWriter<Stdout>>>,
    /// Called before a line is printed on standard error, for instance to remove a progress bar.
    clear: Arc<Mutex<Option<Clear>>>,
}

impl Output {
    /// Creates the output of the program with this name.
    pub fn new(program: &'static str, flags: Flags) -> Self {
        let stdout = Arc::new(Mutex::new(BufWriter::new(std::io::stdout())));
        Self { program, flags, stdout, clear: Arc::default() }
    }

    /// Returns whether results are JSON.
    pub fn json(&self) -> bool {
        self.flags.json
    }

    /// Returns whether only results and errors are printed.
    pub fn quiet(&self) -> bool {
        self.flags.quiet
    }

    /// Returns how many times `-v` was given.
    pub fn verbose(&self) -> u8 {
        self.flags.verbose
    }

    /// Prints one line of results.
    pub fn line(&self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.stdout(), "{}", printable(&text.to_string())).map_err(failure)
    }

    /// Prints a line of results for people: on standard output, or with `--json` on standard error.
    pub fn human(&self, text: impl Display) -> Result<(), Failure> {
        if self.flags.json {
            self.say(text);
            return Ok(());
        }
        self.line(text)
    }

    /// Prints a result as a line of JSON, if results are JSON.
    pub fn data(&self, value: &impl Serialize) -> Result<(), Failure> {
        if self.flags.json { self.json_line(value) } else { Ok(()) }
    }

    /// Prints a result: as a line of JSON, or as text. Empty text is not printed.
    pub fn result(&self, value: &impl Serialize, text: impl Display) -> Result<(), Failure> {
        if self.flags.json {
            return self.json_line(value);
        }
        let text = text.to_string();
        if text.is_empty() {
            return Ok(());
        }
        writeln!(self.stdout(), "{}", printable_lines(text.trim_end())).map_err(failure)?;
        self.flush()
    }

    fn json_line(&self, value: &impl Serialize) -> Result<(), Failure> {
        // serde_json escapes only what JSON requires; the other control characters must not reach a terminal
        // either.
        let json = serde_json::to_string(value).map_err(Failure::internal)?;
        writeln!(self.stdout(), "{}", json_safe(&json)).map_err(failure)?;
        self.flush()
    }

    /// Prints text unchanged and without a line break, for instance a generated file.
    pub fn raw(&self, text: impl Display) -> Result<(), Failure> {
        write!(self.stdout(), "{text}").map_err(failure)
    }

    /// Replaces the terminal's current line. `text` is kept on one line.
    pub fn status(&self, text: impl Display) -> Result<(), Failure> {
        // Return to the start of the line, and clear the rest of a longer text.
        write!(self.stdout(), "\r{}\x1b[K", printable(&text.to_string())).map_err(failure)
    }

    /// Makes the results written so far visible.
    pub fn flush(&self) -> Result<(), Failure> {
        self.stdout().flush().map_err(failure)
    }

    /// Returns whether standard output is a terminal, on which [`Output::status`] may be used.
    pub fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal() && !self.flags.json
    }

    /// Prints a line for people on standard error, unless `--quiet` is given.
    pub fn say(&self, text: impl Display) {
        if !self.flags.quiet {
            self.to_stderr(&printable(&text.to_string()));
        }
    }

    /// Prints a detail for people on standard error, if `-v` is given.
    pub fn detail(&self, text: impl Display) {
        if self.flags.verbose > 0 {
            self.to_stderr(&printable(&text.to_string()));
        }
    }

    /// Prints a warning or an error on standard error, even with `--quiet`.
    pub fn warn(&self, text: impl Display) {
        self.to_stderr(&printable(&format!("{}: {text}", self.program)));
    }

    /// Prints the reason why the program ends. Further lines are indented, so that text from a file cannot pass
    /// for one of our messages.
    pub(crate) fn error(&self, text: &str) {
        let text = text.trim_end().replace('\n', "\n  ");
        self.to_stderr(&printable_lines(&format!("{}: {text}", self.program)));
    }

    /// Registers a function that is called before each line on standard error.
    pub fn clear_with(&self, clear: impl FnMut() + Send + 'static) {
        *self.clear.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(clear));
    }

    fn to_stderr(&self, text: &str) {
        // Both streams should appear on a terminal in the order in which they were written. The next result, or
        // the end of the program, reports a failure.
        let _ = self.stdout().flush();
        if let Some(clear) = self.clear.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            clear();
        }
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    fn stdout(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(error: std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::silent(Exit::Done),
        _ => Failure::input(format_args!("standard output: {error}")),
    }
}

/// Writes JSON's remaining control characters as JSON escapes.
fn json_safe(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    let mut units = [0; 2];
    for c in json.chars() {
        if printable(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                safe += &format!("\\u{unit:04x}");
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json() {
        let text = "a\u{9b}b\u{202e}c\n\"ü";
        let json = json_safe(&serde_json::to_string(text).unwrap());
        assert_eq!(json, r#""a\u009bb\u202ec\n\"ü""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_reader_that_has_left_is_no_failure() {
        let exit = |kind: ErrorKind| failure(kind.into()).exit(|_| Exit::Internal);
        assert_eq!(exit(ErrorKind::BrokenPipe), Exit::Done);
        assert_eq!(exit(ErrorKind::StorageFull), Exit::BadInput);
    }
}
