//! `boards fit`: whether a plan or an archive fits a board.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk, board};
use crate::fit::{Part, Used, misfits, needs};

/// Say whether a plan or an archive fits a board; exit code 3 when it does not
#[derive(clap::Args)]
pub struct Cmd {
    /// What `converter export --plan` or `converter quantize` wrote
    file: PathBuf,
    /// The board's name
    name: Option<String>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    board: &'a str,
    fits: bool,
    /// Flash and memory in bytes, with what the firmware takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    flash: Option<usize>,
    ram: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernels: Option<String>,
    why: &'a [String],
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(self.name.as_deref(), talk)?;
        let needs = needs(&self.file, &board)?;
        let why = misfits(&needs, &board);
        let part = Part::of(&board);
        let firmware = part.map_or(Used { flash: 0, ram: 0 }, |part| part.firmware);
        let words = match part {
            Some(part) => part.holds(&needs).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; "),
            None => format!("needs {} kB RAM", needs.ram.div_ceil(1024)),
        };
        let text = if why.is_empty() { format!("fits {}: {words}", board.name) } else { String::new() };
        let outcome = Outcome {
            board: &board.id,
            fits: why.is_empty(),
            flash: needs.flash.map(|flash| flash + firmware.flash),
            ram: needs.ram + firmware.ram,
            kernels: needs.kernels,
            why: &why,
        };
        talk.result(&outcome, text);
        if why.is_empty() { Ok(()) } else { Err(Failure::Limit(why.join("; "))) }
    }
}
