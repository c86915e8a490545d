//! `converter sign`: an archive that boards with a key will take.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Failure, Talk, files};

/// Sign an archive for boards that accept only signed ones
///
/// The signature is in minisign's format. `boards trust` makes a board require it.
#[derive(Args)]
#[command(after_help = "Example:\n  converter sign model.nnef.tgz --key fleet.key")]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Secret key from `boards keygen` or `minisign -G`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File to write [default: ARCHIVE.minisig, where `boards flash` finds it]
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let output = self.output.clone().unwrap_or_else(|| self.archive.with_added_extension("minisig"));
        files::check(&[&self.archive, &self.key], &[("-o", &output)])?;
        if self.output.is_none() {
            files::check_default(&output, is_signature)?;
        }
        // What cannot be read is not worth a signature.
        foldnet_archive::read(&self.archive)?;
        let path = |e: std::io::Error, path: &PathBuf| anyhow::anyhow!("{}: {e}", path.display());
        let bytes = std::fs::read(&self.archive).map_err(|e| path(e, &self.archive))?;
        let name = self.archive.file_name().unwrap_or_default().to_string_lossy();
        let signature = foldnet_sign::sign(&self.key, &bytes, &format!("file:{name}"))?;
        foldnet_archive::write_file(&output, signature.as_bytes()).map_err(|e| path(e, &output))?;
        talk.human(output.display().to_string());
        talk.result(&Outcome { output });
        Ok(())
    }
}

/// Whether this is a file of minisign's format, which has its trusted comment in the third line.
fn is_signature(path: &Path) -> bool {
    let text = foldnet_archive::open_file(path).and_then(std::io::read_to_string).unwrap_or_default();
    text.lines().nth(2).is_some_and(|line| line.starts_with("trusted comment: "))
}
