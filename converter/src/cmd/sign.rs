//! `converter sign`: an archive that boards with a key will take.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Failure, Talk};

/// Sign an archive, so that boards that trust the key take it (minisign's format)
#[derive(Args)]
pub struct Cmd {
    /// The archive, as `converter quantize` writes it
    archive: PathBuf,
    /// The secret key, as `boards keygen` or `minisign -G` writes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where to write; ARCHIVE.minisig if not given, where `boards flash` finds it
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
        // What cannot be read is not worth a signature.
        foldnet_archive::read(&self.archive)?;
        let path = |e: std::io::Error, path: &PathBuf| anyhow::anyhow!("{}: {e}", path.display());
        let bytes = std::fs::read(&self.archive).map_err(|e| path(e, &self.archive))?;
        let name = self.archive.file_name().unwrap_or_default().to_string_lossy();
        let signature = foldnet_sign::sign(&self.key, &bytes, &format!("file:{name}"))?;
        let output = self.output.unwrap_or_else(|| self.archive.with_added_extension("minisig"));
        foldnet_archive::write_file(&output, signature.as_bytes()).map_err(|e| path(e, &output))?;
        talk.say(output.display().to_string());
        talk.result(&Outcome { output });
        Ok(())
    }
}
