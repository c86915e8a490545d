//! `boards classify`: sends images to a microcontroller and prints its answers.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Failure, Talk};
use crate::link::{Answer, Link};

/// Classify images on a microcontroller, over its serial line
///
/// Each image is stretched to the network's input size here, sent to the board and classified there.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  boards classify --port /dev/ttyACM0 --labels model.labels.txt cat.jpg\n  \
                        boards classify --port tcp:127.0.0.1:10085 tests/pictures/bird_1.png"
)]
pub struct Cmd {
    /// Images to classify (JPEG, PNG, WebP, BMP)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    line: Line,
    /// Names of the classes, one per line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

/// The serial line and the size of the images that it carries.
#[derive(clap::Args)]
#[command(next_help_heading = "Serial line")]
pub struct Line {
    /// Serial device, or tcp:HOST:PORT for an emulated board
    #[arg(long, value_name = "PORT")]
    port: String,
    /// Width and height of the network's input
    #[arg(long, value_name = "WxH", default_value = "32x32", value_parser = size)]
    pub size: Size,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

/// Width and height, in the order of every `--size` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

fn size(text: &str) -> Result<Size, String> {
    let side = |t: &str| t.parse().ok().filter(|n| (1..=4096).contains(n));
    let parse = || text.split_once('x').and_then(|(w, h)| Some(Size { width: side(w)?, height: side(h)? }));
    parse().ok_or_else(|| "expected WIDTHxHEIGHT, each from 1 to 4096, for example 64x32".into())
}

impl Line {
    /// Opens the line.
    pub fn open(&self) -> Result<Link, Failure> {
        Ok(Link::open(&self.port)?)
    }

    /// Sends the pixels of an image and waits for the answer.
    pub fn classify(&self, link: &mut Link, pixels: &[u8]) -> Result<Answer, Failure> {
        Ok(link.classify(pixels, Duration::from_secs(self.wait))?)
    }
}

#[derive(Serialize)]
struct Said<'a> {
    image: String,
    label: &'a str,
    index: u32,
    ticks: u32,
    lost: u32,
    /// Of each class, before softmax or sigmoid.
    logits: Vec<f32>,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let labels = match &self.labels {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|e| Failure::input(format!("{}: {e}", path.display())))?,
            None => String::new(),
        };
        let mut link = self.line.open()?;
        for image in &self.images {
            let Size { width, height } = self.line.size;
            let pixels = super::pixels(image, width, height)?;
            let answer = self.line.classify(&mut link, &pixels)?;
            let odd = || {
                Failure::input(format!(
                    "{}: the board's answer contains no valid logits: {}. Flash the firmware of this version again",
                    image.display(),
                    answer.logits
                ))
            };
            let logits = answer.values().ok_or_else(odd)?;
            let Answer { class, ticks, lost, .. } = answer;
            let name = format!("class {class}");
            let label = labels.lines().nth(class as usize).unwrap_or(&name);
            let image = image.display().to_string();
            // One number: itself, besides the class by its sign.
            let number = match &logits[..] {
                [one] => format!("  {one:.4}"),
                _ => String::new(),
            };
            let text = format!("{image}  {label}{number}  ({ticks} ticks)");
            talk.result(&Said { image, label, index: class, ticks, lost, logits }, text)?;
        }
        Ok(())
    }
}
