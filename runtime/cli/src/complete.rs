//! The subcommand `complete`: shell completions and manual pages.

use std::path::{Path, PathBuf};

use clap_complete::Shell;

use crate::Failure;

/// Write shell completions (bash, zsh, fish) and manual pages
#[derive(clap::Args, Debug)]
pub struct Complete {
    /// Folder to write to; created if it does not exist
    folder: PathBuf,
}

impl Complete {
    /// Writes the files for a program's command line.
    pub fn run(self, mut command: clap::Command) -> Result<(), Failure> {
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

    #[test]
    fn writes_completions_and_manuals() {
        let folder = tempfile::tempdir().unwrap();
        let command = clap::Command::new("tool").subcommand(clap::Command::new("work").about("Works"));
        Complete { folder: folder.path().join("new") }.run(command).unwrap();
        for file in ["tool.bash", "_tool", "tool.fish", "tool.1", "tool-work.1"] {
            let text = std::fs::read_to_string(folder.path().join("new").join(file)).expect(file);
            assert!(text.contains("work"), "{file}");
        }
        std::fs::write(folder.path().join("file"), "").unwrap();
        let failed = Complete { folder: folder.path().join("file") }.run(clap::Command::new("tool"));
        assert!(failed.unwrap_err().message().contains("file"));
    }
}
