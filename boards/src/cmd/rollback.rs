//! `boards rollback`: returns to the previous release.

use super::reach::Reach;
use super::status::answered;
use super::{Failure, Talk};
use crate::protocol::Request;

/// Return to the previous release
///
/// The previous release is tested as `boards flash` tests a new one: it must classify an image and its camera service
/// must stay up. A second `rollback` undoes the first.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards rollback rock-5b --host user@board")]
pub struct Cmd {
    /// Board in the catalogue
    #[arg(value_name = "BOARD")]
    name: String,
    #[command(flatten)]
    reach: Reach,
    /// Time limit for the first classification and for the start of the service
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Test of the release")]
    health_seconds: u32,
    /// Time that the service must then stay up
    #[arg(long, value_name = "SECONDS", default_value_t = 5, help_heading = "Test of the release")]
    settle_seconds: u32,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let (health_seconds, settle_seconds) = (self.health_seconds, self.settle_seconds);
        let request = Request::Rollback { health_seconds, settle_seconds };
        answered(&self.name, &self.reach, &request, talk)
    }
}
