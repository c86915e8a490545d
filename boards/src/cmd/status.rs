//! `boards status`: prints what runs on a board.

use super::reach::{Reach, tell};
use super::{Failure, Talk, board};
use crate::protocol::{Event, Request};

/// Print what runs on a Linux board
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards status rock-5b --host user@board")]
pub struct Cmd {
    /// Board in the catalogue
    #[arg(value_name = "BOARD")]
    name: String,
    #[command(flatten)]
    reach: Reach,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        answered(&self.name, &self.reach, &Request::Status, talk)
    }
}

/// Sends a request that is answered with a status, and prints the status.
pub fn answered(name: &str, reach: &Reach, request: &Request, talk: &Talk) -> Result<(), Failure> {
    let board = board(Some(name), talk)?;
    match reach.ask(&board, request, talk)? {
        Event::Done(status) => tell(&reach.host(&board)?.name, &status, talk),
        other => Err(Failure::internal(format!("the agent sent an unexpected answer: {other:?}"))),
    }
}
