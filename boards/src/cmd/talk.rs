//! What the subcommands share: the program's output, and the board that `--board` adds.

use std::ops::Deref;
use std::path::PathBuf;

use foldnet_cli::Output;

/// What every subcommand gets.
pub struct Talk {
    /// Where to print.
    pub output: Output,
    /// `--board`.
    pub board: Option<PathBuf>,
}

impl Deref for Talk {
    type Target = Output;

    fn deref(&self) -> &Output {
        &self.output
    }
}
