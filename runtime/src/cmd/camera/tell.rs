//! What `runtime camera` says on standard output.

use std::time::{Duration, Instant};

use foldnet_archive::Scores;
use foldnet_camera::{Listener, Model, Report};
use foldnet_image::frame::Frame;
use serde::Serialize;

use crate::cmd::{Failure, Output, count, printable};

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    frame: u64,
    label: Option<&'a str>,
    labels: Vec<Label<'a>>,
    latency_ms: f64,
    ms: f64,
    fps: f64,
    captured: u64,
    dropped: u64,
    damaged: u64,
    resting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
}

#[derive(Serialize)]
struct Label<'a> {
    label: &'a str,
    index: usize,
    score: f32,
}

/// Tells what is seen: on a terminal one line that stays, otherwise a line for each new label; with
/// `--json` a line for each frame.
pub struct Teller {
    output: Output,
    terminal: bool,
    labels: Vec<String>,
    scores: Option<Scores>,
    limit: Option<u64>,
    top: usize,
    /// The label and the number of the frame that were told, and when.
    told: Option<(Option<usize>, u64, Instant)>,
    last: Report,
    failure: Option<Failure>,
}

/// How often a terminal's line changes.
const REFRESH: Duration = Duration::from_millis(100);

impl Teller {
    /// For a camera that ends after so many frames, and tells the `top` best labels.
    pub fn new(limit: Option<u64>, top: usize, output: &Output) -> Self {
        Self {
            output: output.clone(),
            terminal: output.is_terminal(),
            labels: Vec::new(),
            scores: None,
            limit,
            top,
            told: None,
            last: Report::default(),
            failure: None,
        }
    }

    fn tell(&mut self, report: &Report) -> Result<(), Failure> {
        let n = &report.numbers;
        if self.output.quiet() && !self.output.json() {
            return Ok(());
        }
        if self.output.json() {
            let name = |i: usize| self.labels[i].as_str();
            let labels =
                report.top.iter().take(self.top).map(|&(i, score)| Label { label: name(i), index: i, score });
            let line = Line {
                frame: report.number,
                label: report.label.map(name),
                labels: labels.collect(),
                latency_ms: n.latency_ms,
                ms: n.network_ms,
                fps: n.fps,
                captured: n.captured,
                dropped: n.dropped,
                damaged: n.damaged,
                resting: n.resting,
                temperature: n.temperature,
            };
            self.output.data(&line)?;
            return self.output.flush();
        }
        let due =
            self.told.is_none_or(
                |(label, _, at)| {
                    if self.terminal { at.elapsed() >= REFRESH } else { label != report.label }
                },
            );
        if !due {
            return Ok(());
        }
        self.told = Some((report.label, report.number, Instant::now()));
        let top: Vec<String> = report
            .top
            .iter()
            .take(self.top)
            .map(|&(i, score)| {
                let shown = self.scores.map_or_else(|| score.to_string(), |scores| scores.show(score));
                format!("{} {}", printable(&self.labels[i]), shown.trim_start())
            })
            .collect();
        let warm = n.temperature.map_or(String::new(), |celsius| format!("  {celsius:.0} °C"));
        let resting = if n.resting { "  at rest" } else { "" };
        let line =
            format!("{:<48}  {:5.1} fps  {:6.1} ms old{warm}{resting}", top.join("   "), n.fps, n.latency_ms);
        if self.terminal {
            self.output.status(line)?;
        } else {
            self.output.line(line)?;
        }
        self.output.flush()
    }

    /// The last words.
    pub fn end(mut self) -> Result<(), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.terminal
            && let Some((_, told, _)) = self.told
        {
            if told != self.last.number {
                // It came too soon after another.
                self.told = None;
                let last = std::mem::take(&mut self.last);
                self.tell(&last)?;
                self.last = last;
            }
            self.output.line("")?;
        }
        self.output.flush()?;
        let n = &self.last.numbers;
        let age = match n.classified {
            0 => String::new(),
            _ => format!("; age at the label p50 {:.1} ms, p99 {:.1} ms", n.latency_p50_ms, n.latency_p99_ms),
        };
        self.output.say(format_args!(
            "{} classified of {} captured, {} dropped, {} damaged; source lost {}{age}",
            count(n.classified as usize, "frame"),
            n.captured,
            n.dropped,
            n.damaged,
            count(n.lost as usize, "time")
        ));
        Ok(())
    }
}

impl Listener for Teller {
    fn frame(&mut self, _frame: &Frame, _pixels: &[u8], report: &Report) -> bool {
        if let Err(failure) = self.tell(report) {
            self.failure = Some(failure);
            return false;
        }
        self.last.clone_from(report);
        self.limit.is_none_or(|limit| report.numbers.classified < limit)
    }

    fn model(&mut self, model: &Model) {
        self.labels.clone_from(&model.labels);
        self.scores = Some(model.scores);
        self.told = None;
    }

    fn end(&mut self, last: &Report) {
        self.last.clone_from(last);
    }

    fn idle(&mut self, _alive: bool, last: &Report) {
        if self.terminal && self.told.is_some_and(|(_, number, _)| number != last.number) {
            self.failure = self.tell(last).err();
        }
    }
}
