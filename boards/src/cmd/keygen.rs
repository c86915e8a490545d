//! `boards keygen`: makes a pair of keys to sign archives with.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk};
use foldnet_cli::printable;
use foldnet_sign as sign;

/// Make a pair of signing keys in minisign's format
///
/// `converter sign` signs with NAME.key, which must stay secret. `boards trust` gives NAME.pub to a board. Existing
/// files are not overwritten.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  boards keygen fleet\n  boards keygen build-server --no-password")]
pub struct Cmd {
    /// Name of both files, without `.key` and `.pub`
    name: PathBuf,
    /// Write the secret key without a password, for unattended signing
    #[arg(long)]
    no_password: bool,
}

#[derive(Serialize)]
struct Outcome {
    secret: PathBuf,
    public: PathBuf,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let [secret, public] = sign::keygen(&self.name, !self.no_password)?;
        let shown = |path: &std::path::Path| printable(&path.display().to_string()).into_owned();
        let text = format!("{} (keep it secret)\n{}", shown(&secret), shown(&public));
        talk.result(&Outcome { secret, public }, text)?;
        Ok(())
    }
}
