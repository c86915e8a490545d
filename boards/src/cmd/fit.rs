//! `boards fit`: whether a plan or an archive fits a board, or which boards it fits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Failure, Talk, board};
use crate::fit::{FitError, needs};
use foldnet_catalogue::{self as catalogue, Board, Needs, Part, Used, misfits};

/// Check whether an archive or a plan fits a board
///
/// With a board, exits with code 3 if it does not fit. Without a board, lists every board of the catalogue and exits
/// with code 0.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  boards fit model.nnef.tgz rp2350-pico2\n  boards fit model.nnef.tgz")]
pub struct Cmd {
    /// Archive from `converter quantize`, or plan from `converter export`
    file: PathBuf,
    /// Board in the catalogue [default: all boards]
    #[arg(value_name = "BOARD")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Outcome {
    board: String,
    fits: bool,
    /// Flash and memory in bytes, including the firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    flash: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernels: Option<String>,
    why: Vec<String>,
}

impl Outcome {
    fn new(board: &Board, needs: Needs) -> Self {
        let why = misfits(&needs, board);
        let firmware = Part::of(board).map_or(Used { flash: 0, ram: 0 }, |part| part.firmware);
        Self {
            board: board.id.clone(),
            fits: why.is_empty(),
            flash: needs.flash.map(|flash| flash + firmware.flash),
            ram: Some(needs.ram + firmware.ram),
            kernels: needs.kernels,
            why,
        }
    }

    /// For a network of which no plan can be made for this board.
    fn impossible(board: &Board, why: String) -> Self {
        Self { board: board.id.clone(), fits: false, flash: None, ram: None, kernels: None, why: vec![why] }
    }
}

/// What the network needs and the board has, in words.
fn words(board: &Board, needs: &Needs) -> String {
    match Part::of(board) {
        Some(part) => part.holds(needs).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; "),
        None => format!("needs {} kB RAM", needs.ram.div_ceil(1024)),
    }
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        if self.name.is_none() && talk.board.is_none() {
            return all(&self.file, talk);
        }
        let board = board(self.name.as_deref(), talk)?;
        let needs = needs(&self.file, &board)?;
        let words = words(&board, &needs);
        let outcome = Outcome::new(&board, needs);
        let text = if outcome.fits { format!("fits {}: {words}", board.name) } else { String::new() };
        talk.result(&outcome, text)?;
        if outcome.fits { Ok(()) } else { Err(Failure::limit(outcome.why.join("; "))) }
    }
}

/// Lists every board, with whether it fits.
fn all(file: &Path, talk: &Talk) -> Result<(), Failure> {
    // Boards with the same kernels get the same plan.
    let mut known: HashMap<(bool, &str), Result<Needs, String>> = HashMap::new();
    for board in catalogue::all()? {
        let key = (board.mcu.is_some(), board.kernels());
        let needs = match known.get(&key) {
            Some(needs) => needs.clone(),
            None => {
                let needs = match needs(file, &board) {
                    Ok(needs) => Ok(needs),
                    // This network cannot run there; another board may take it.
                    Err(error @ FitError::Compile(..)) => Err(error.to_string()),
                    Err(error) => return Err(error.into()),
                };
                known.entry(key).or_insert(needs).clone()
            }
        };
        let (outcome, words) = match needs {
            Ok(needs) => {
                let words = words(&board, &needs);
                (Outcome::new(&board, needs), words)
            }
            Err(why) => (Outcome::impossible(&board, why), String::new()),
        };
        let words = if outcome.fits { words } else { outcome.why.join("; ") };
        let fits = if outcome.fits { "fits" } else { "does not fit" };
        talk.result(&outcome, format!("{:<22} {fits:<12}  {words}", board.id))?;
    }
    Ok(())
}
