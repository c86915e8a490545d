//! `boards bench`: measures inference on a microcontroller.

use serde::Serialize;

use super::classify::{Line, Size};
use super::{Failure, Talk};

/// Measure inference on a microcontroller
///
/// Sends generated images over the serial line and prints the least, median and greatest number of timer ticks.
/// A tick is one cycle on the Pico 2, and 40 (MPS2) or 31.25 (MPS3) instructions on the boards that QEMU emulates.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  boards bench --port /dev/ttyACM0 --runs 20")]
pub struct Cmd {
    #[command(flatten)]
    line: Line,
    /// Number of inferences
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

#[derive(Serialize)]
struct Outcome {
    runs: u32,
    ticks_min: u32,
    ticks_median: u32,
    ticks_max: u32,
    lost: u32,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let mut link = self.line.open()?;
        let Size { width, height } = self.line.size;
        let (mut ticks, mut lost) = (Vec::new(), 0);
        for run in 0..self.runs {
            // Pixels without a pattern, different in each run.
            let pixel = |i: usize| ((i + 31 * run as usize).wrapping_mul(7919) >> 4) as u8;
            let answer =
                self.line.classify(&mut link, &(0..3 * width * height).map(pixel).collect::<Vec<_>>())?;
            ticks.push(answer.ticks);
            lost = answer.lost;
        }
        ticks.sort_unstable();
        let (ticks_min, ticks_max) = (ticks[0], ticks[ticks.len() - 1]);
        let ticks_median = ticks[ticks.len() / 2];
        let text = format!(
            "{} runs: least {ticks_min}, median {ticks_median}, greatest {ticks_max} ticks; {lost} images lost",
            self.runs
        );
        talk.result(&Outcome { runs: self.runs, ticks_min, ticks_median, ticks_max, lost }, text)?;
        Ok(())
    }
}
