//! `boards fit`: whether a plan or an archive fits a board, or which boards it fits, and how long it is expected to take.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::time::{Ranking, Rate, Time};
use super::{Failure, Talk, board};
use crate::fit::{FitError, needs};
use crate::steps::steps_of;
use foldnet_catalogue::{self as catalogue, Board, Needs, Part, Used, misfits, unknown};

/// Check whether an archive or a plan fits a board, and how fast it is there
///
/// With a board, exits with code 3 if it does not fit. Without a board, lists every board of the catalogue and exits
/// with code 0. Expected times are for one thread on the fastest core. They are estimated in a model of the core, not
/// measured; the documentation describes the interval in parentheses.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  boards fit model.nnef.tgz rp2350-pico2\n  boards fit model.nnef.tgz\n  \
                  boards fit model.nnef.tgz raspberry-pi-4 --fps 10"
)]
pub struct Cmd {
    /// Archive from `converter quantize`, or plan from `converter export`
    file: PathBuf,
    /// Board in the catalogue [default: all boards]
    #[arg(value_name = "BOARD")]
    name: Option<String>,
    /// Images per second that a board must reach on one thread
    ///
    /// With a board, exits with code 3 unless the slow end of the expected time reaches it. Without a board, also
    /// lists the boards that reach it.
    #[arg(long, value_name = "N")]
    fps: Option<Rate>,
}

#[derive(Serialize)]
struct Outcome {
    board: String,
    /// Nothing if the catalogue does not contain the size of a memory that is needed.
    fits: Option<bool>,
    /// Flash and memory in bytes, including the firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    flash: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernels: Option<String>,
    why: Vec<String>,
    #[serde(flatten)]
    time: Time,
}

impl Outcome {
    fn new(board: &Board, needs: Needs, time: Time) -> Self {
        let mut why = misfits(&needs, board);
        let unknown = unknown(&needs, board);
        let fits = match (&why[..], &unknown[..]) {
            ([], []) => Some(true),
            ([], memories) => {
                let sizes = memories.join(" and ");
                why.push(format!("the catalogue does not contain the size of {}'s {sizes}", board.name));
                None
            }
            _ => Some(false),
        };
        let firmware = Part::of(board).map_or(Used { flash: 0, ram: 0 }, |part| part.firmware);
        Self {
            board: board.id.clone(),
            fits,
            flash: needs.flash.map(|flash| flash + firmware.flash),
            ram: Some(needs.ram + firmware.ram),
            kernels: needs.kernels,
            why,
            time,
        }
    }

    /// For a network of which no plan can be made for this board.
    fn impossible(board: &Board, why: String, time: Time) -> Self {
        Self {
            board: board.id.clone(),
            fits: Some(false),
            flash: None,
            ram: None,
            kernels: None,
            why: vec![why],
            time,
        }
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
            return all(&self.file, self.fps, talk);
        }
        let board = board(self.name.as_deref(), talk)?;
        let needs = needs(&self.file, &board)?;
        let words = words(&board, &needs);
        let time = Time::new(&board, &steps_of(&self.file)?, self.fps);
        let outcome = Outcome::new(&board, needs, time);
        let text = match outcome.fits {
            Some(true) => format!("fits {}: {words}\n{}", board.name, outcome.time.sentence()),
            _ => String::new(),
        };
        talk.result(&outcome, text)?;
        match outcome.fits {
            Some(true) => {}
            Some(false) => return Err(Failure::limit(outcome.why.join("; "))),
            None => return Err(Failure::limit(format!("may fit: {words}; {}", outcome.why.join("; ")))),
        }
        outcome.time.missed(&board.name).map_or(Ok(()), |why| Err(Failure::limit(why)))
    }
}

/// Lists every board, with whether it fits and its expected time.
fn all(file: &Path, fps: Option<Rate>, talk: &Talk) -> Result<(), Failure> {
    let steps = steps_of(file)?;
    let mut ranking = Ranking::default();
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
        let time = Time::new(&board, &steps, fps);
        let (outcome, words) = match needs {
            Ok(needs) => {
                let words = words(&board, &needs);
                (Outcome::new(&board, needs, time), words)
            }
            Err(why) => (Outcome::impossible(&board, why, time), String::new()),
        };
        let (fits, words) = match outcome.fits {
            Some(true) => ("fits", format!("{words}; {}", outcome.time.phrase())),
            Some(false) => ("does not fit", outcome.why.join("; ")),
            None => ("unknown", format!("{words}; {}", outcome.time.phrase())),
        };
        talk.result(&outcome, format!("{:<22} {fits:<12}  {words}", board.id))?;
        if outcome.fits == Some(true) {
            ranking.add(&board.id, outcome.time);
        }
    }
    if !talk.output.json()
        && let Some(rate) = fps
    {
        for line in ranking.lines(rate) {
            talk.output.line(line)?;
        }
    }
    Ok(())
}
