//! `boards build`: the programs for a board.

use std::path::PathBuf;

use serde::Serialize;

use super::flash_mcu::program;
use super::{Failure, Talk, board};
use crate::source;

/// Build the programs for a board, from the sources that you stand in
///
/// For Linux boards `runtime` and `foldnet-agent`, linked statically, where `boards flash` finds them; for
/// microcontrollers the firmware with the network in it.
#[derive(clap::Args)]
pub struct Cmd {
    /// The board's name in the catalogue; or Rust's name of a Linux target, for `boards image`
    name: String,
    /// For a microcontroller: the archive, or the plan that `converter export --plan` wrote
    archive: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let output = if self.name.contains("-linux-") && self.archive.is_none() {
            source::programs(&self.name, false)?
        } else {
            self.for_board(talk)?
        };
        let text = output.display().to_string();
        talk.result(&Outcome { output }, text);
        Ok(())
    }

    fn for_board(&self, talk: &Talk) -> Result<PathBuf, Failure> {
        let board = board(Some(&self.name), talk)?;
        Ok(match (&board.linux, &self.archive) {
            (Some(linux), None) => source::programs(linux.target.get_ref(), board.qemu.is_some())?,
            (None, Some(archive)) => program(&board, archive)?,
            (Some(_), Some(_)) => {
                let words = format!("{} runs Linux: its programs hold no network", board.name);
                return Err(Failure::Input(words));
            }
            (None, None) => {
                return Err(Failure::Input(format!("{} needs an archive, or its plan", board.name)));
            }
        })
    }
}
