//! `boards fit`: whether a plan or an archive fits a board.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk, board};
use crate::fit::{Needs, misfits, needs};

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
    #[serde(flatten)]
    needs: &'a Needs,
    why: &'a [String],
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(self.name.as_deref(), talk)?;
        let needs = needs(&self.file, &board)?;
        let why = misfits(&needs, &board);
        let flash = needs.flash.map_or(String::new(), |f| format!(", {} kB flash", f.div_ceil(1024)));
        let text = format!("fits {}: needs {} kB RAM{flash}", board.name, needs.ram.div_ceil(1024));
        let text = if why.is_empty() { text } else { String::new() };
        talk.result(&Outcome { board: &board.id, fits: why.is_empty(), needs: &needs, why: &why }, text);
        if why.is_empty() { Ok(()) } else { Err(Failure::Limit(why.join("; "))) }
    }
}
