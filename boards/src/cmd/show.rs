//! `boards show`: all that is known of a board.

use super::{Failure, Talk, board};

/// Show what is known of a board, as its file says it
#[derive(clap::Args)]
pub struct Cmd {
    /// Its name
    board: Option<String>,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(self.board.as_deref(), talk)?;
        let text = toml::to_string(&board).map_err(|e| Failure::Fault(e.to_string()))?;
        talk.result(&board, format!("{text}# kernels: {}", board.kernels()));
        Ok(())
    }
}
