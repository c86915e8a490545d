//! `boards rollback`: back to the release before.

use super::reach::Reach;
use super::status::answered;
use super::{Failure, Talk};
use crate::protocol::Request;

/// Go back to the release before
///
/// It must classify and its service must hold, as when it was flashed; a second `rollback` goes forward
/// again.
#[derive(clap::Args)]
pub struct Cmd {
    /// The board's name in the catalogue
    name: String,
    #[command(flatten)]
    reach: Reach,
    /// Seconds for the first classification, and for the service to come up
    #[arg(long, value_name = "N", default_value_t = 60)]
    health_seconds: u32,
    /// Seconds that the service must then stay up
    #[arg(long, value_name = "N", default_value_t = 5)]
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
