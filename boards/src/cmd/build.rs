//! `boards build`: the programs for a board.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk, board};
use crate::source;

/// Build the programs for a board, from the sources that you stand in
///
/// For Linux boards `runtime` and `foldnet-agent`, linked statically, where `boards flash` finds them; for
/// microcontrollers the firmware with a plan in it.
#[derive(clap::Args)]
pub struct Cmd {
    /// The board's name in the catalogue
    name: String,
    /// For a microcontroller: the plan that `converter export --plan` wrote
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(Some(&self.name), talk)?;
        let output = match (&board.linux, &self.plan) {
            (Some(linux), _) => source::programs(&board, linux.target.get_ref())?,
            (None, Some(plan)) => source::firmware(&board, plan)?,
            (None, None) => {
                return Err(Failure::Input(format!("{} needs its plan: --plan FILE", board.name)));
            }
        };
        let text = output.display().to_string();
        talk.result(&Outcome { output }, text);
        Ok(())
    }
}
