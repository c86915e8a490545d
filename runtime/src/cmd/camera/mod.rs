//! `runtime camera`: frames in, labels out, until told to stop.
// Help texts show addresses as `mqtt[s]://…`, which rustdoc would take for links.
#![allow(rustdoc::broken_intra_doc_links)]

mod outputs;
mod tell;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use foldnet_camera::capture::{Capture, Shared};
#[cfg(feature = "publish")]
use foldnet_camera::rule::Rule;
use foldnet_camera::service::Service;
use foldnet_camera::source::{Place, SourceError, Wishes};
use foldnet_camera::{Control, Listener, Model, Pace, Report, run, signals};
use foldnet_image::frame::{Format, Frame, Matrix, Range, Turn, View};

use super::backend::{Choice, Loaded};
use super::{Failure, Output, printable};
use tell::Teller;

/// Classify a live camera or video
///
/// Prints labels until SIGINT or SIGTERM. SIGHUP reads the archive again. When frames come faster than the network runs,
/// the newest is classified and the others are counted as dropped.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  runtime camera model.nnef.tgz\n  \
                        runtime camera model.nnef.tgz --listen\n  \
                        runtime camera model.nnef.tgz --input photos/ --once\n  \
                        runtime camera model.nnef.tgz --when 'cat > 0.8 for 5 frames' --webhook https://host/hook")]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Camera to read
    #[arg(long, help_heading = "Input", value_name = "DEVICE", default_value = "/dev/video0")]
    device: PathBuf,
    /// Input instead of a camera: `-`, an http[s] address, an image, or a folder
    ///
    /// `-` reads Y4M, motion JPEG or raw video from standard input. An address delivers motion JPEG or a snapshot:
    /// http[s]://[user:password@]host[:port]/path, with special characters of user and password percent-encoded (`/` is
    /// %2F). ffmpeg converts everything else:
    /// ffmpeg -i INPUT -f yuv4mpegpipe -pix_fmt yuv420p - | runtime camera ARCHIVE --input -
    #[arg(long, help_heading = "Input", value_name = "INPUT", conflicts_with = "device")]
    input: Option<OsString>,
    /// Pixel format: yuyv, nv12, i420, i422, i444, rgb, grey or mjpeg (required for raw video)
    #[arg(long, help_heading = "Input", value_name = "NAME", value_parser = format)]
    format: Option<Format>,
    /// Width and height of frames (required for raw video)
    #[arg(long, help_heading = "Input", value_name = "WxH", value_parser = size)]
    size: Option<(usize, usize)>,
    /// Bytes per row of raw video, in its first plane [default: detected]
    #[arg(long, help_heading = "Input", value_name = "BYTES")]
    stride: Option<usize>,
    /// Frame rate to request from the camera, or to show images at
    #[arg(long, help_heading = "Input", value_name = "N", value_parser = rate)]
    fps: Option<f64>,
    /// YUV-to-RGB matrix (overrides the source)
    #[arg(long, help_heading = "Input", value_name = "NAME", value_parser = ["bt601", "bt709"])]
    matrix: Option<String>,
    /// Range of Y, U and V (overrides the source)
    #[arg(long, help_heading = "Input", value_name = "NAME", value_parser = ["limited", "full"])]
    range: Option<String>,
    /// Wait for a camera that is not connected yet
    #[arg(long, help_heading = "Input")]
    wait: bool,
    /// Classify every frame, and let the source wait
    #[arg(long, help_heading = "Pace")]
    all: bool,
    /// Stop after the last image of a folder
    #[arg(long, help_heading = "Input")]
    once: bool,
    /// Classify every Nth frame
    #[arg(long, help_heading = "Pace", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Largest number of frames to classify per second
    #[arg(long, help_heading = "Pace", value_name = "N", value_parser = rate)]
    fps_max: Option<f64>,
    /// Classify once a second while the image does not change
    ///
    /// Changes of at most LEVELS (of 255) in every part of the image count as no change; the default is 4.
    #[arg(long, help_heading = "Pace", value_name = "LEVELS", num_args = 0..=1, default_missing_value = "4", value_parser = levels)]
    idle: Option<f32>,
    /// Number of frames to average scores over [default: 5; 1 for image files]
    #[arg(long, help_heading = "Labels", value_name = "FRAMES", value_parser = smooth)]
    smooth: Option<f32>,
    /// Score by which a new label must lead to replace the old one [default: 0.05; 0 for image files]
    #[arg(long, help_heading = "Labels", value_name = "SHARE", value_parser = share)]
    hysteresis: Option<f32>,
    /// Part of the image to classify, as shares: left, top, width, height
    #[arg(long, help_heading = "Image", value_name = "X,Y,W,H", value_parser = region)]
    roi: Option<[f32; 4]>,
    /// Rotate the image clockwise
    #[arg(long, help_heading = "Image", value_name = "DEGREES", value_parser = ["0", "90", "180", "270"], default_value = "0")]
    rotate: String,
    /// Mirror the image
    #[arg(long, help_heading = "Image")]
    flip: bool,
    /// Answer with the classes of a teaching file from `runtime teach`
    ///
    /// Every other image is `unknown`, which rules can use: --when 'unknown for 10 frames'. SIGHUP reads this file
    /// again, too. With --listen, classes are taught on the page and kept in this file, which need not exist yet.
    #[arg(long, help_heading = "Labels", value_name = "FILE")]
    teach: Option<PathBuf>,
    /// Number of labels to print
    #[arg(long, help_heading = "Labels", value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Stop after this many classified frames
    #[arg(long, help_heading = "Pace", value_name = "N")]
    frames: Option<u64>,
    /// Serve a page with the live image, events and metrics
    ///
    /// Without an address, the page is at 127.0.0.1:8080. Addresses that other machines can reach need a token.
    #[cfg(feature = "serve")]
    #[arg(long, help_heading = "Page", value_name = "[ADDRESS:]PORT", num_args = 0..=1, default_missing_value = "8080", value_parser = address)]
    listen: Option<std::net::SocketAddr>,
    /// Secret that requests to the page must carry (safer in FOLDNET_TOKEN)
    #[cfg(feature = "serve")]
    #[arg(long, help_heading = "Page", value_name = "TOKEN", requires = "listen")]
    token: Option<String>,
    /// File of the rules that the page edits; it need not exist yet
    ///
    /// These rules are watched like those of --when, and --webhook receives them. Only --when rules have MQTT sensors.
    #[cfg(feature = "serve")]
    #[arg(long, help_heading = "Page", value_name = "FILE", requires = "listen")]
    rules: Option<PathBuf>,
    /// Keep frames that the network is unsure of, to label and train on
    #[arg(long, help_heading = "Kept frames", value_name = "FOLDER")]
    keep_uncertain: Option<PathBuf>,
    /// Score below which a frame is kept
    #[arg(long, help_heading = "Kept frames", value_name = "SHARE", default_value_t = 0.5, value_parser = share, requires = "keep_uncertain")]
    keep_below: f32,
    /// Largest size of the kept frames in megabytes; the oldest are deleted
    #[arg(long, help_heading = "Kept frames", value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..1_000_000), requires = "keep_uncertain")]
    keep_mb: u64,
    /// Publish labels to an MQTT broker; Home Assistant discovers them
    ///
    /// mqtt[s]://[user:password@]host[:port][/prefix]. The password is safer in FOLDNET_MQTT_PASSWORD.
    #[cfg(feature = "publish")]
    #[arg(long, help_heading = "Notifications", value_name = "URL")]
    mqtt: Option<String>,
    /// Name of this camera there [default: the machine's name]
    #[cfg(feature = "publish")]
    #[arg(long, help_heading = "Notifications", value_name = "NAME", requires = "mqtt")]
    mqtt_name: Option<String>,
    /// Notify when a rule holds, for example 'cat > 0.8 for 5 seconds' or 'unknown for 10 frames' (repeatable)
    #[cfg(feature = "publish")]
    #[arg(long, help_heading = "Notifications", value_name = "RULE")]
    when: Vec<Rule>,
    /// Address that gets a JSON object by POST when a rule begins to hold
    #[cfg(feature = "publish")]
    #[arg(long, help_heading = "Notifications", value_name = "URL")]
    webhook: Option<String>,
    /// Include the image in the webhook's JSON, as a JPEG in base64
    #[cfg(feature = "publish")]
    #[arg(long, help_heading = "Notifications", requires = "webhook")]
    webhook_image: bool,
    /// Certificates (PEM) to trust, instead of the system's
    #[cfg(feature = "tls")]
    #[arg(long, help_heading = "Notifications", value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
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
    parse().ok_or_else(|| "expected WIDTHxHEIGHT, for example 640x480".into())
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

fn levels(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|r| (0.0..=255.0).contains(r)).ok_or_else(|| "0 to 255".into())
}

fn region(text: &str) -> Result<[f32; 4], String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|n| share(n).ok()).collect();
    match numbers.as_deref() {
        Some(&[x, y, w, h]) if x < 1.0 && y < 1.0 && w > 0.0 && h > 0.0 => Ok([x, y, w, h]),
        _ => Err("a region is four shares of the image, as 0.25,0,0.5,1".into()),
    }
}

#[cfg(feature = "serve")]
fn address(text: &str) -> Result<std::net::SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(([127, 0, 0, 1], port).into());
    }
    text.parse().map_err(|_| "a port, or an address with one, as 0.0.0.0:8080".into())
}

impl Cmd {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        signals::listen();
        if self.teach.is_some() {
            self.choice.only_cpu("--teach")?;
        }
        let model = load(&self.archive, self.taught().as_deref(), &self.choice)?;
        let place = match &self.input {
            Some(what) => Place::new(what).map_err(Failure::input)?,
            None => Place::device(&self.device),
        };
        let wishes = self.wishes();
        let pace = self.pace(place.is_stills());
        let source = match place.open(&wishes) {
            Ok(source) => Some(source),
            Err(SourceError::Lost(why)) if self.wait => {
                tracing::warn!("{why}; waiting for it");
                None
            }
            Err(e) => return Err(Failure::input(e)),
        };
        let what = source.as_ref().map_or_else(|| format!("waiting for {place}"), |s| s.describe());
        output.say(printable(&what));
        let shared = Arc::new(Shared::default());
        shared.describe(what);
        let mut others = self.others(&model, &shared, &place, output)?;
        let capture = Capture { place, wishes, all: self.all };
        capture.start(source, shared.clone()).map_err(Failure::internal)?;
        let mut teller = Teller::new(self.frames, usize::from(self.top), output);
        let mut control = Signals { reload: None, cmd: &self, output, service: Service::of_environment() };
        control.service.tell("READY=1");
        let mut everyone = Everyone { teller: &mut teller, others: &mut others };
        let top = usize::from(self.top).max(MIN_TOP);
        let ended = run(&shared, model, self.view(), pace, top, &mut control, &mut everyone);
        control.service.tell("STOPPING=1");
        shared.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        // Who has something to finish does it now.
        drop(others);
        teller.end()?;
        ended.map_err(Failure::input)
    }

    /// The teaching file, if classes can be taught on the page.
    fn taught_on_page(&self) -> Option<&Path> {
        #[cfg(feature = "serve")]
        let listens = self.listen.is_some();
        #[cfg(not(feature = "serve"))]
        let listens = false;
        self.teach.as_deref().filter(|_| listens)
    }

    /// The teaching file to answer with. One that is not there is none where the page can make it; elsewhere it is
    /// missing.
    fn taught(&self) -> Option<PathBuf> {
        let absent = |file: &Path| {
            std::fs::symlink_metadata(file).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        };
        if self.taught_on_page().is_some_and(absent) { None } else { self.teach.clone() }
    }

    fn wishes(&self) -> Wishes {
        let matrix = |name: &String| if name == "bt709" { Matrix::Bt709 } else { Matrix::Bt601 };
        let range = |name: &String| if name == "full" { Range::Full } else { Range::Limited };
        Wishes {
            size: self.size,
            fps: self.fps,
            format: self.format,
            stride: self.stride,
            matrix: self.matrix.as_ref().map(matrix),
            range: self.range.as_ref().map(range),
            once: self.once,
            #[cfg(feature = "tls")]
            ca: self.ca.clone(),
            #[cfg(not(feature = "tls"))]
            ca: None,
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

    /// `stills`: what comes are images that have nothing to do with each other.
    fn pace(&self, stills: bool) -> Pace {
        Pace {
            every: self.every,
            fps_max: self.fps_max,
            smooth: self.smooth.unwrap_or(if stills { 1.0 } else { 5.0 }),
            hysteresis: self.hysteresis.unwrap_or(if stills { 0.0 } else { 0.05 }),
            idle: self.idle,
        }
    }
}

/// As many labels as the page and MQTT tell.
const MIN_TOP: usize = 5;

/// The one who speaks, whose word ends the program, and all others.
struct Everyone<'a> {
    teller: &'a mut Teller,
    others: &'a mut Vec<Box<dyn Listener>>,
}

impl Listener for Everyone<'_> {
    fn frame(&mut self, frame: &Frame, pixels: &[u8], report: &Report) -> bool {
        let go_on = self.teller.frame(frame, pixels, report);
        self.others.frame(frame, pixels, report) && go_on
    }

    fn model(&mut self, model: &Model) {
        self.teller.model(model);
        self.others.model(model);
    }

    fn end(&mut self, last: &Report) {
        Listener::end(self.teller, last);
        self.others.end(last);
    }

    fn idle(&mut self, alive: bool, last: &Report) {
        self.teller.idle(alive, last);
        self.others.idle(alive, last);
    }

    fn view(&mut self) -> Option<View> {
        self.others.view()
    }
}

fn load(archive: &Path, teaching: Option<&Path>, choice: &Choice) -> Result<Model, Failure> {
    let Loaded { backend, scores, manifest, other } = choice.load(archive, teaching)?;
    let labels = (0..scores.len()).map(|class| scores.name(&manifest, class)).collect();
    Ok(Model { manifest, backend, scores, labels, other })
}

/// Signals, the service manager, and the archive read again in a thread of its own, so that frames go
/// on meanwhile.
struct Signals<'a> {
    reload: Option<Receiver<Result<Model, Failure>>>,
    cmd: &'a Cmd,
    output: &'a Output,
    service: Service,
}

impl Control for Signals<'_> {
    fn stop(&mut self) -> bool {
        self.service.alive();
        signals::stop()
    }

    fn replacement(&mut self) -> Option<Model> {
        if self.reload.is_none() && signals::take_reload() {
            let (send, receive) = channel();
            let (archive, teaching) = (self.cmd.archive.clone(), self.cmd.taught());
            let choice = self.cmd.choice.clone();
            std::thread::spawn(move || {
                // Without a receiver nobody waits for it any more.
                let _ = send.send(load(&archive, teaching.as_deref(), &choice));
            });
            self.reload = Some(receive);
        }
        let loaded = match self.reload.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(Failure::internal("reading it failed")),
            Ok(loaded) => loaded,
        };
        self.reload = None;
        let archive = self.cmd.archive.display();
        match loaded {
            Ok(model) => {
                self.output.say(format_args!("{archive} was read again"));
                Some(model)
            }
            Err(e) => {
                let why = e.message();
                self.output.warn(format_args!("{archive} is refused, the old network goes on: {why}"));
                None
            }
        }
    }
}
