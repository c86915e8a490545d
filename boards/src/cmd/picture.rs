//! `boards picture`: what a virtual board's camera sees.

use std::path::PathBuf;

use super::{Failure, Talk};
use crate::protocol::{FEED_HEIGHT, FEED_WIDTH};
use crate::virtual_board::show;

/// Hold a picture before the virtual board's camera
///
/// It is stretched to the camera's 640 × 480.
#[derive(clap::Args)]
pub struct Cmd {
    /// JPEG, PNG, WebP or BMP
    picture: PathBuf,
    /// The port that `boards run` gave for pictures
    #[arg(long, value_name = "N", default_value_t = 10081)]
    feed_port: u16,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let picture = super::pixels(&self.picture, FEED_WIDTH, FEED_HEIGHT)?;
        show(self.feed_port, &picture)?;
        talk.say(format!("the camera sees {}", self.picture.display()));
        Ok(())
    }
}
