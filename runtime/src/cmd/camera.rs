//! `runtime camera`: frames in, labels out, until told to stop.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use foldnet_archive::Manifest;
use foldnet_runtime::camera::capture::Capture;
use foldnet_runtime::camera::{Control, Listener, Model, Pace, Report, run, signals};
use foldnet_runtime::frame::{Format, Frame, Matrix, Range, Turn, View};
use foldnet_runtime::source::{Place, SourceError, Wishes, open};
use serde::Serialize;

use super::{Engine, Failure, Out, Voice, label, read};

/// Say what a camera sees
///
/// Labels of a live picture, until SIGINT or SIGTERM. SIGHUP reads the archive again. When frames come
/// faster than the network runs, the newest is taken and the others are counted as dropped.
#[derive(clap::Args)]
pub struct Cmd {
    /// The quantized network, a .nnef.tgz file that `converter quantize` wrote
    archive: PathBuf,
    /// A camera
    #[arg(long, value_name = "DEVICE", default_value = "/dev/video0")]
    device: PathBuf,
    /// In place of a camera: `-` (Y4M, motion JPEG or raw video on standard input), an http:// address
    /// of motion JPEG, a picture, or a folder of pictures
    #[arg(long, value_name = "WHAT", conflicts_with = "device")]
    input: Option<String>,
    /// Pixel format: yuyv, nv12, i420, i422, i444, rgb, grey, mjpeg; raw video needs it
    #[arg(long, value_name = "NAME", value_parser = format)]
    format: Option<Format>,
    /// Frame size; a camera comes as near as it can, raw video needs it
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(usize, usize)>,
    /// Frames per second to ask the camera for, or to show pictures at
    #[arg(long, value_name = "N", value_parser = rate)]
    fps: Option<f64>,
    /// What Y, U and V are made with, in place of what the source says
    #[arg(long, value_name = "NAME", value_parser = ["bt601", "bt709"])]
    matrix: Option<String>,
    /// The range of Y, U and V, in place of what the source says
    #[arg(long, value_name = "NAME", value_parser = ["limited", "full"])]
    range: Option<String>,
    /// Wait for a camera that is not there yet
    #[arg(long)]
    wait: bool,
    /// Classify every frame: let the source wait instead of dropping frames
    #[arg(long)]
    all: bool,
    /// End after one turn through the pictures
    #[arg(long)]
    once: bool,
    /// Classify every Nth frame
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Classify no more frames per second than this
    #[arg(long, value_name = "N", value_parser = rate)]
    fps_max: Option<f64>,
    /// Mean of scores over about so many frames; 1 for none
    #[arg(long, value_name = "FRAMES", default_value_t = 5.0, value_parser = smooth)]
    smooth: f32,
    /// The lead in score that a new label needs
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, value_parser = share)]
    hysteresis: f32,
    /// Part of the picture to look at: left, top, width and height as shares, as 0.25,0,0.5,1
    #[arg(long, value_name = "X,Y,W,H", value_parser = region)]
    roi: Option<[f32; 4]>,
    /// Turn the picture clockwise: 90, 180 or 270
    #[arg(long, value_name = "DEGREES", value_parser = ["0", "90", "180", "270"], default_value = "0")]
    rotate: String,
    /// Exchange left and right
    #[arg(long)]
    flip: bool,
    /// How many labels to tell
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// End after so many classified frames
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// Threads; 0 means one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    #[command(flatten)]
    engine: Engine,
}

fn format(name: &str) -> Result<Format, String> {
    let found = Format::NAMED.iter().find(|(n, _)| *n == name);
    found.map(|(_, f)| *f).ok_or_else(|| "no such format".into())
}

fn size(text: &str) -> Result<(usize, usize), String> {
    let parse = || {
        let (w, h) = text.split_once(['x', '×'])?;
        Some((w.parse().ok()?, h.parse().ok()?))
    };
    parse().ok_or_else(|| "a size is two numbers, as 640x480".into())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|r| (0.001..=1000.0).contains(r)).ok_or_else(|| "0.001 to 1000".into())
}

fn smooth(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|r| (1.0..=10_000.0).contains(r)).ok_or_else(|| "1 to 10000".into())
}

fn share(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|r| (0.0..=1.0).contains(r)).ok_or_else(|| "0 to 1".into())
}

fn region(text: &str) -> Result<[f32; 4], String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|n| share(n).ok()).collect();
    match numbers.as_deref() {
        Some(&[x, y, w, h]) if x < 1.0 && y < 1.0 && w > 0.0 && h > 0.0 => Ok([x, y, w, h]),
        _ => Err("a region is four shares of the picture, as 0.25,0,0.5,1".into()),
    }
}

impl Cmd {
    /// Runs the command.
    pub fn run(self, voice: Voice) -> Result<(), Failure> {
        signals::listen();
        let model = load(&self.archive, &self.engine, self.threads)?;
        let place = match &self.input {
            Some(what) => Place::new(what),
            None => Place::Device(self.device.clone()),
        };
        let wishes = self.wishes();
        let source = match open(&place, &wishes) {
            Ok(source) => Some(source),
            Err(SourceError::Lost(why)) if self.wait => {
                tracing::warn!("{why}; waiting for it");
                None
            }
            Err(e) => return Err(Failure::input(e)),
        };
        if let Some(source) = source.as_ref().filter(|_| !voice.quiet) {
            eprintln!("{}", source.describe());
        }
        let shared = Capture { place, wishes, all: self.all }.start(source).map_err(Failure::ours)?;
        let mut control = Signals { reload: None, cmd: &self };
        let mut listener = Teller::new(&self, voice);
        let top = usize::from(self.top);
        let ended = run(&shared, model, self.view(), self.pace(), top, &mut control, &mut listener);
        shared.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        listener.end()?;
        ended.map_err(Failure::input)
    }

    fn wishes(&self) -> Wishes {
        let matrix = |name: &String| if name == "bt709" { Matrix::Bt709 } else { Matrix::Bt601 };
        let range = |name: &String| if name == "full" { Range::Full } else { Range::Limited };
        Wishes {
            size: self.size,
            fps: self.fps,
            format: self.format,
            matrix: self.matrix.as_ref().map(matrix),
            range: self.range.as_ref().map(range),
            once: self.once,
        }
    }

    fn view(&self) -> View {
        let turn = match self.rotate.as_str() {
            "90" => Turn::Right,
            "180" => Turn::Half,
            "270" => Turn::Left,
            _ => Turn::None,
        };
        View { turn, mirror: self.flip, roi: self.roi }
    }

    fn pace(&self) -> Pace {
        Pace { every: self.every, fps_max: self.fps_max, smooth: self.smooth, hysteresis: self.hysteresis }
    }
}

fn load(archive: &Path, engine: &Engine, threads: usize) -> Result<Model, Failure> {
    let (network, manifest) = read(archive)?;
    let session = engine.session(&network, threads)?;
    Ok(Model { network, manifest, session })
}

/// Signals, and the archive read again in a thread of its own, so that frames go on meanwhile.
struct Signals<'a> {
    reload: Option<Receiver<Result<Model, Failure>>>,
    cmd: &'a Cmd,
}

impl Control for Signals<'_> {
    fn stop(&self) -> bool {
        signals::stop()
    }

    fn replacement(&mut self) -> Option<Model> {
        if self.reload.is_none() && signals::take_reload() {
            let (send, receive) = channel();
            let (archive, engine, threads) =
                (self.cmd.archive.clone(), self.cmd.engine.clone(), self.cmd.threads);
            std::thread::spawn(move || {
                // Without a receiver nobody waits for it any more.
                let _ = send.send(load(&archive, &engine, threads));
            });
            self.reload = Some(receive);
        }
        let loaded = match self.reload.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(Failure::ours("reading it failed")),
            Ok(loaded) => loaded,
        };
        self.reload = None;
        let archive = self.cmd.archive.display();
        match loaded {
            Ok(model) => {
                eprintln!("{archive} was read again");
                Some(model)
            }
            Err(e) => {
                eprintln!("runtime: {archive} is refused, the old network goes on: {}", e.message);
                None
            }
        }
    }
}

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
}

#[derive(Serialize)]
struct Label<'a> {
    label: &'a str,
    index: usize,
    score: f32,
}

/// Tells what is seen: on a terminal one line that stays, otherwise a line for each new label; with
/// `--json` a line for each frame.
struct Teller {
    out: Out,
    voice: Voice,
    terminal: bool,
    labels: Vec<String>,
    limit: Option<u64>,
    told: Option<(Option<usize>, Instant)>,
    last: Report,
    failure: Option<Failure>,
}

/// How often a terminal's line changes.
const REFRESH: Duration = Duration::from_millis(100);

impl Teller {
    fn new(cmd: &Cmd, voice: Voice) -> Self {
        Self {
            out: Out::new(),
            voice,
            terminal: std::io::stdout().is_terminal() && !voice.json,
            labels: Vec::new(),
            limit: cmd.frames,
            told: None,
            last: Report::default(),
            failure: None,
        }
    }

    fn tell(&mut self, report: &Report) -> Result<(), Failure> {
        if self.voice.json {
            let name = |i: usize| self.labels[i].as_str();
            let labels = report.top.iter().map(|&(i, score)| Label { label: name(i), index: i, score });
            let line = Line {
                frame: report.number,
                label: report.label.map(name),
                labels: labels.collect(),
                latency_ms: report.latency_ms,
                ms: report.network_ms,
                fps: report.fps,
                captured: report.captured,
                dropped: report.dropped,
                damaged: report.damaged,
            };
            self.out.line(serde_json::to_string(&line).map_err(Failure::ours)?)?;
            return self.out.flush();
        }
        let (label, at) = self.told.unzip();
        let due = if self.terminal {
            at.is_none_or(|at: Instant| at.elapsed() >= REFRESH)
        } else {
            label != Some(report.label)
        };
        if !due {
            return Ok(());
        }
        self.told = Some((report.label, Instant::now()));
        let top: Vec<String> = report
            .top
            .iter()
            .map(|&(i, score)| format!("{} {:.1} %", self.labels[i], 100.0 * score))
            .collect();
        let line =
            format!("{:<48}  {:5.1} fps  {:6.1} ms old", top.join("   "), report.fps, report.latency_ms);
        if self.terminal {
            // Back to the line's start, and clear what was longer.
            self.out.text(format!("\r{line}\x1b[K"))?;
        } else {
            self.out.line(line)?;
        }
        self.out.flush()
    }

    fn end(mut self) -> Result<(), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.terminal && self.told.is_some() {
            self.out.line("")?;
        }
        self.out.flush()?;
        if !self.voice.quiet {
            let r = &self.last;
            eprintln!(
                "{} frames classified of {} captured, {} dropped, {} damaged; source lost {} times; \
                 age at the label p50 {:.1} ms, p99 {:.1} ms",
                r.classified, r.captured, r.dropped, r.damaged, r.lost, r.latency_p50_ms, r.latency_p99_ms
            );
        }
        Ok(())
    }
}

impl Listener for Teller {
    fn frame(&mut self, _: &Frame, _: &[u8], report: &Report) -> bool {
        if let Err(failure) = self.tell(report) {
            self.failure = Some(failure);
            return false;
        }
        self.last.clone_from(report);
        self.limit.is_none_or(|limit| report.classified < limit)
    }

    fn model(&mut self, model: &Model) {
        self.labels = names(&model.manifest, model.network.classes());
        self.told = None;
    }

    fn idle(&mut self, _: bool) -> bool {
        true
    }

    fn view(&mut self) -> Option<View> {
        None
    }
}

fn names(manifest: &Manifest, classes: usize) -> Vec<String> {
    (0..classes).map(|class| label(manifest, class)).collect()
}
