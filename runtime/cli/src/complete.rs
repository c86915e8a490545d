//! The subcommand `complete`: shell completions and manual pages.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Failure;

/// Write shell completions (bash, zsh, fish) and manual pages
#[derive(clap::Args)]
pub struct Complete<P> {
    /// Folder to write to; created if it does not exist
    folder: PathBuf,
    #[arg(skip)]
    program: PhantomData<P>,
}

impl<P: CommandFactory> Complete<P> {
    /// Writes the files for the program's command line. Needs nothing from the context.
    pub fn run<C>(self, _context: &C) -> Result<(), Failure> {
        let mut command = P::command();
        let failure =
            |path: &Path, e: std::io::Error| Failure::input(format_args!("{}: {e}", path.display()));
        std::fs::create_dir_all(&self.folder).map_err(|e| failure(&self.folder, e))?;
        let name = command.get_name().to_owned();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut command, &name, &self.folder)
                .map_err(|e| failure(&self.folder, e))?;
        }
        clap_mangen::generate_to(command, &self.folder).map_err(|e| failure(&self.folder, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tool
    #[derive(clap::Parser)]
    #[command(name = "tool")]
    enum Tool {
        /// Works
        Work,
    }

    #[test]
    fn writes_completions_and_manuals() {
        let folder = tempfile::tempdir().unwrap();
        let complete =
            |name: &str| Complete::<Tool> { folder: folder.path().join(name), program: PhantomData };
        complete("new").run(&()).unwrap();
        for file in ["tool.bash", "_tool", "tool.fish", "tool.1", "tool-work.1"] {
            let text = std::fs::read_to_string(folder.path().join("new").join(file)).expect(file);
            assert!(text.contains("work"), "{file}");
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(complete("file").run(&()).unwrap_err().message().contains("file"));
    }
}
