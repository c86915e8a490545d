//! `boards show`: prints what the catalogue knows about a board.

use super::{Failure, Talk, board};

/// Print the facts about a board
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  boards show rock-5b\n  boards show --board my-board.toml")]
pub struct Cmd {
    /// Board in the catalogue; may be left out with --board
    #[arg(value_name = "BOARD")]
    name: Option<String>,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(self.name.as_deref(), talk)?;
        let text = toml::to_string(&board).map_err(|e| Failure::internal(e.to_string()))?;
        talk.result(&board, format!("{text}# kernels: {}", board.kernels()))?;
        Ok(())
    }
}
