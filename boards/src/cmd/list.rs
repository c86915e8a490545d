//! `boards list`: lists the catalogue.

use std::fmt::Write;

use serde::Serialize;

use super::{Failure, Talk};
use foldnet_catalogue as catalogue;
use foldnet_catalogue::Board;

/// List all boards
///
/// Lists the built-in catalogue and your own files in ~/.config/foldnet/boards.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards list --json")]
pub struct Cmd {}

#[derive(Serialize)]
struct Line<'a> {
    board: &'a str,
    name: &'a str,
    soc: &'a str,
    kind: &'a str,
    kernels: &'a str,
}

/// Linux board or microcontroller, and whether it is emulated.
pub fn kind(board: &Board) -> &'static str {
    match (&board.linux, &board.qemu) {
        (Some(_), None) => "linux",
        (None, None) => "mcu",
        (Some(_), Some(_)) => "linux, emulated",
        (None, Some(_)) => "mcu, emulated",
    }
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        for board in catalogue::all()? {
            let (kind, kernels) = (kind(&board), board.kernels());
            let line = Line { board: &board.id, name: &board.name, soc: &board.soc, kind, kernels };
            let mut text = String::new();
            let _ = write!(text, "{:<22} {:<40} {:<14} {kernels:<8} {kind}", board.id, board.name, board.soc);
            talk.result(&line, text)?;
        }
        Ok(())
    }
}
