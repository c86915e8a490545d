//! `boards classify`: a picture to a microcontroller, its answer back.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Failure, Talk};
use crate::link::{Answer, Link};

/// Let a microcontroller classify pictures, over its serial line
#[derive(clap::Args)]
pub struct Cmd {
    /// Pictures (JPEG, PNG, WebP, BMP)
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    line: Line,
    /// Names of the classes, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

/// The line, and what goes over it.
#[derive(clap::Args)]
pub struct Line {
    /// Serial device as /dev/ttyACM0, or tcp:HOST:PORT for an emulated board
    #[arg(long, value_name = "PORT")]
    port: String,
    /// The network's input: rows and columns
    #[arg(long, value_name = "HxW", default_value = "32x32", value_parser = size)]
    pub size: (usize, usize),
    /// Seconds to wait for an answer
    #[arg(long, value_name = "N", default_value_t = 30)]
    wait: u64,
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let side = |t: &str| t.parse().ok().filter(|n| (1..=4096).contains(n));
    let parse = || text.split_once('x').and_then(|(h, w)| Some((side(h)?, side(w)?)));
    parse().ok_or_else(|| "a size is two numbers, as 32x32".into())
}

impl Line {
    /// Opens it.
    pub fn open(&self) -> Result<Link, Failure> {
        Ok(Link::open(&self.port)?)
    }

    /// Sends a picture's pixels.
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
                .map_err(|e| Failure::Input(format!("{}: {e}", path.display())))?,
            None => String::new(),
        };
        let mut link = self.line.open()?;
        for image in &self.images {
            let pixels = super::pixels(image, self.line.size.1, self.line.size.0)?;
            let answer = self.line.classify(&mut link, &pixels)?;
            let odd = || Failure::Input(format!("the board's logits are none: {}", answer.logits));
            let logits = answer.values().ok_or_else(odd)?;
            let Answer { class, ticks, lost, .. } = answer;
            let name = format!("class {class}");
            let label = labels.lines().nth(class as usize).unwrap_or(&name);
            let image = image.display().to_string();
            let text = format!("{image}  {label}  ({ticks} ticks)");
            talk.result(&Said { image, label, index: class, ticks, lost, logits }, text);
        }
        Ok(())
    }
}
