//! `boards doctor`: what a board has, lacks, and how to mend it.

use super::reach::Reach;
use super::{Failure, Talk, board};
use crate::protocol::{Event, Request};

/// Say what a board has, what is missing on it, and how to fix it
///
/// Exit code 3 when something is missing.
#[derive(clap::Args)]
pub struct Cmd {
    /// The board's name in the catalogue
    name: String,
    #[command(flatten)]
    reach: Reach,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(Some(&self.name), talk)?;
        let findings = match self.reach.ask(&board, &Request::Doctor, talk)? {
            Event::Findings(findings) => findings,
            other => return Err(Failure::Fault(format!("the agent answers {other:?}"))),
        };
        for finding in &findings {
            let mut text = format!("{:<12} {}", finding.what, finding.found);
            if let Some(fix) = &finding.fix {
                text += &format!("\n{:12} → {fix}", "");
            }
            talk.result(finding, text);
        }
        match findings.iter().filter(|f| f.fix.is_some()).count() {
            0 => Ok(()),
            n => Err(Failure::Limit(format!("{n} of {} to look after", findings.len()))),
        }
    }
}
