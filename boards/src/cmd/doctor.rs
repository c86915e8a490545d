//! `boards doctor`: checks what a board has and lacks.

use super::reach::Reach;
use super::{Failure, Talk, board};
use crate::protocol::{Event, Request};

/// Check a Linux board and print how to fix what is missing
///
/// Exits with code 3 if something is missing.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards doctor rock-5b --host user@board")]
pub struct Cmd {
    /// Board in the catalogue
    #[arg(value_name = "BOARD")]
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
            other => {
                return Err(Failure::internal(format!("the agent sent an unexpected answer: {other:?}")));
            }
        };
        for finding in &findings {
            let mut text = format!("{:<12} {}", finding.what, finding.found);
            if let Some(fix) = &finding.fix {
                text += &format!("\n{:12} → {fix}", "");
            }
            talk.result(finding, text)?;
        }
        match findings.iter().filter(|f| f.fix.is_some()).count() {
            0 => Ok(()),
            n => Err(Failure::limit(format!(
                "{n} of {} checks found something to fix; see the arrows above",
                findings.len()
            ))),
        }
    }
}
