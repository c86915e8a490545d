//! `boards complete`: shell completions and manual pages, for packages.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Failure, Program};

/// Write completions for bash, zsh and fish, and manual pages, into a folder
#[derive(clap::Args)]
pub struct Cmd {
    /// The folder, which is made
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
