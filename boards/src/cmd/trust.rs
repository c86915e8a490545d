//! `boards trust`: a key that archives must be signed with.

use std::path::PathBuf;

use super::reach::Reach;
use super::status::answered;
use super::{Failure, Talk};
use crate::protocol::Request;

/// Let a board take only archives that are signed with a key
///
/// Several keys may be trusted; one of them must fit. To trust a key no more, remove its file from
/// ~/.local/share/foldnet/keys on the board.
#[derive(clap::Args)]
pub struct Cmd {
    /// The board's name in the catalogue
    name: String,
    /// The public key that `boards keygen` wrote
    key: PathBuf,
    #[command(flatten)]
    reach: Reach,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let key = std::fs::read_to_string(&self.key)
            .map_err(|e| Failure::Input(format!("{}: {e}", self.key.display())))?;
        answered(&self.name, &self.reach, &Request::Trust { key }, talk)
    }
}
