//! `boards picture`: shows an image to a virtual board's camera.

use std::path::PathBuf;

use super::{Failure, Talk};
use crate::protocol::{FEED_HEIGHT, FEED_WIDTH};
use crate::virtual_board::show;

/// Show an image to the virtual board's camera
///
/// The image is stretched to the camera's 640×480 pixels. `boards run` must be running.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards picture tests/pictures/bird_1.png")]
pub struct Cmd {
    /// Image (JPEG, PNG, WebP, BMP)
    #[arg(value_name = "IMAGE")]
    picture: PathBuf,
    /// Port of the camera, as given to `boards run`
    #[arg(long, value_name = "N", default_value_t = 10081)]
    feed_port: u16,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let picture = super::pixels(&self.picture, FEED_WIDTH, FEED_HEIGHT)?;
        show(self.feed_port, &picture)?;
        talk.say(format!("the camera now sees {}", self.picture.display()));
        Ok(())
    }
}
