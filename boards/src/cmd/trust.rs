//! `boards trust`: makes a board accept only archives signed with a key.

use std::path::PathBuf;

use super::reach::Reach;
use super::status::answered;
use super::{Failure, Talk};
use crate::protocol::Request;

/// Accept only archives signed with this key on a board
///
/// A board may trust several keys; an archive must be signed with one of them. To withdraw a key, delete its file from
/// ~/.local/share/foldnet/keys on the board.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards trust rock-5b fleet.pub --host user@board")]
pub struct Cmd {
    /// Board in the catalogue
    #[arg(value_name = "BOARD")]
    name: String,
    /// Public key from `boards keygen`
    key: PathBuf,
    #[command(flatten)]
    reach: Reach,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let key = std::fs::read_to_string(&self.key)
            .map_err(|e| Failure::input(format!("{}: {e}", self.key.display())))?;
        answered(&self.name, &self.reach, &Request::Trust { key }, talk)
    }
}
