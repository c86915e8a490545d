//! `boards keygen`: a pair of keys to sign archives with.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk};
use crate::sign;

/// Make a pair of keys, in minisign's format
///
/// NAME.key signs (`converter sign`) and stays secret; NAME.pub goes to the boards (`boards trust`).
#[derive(clap::Args)]
pub struct Cmd {
    /// Name of both files, without `.key` and `.pub`
    name: PathBuf,
    /// Do not protect the secret key with a password, for machines that sign by themselves
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
        let text = format!("{} (keep it secret)\n{}", secret.display(), public.display());
        talk.result(&Outcome { secret, public }, text);
        Ok(())
    }
}
