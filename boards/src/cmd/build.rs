//! `boards build`: builds the programs of a board.

use std::path::PathBuf;

use serde::Serialize;

use super::flash_mcu::program;
use super::{Failure, Talk, board};
use crate::source;
use foldnet_cli::printable;

/// Build the programs of a board from a checkout
///
/// Uses the checkout that contains the current folder, otherwise the one that contains this program.
/// For a Linux board, builds `runtime` and `foldnet-agent` as static programs into target/boards/TARGET/release,
/// where the other commands look for them. For a microcontroller, builds the firmware with the network in it.
/// Rust's target must be installed: `rustup target add aarch64-unknown-linux-musl`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  boards build rock-5b\n  boards build rp2350-pico2 model.nnef.tgz\n  \
                        boards build x86_64-unknown-linux-musl")]
pub struct Cmd {
    /// Board in the catalogue, or a Rust target for Linux (for `boards image`)
    #[arg(value_name = "BOARD|TARGET")]
    name: String,
    /// Microcontrollers only: archive, or plan from `converter export`
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
        let text = printable(&output.display().to_string()).into_owned();
        talk.result(&Outcome { output }, text)?;
        Ok(())
    }

    fn for_board(&self, talk: &Talk) -> Result<PathBuf, Failure> {
        let board = board(Some(&self.name), talk)?;
        Ok(match (&board.linux, &self.archive) {
            (Some(linux), None) => source::programs(linux.target.get_ref(), board.qemu.is_some())?,
            (None, Some(archive)) => program(&board, archive)?,
            (Some(_), Some(_)) => {
                let words = format!(
                    "{} runs Linux, so its programs contain no network. Leave out the archive here and send it \
                     with `boards flash {} ARCHIVE --host HOST`",
                    board.name, board.id
                );
                return Err(Failure::input(words));
            }
            (None, None) => {
                return Err(Failure::input(format!(
                    "{} is a microcontroller, so its firmware contains the network. Name the archive: `boards build {} \
                     ARCHIVE`",
                    board.name, board.id
                )));
            }
        })
    }
}
