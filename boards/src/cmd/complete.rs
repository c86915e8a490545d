//! `boards complete`: shell completions and manual pages, for packages.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Failure, Program};

/// Write shell completions (bash, zsh, fish) and manual pages
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards complete target/package")]
pub struct Cmd {
    /// Folder to write to; created if it does not exist
    folder: PathBuf,
}

impl Cmd {
    /// See the module.
    pub fn run(self) -> Result<(), Failure> {
        let error = |path: &Path, e: std::io::Error| Failure::Input(format!("{}: {e}", path.display()));
        std::fs::create_dir_all(&self.folder).map_err(|e| error(&self.folder, e))?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut Program::command(), "boards", &self.folder)
                .map_err(|e| error(&self.folder, e))?;
        }
        clap_mangen::generate_to(Program::command(), &self.folder).map_err(|e| error(&self.folder, e))
    }
}
