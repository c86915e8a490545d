//! `boards bench`: what an inference takes on a microcontroller.

use serde::Serialize;

use super::classify::Line;
use super::{Failure, Talk};

/// Count what an inference takes on a microcontroller
///
/// In ticks of its counter: SysTick, which counts cycles on the Pico 2, and on QEMU's boards 40 (MPS2) or
/// 31.25 (MPS3) instructions.
#[derive(clap::Args)]
pub struct Cmd {
    #[command(flatten)]
    line: Line,
    /// How many inferences
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
        let (h, w) = self.line.size;
        let (mut ticks, mut lost) = (Vec::new(), 0);
        for run in 0..self.runs {
            // Pixels without a pattern, other ones each time.
            let pixel = |i: usize| ((i + 31 * run as usize).wrapping_mul(7919) >> 4) as u8;
            let answer = self.line.classify(&mut link, &(0..3 * h * w).map(pixel).collect::<Vec<_>>())?;
            ticks.push(answer.ticks);
            lost = answer.lost;
        }
        ticks.sort_unstable();
        let (ticks_min, ticks_max) = (ticks[0], ticks[ticks.len() - 1]);
        let ticks_median = ticks[ticks.len() / 2];
        let text =
            format!("{} runs: {ticks_min} … {ticks_median} … {ticks_max} ticks; {lost} lost", self.runs);
        talk.result(&Outcome { runs: self.runs, ticks_min, ticks_median, ticks_max, lost }, text);
        Ok(())
    }
}
