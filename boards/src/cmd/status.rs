//! `boards status`: what runs on a board.

use super::reach::{Reach, tell};
use super::{Failure, Talk, board};
use crate::protocol::{Event, Request};

/// Say what runs on a board
#[derive(clap::Args)]
pub struct Cmd {
    /// The board's name in the catalogue
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

/// Asks for something that is answered with a status, and tells it.
pub fn answered(name: &str, reach: &Reach, request: &Request, talk: &Talk) -> Result<(), Failure> {
    let board = board(Some(name), talk)?;
    match reach.ask(&board, request, talk)? {
        Event::Done(status) => tell(&reach.host(&board)?.name, &status, talk),
        other => return Err(Failure::Fault(format!("the agent answers {other:?}"))),
    }
    Ok(())
}
