//! The loop that classifies frames, and whoever is told of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldnet_archive::{Manifest, Scores};

use crate::capture::Shared;
use crate::rest::Rest;
use crate::slot::Taken;
use crate::smooth::{Smoother, most_likely};
use crate::stats::Window;
use crate::temperature::Thermometer;
use foldnet::backend::Backend;
use foldnet_image::frame::{Fitter, Frame, View};

/// A network that can be run.
pub struct Model {
    /// Where it comes from.
    pub manifest: Manifest,
    /// Ready to run.
    pub backend: Box<dyn Backend>,
    /// From its answers to scores.
    pub scores: Scores,
    /// What each score stands for.
    pub labels: Vec<String>,
}

/// How often, and how steadily.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Of so many captured frames one is classified.
    pub every: u64,
    /// The most frames per second that are classified.
    pub fps_max: Option<f64>,
    /// Frames that the mean goes over.
    pub smooth: f32,
    /// The lead that a new label needs.
    pub hysteresis: f32,
    /// Rest while no part of the picture changes by more than so many levels, see `rest`.
    pub idle: Option<f32>,
}

/// What is known after a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Frames classified.
    pub classified: u64,
    /// The source's number of this one.
    pub number: u64,
    /// Size of the frame.
    pub size: (usize, usize),
    /// The label that stands.
    pub label: Option<usize>,
    /// The most likely classes and their smoothed scores, the best first.
    pub top: Vec<(usize, f32)>,
    /// The smoothed scores of all classes.
    pub scores: Vec<f32>,
    /// The most likely class by this frame alone, and its score.
    pub alone: (usize, f32),
    /// From the pixels to the scores.
    pub network_ms: f64,
    /// From the driver's buffer to the pixels.
    pub fit_ms: f64,
    /// From the light to the label.
    pub latency_ms: f64,
    /// Of the last frames.
    pub latency_p50_ms: f64,
    /// Of the last frames.
    pub latency_p99_ms: f64,
    /// Frames classified a second.
    pub fps: f64,
    /// Frames captured.
    pub captured: u64,
    /// Captured frames that were not classified, because a newer one came.
    pub dropped: u64,
    /// Frames that could not be used.
    pub damaged: u64,
    /// Times that the source was lost.
    pub lost: u64,
    /// Frames that were not classified because nothing had changed.
    pub rested: u64,
    /// Whether the network rests.
    pub resting: bool,
    /// Degrees Celsius, where the board tells.
    pub temperature: Option<f64>,
}

/// Whoever is told of every frame.
pub trait Listener {
    /// A frame was classified: the frame, what the network saw of it, and what is known. `false` ends
    /// the loop.
    fn frame(&mut self, frame: &Frame, pixels: &[u8], report: &Report) -> bool;

    /// There is another network.
    fn model(&mut self, _model: &Model) {}

    /// Nothing was classified for a while; `alive`: frames have come until now. Who does not tell of every
    /// frame may not have told of the last one, which `last` is of.
    fn idle(&mut self, _alive: bool, _last: &Report) {}

    /// There will be no more frames, and this is what became of them.
    fn end(&mut self, _last: &Report) {}

    /// Another view, if someone wants it.
    fn view(&mut self) -> Option<View> {
        None
    }
}

impl Listener for Vec<Box<dyn Listener>> {
    fn frame(&mut self, frame: &Frame, pixels: &[u8], report: &Report) -> bool {
        let mut go_on = true;
        // Everyone is told, also of the last frame.
        for one in self {
            go_on &= one.frame(frame, pixels, report);
        }
        go_on
    }

    fn model(&mut self, model: &Model) {
        self.iter_mut().for_each(|one| one.model(model));
    }

    fn idle(&mut self, alive: bool, last: &Report) {
        self.iter_mut().for_each(|one| one.idle(alive, last));
    }

    fn end(&mut self, last: &Report) {
        self.iter_mut().for_each(|one| one.end(last));
    }

    fn view(&mut self) -> Option<View> {
        self.iter_mut().filter_map(|one| one.view()).last()
    }
}

/// What happens beside the frames. Asked several times a second, whether frames come or not.
pub trait Control {
    /// Whether to end.
    fn stop(&mut self) -> bool;
    /// A network to go on with.
    fn replacement(&mut self) -> Option<Model>;
}

/// After so long without a classified frame everyone is told what is known all the same.
const QUIET: Duration = Duration::from_millis(250);

/// Classifies frames until the source ends or someone says stop. An error is why the source ended, when
/// that is not as it should be, or why the backend has no answer any more.
pub fn run(
    shared: &Arc<Shared>,
    model: Model,
    view: View,
    pace: Pace,
    top: usize,
    control: &mut dyn Control,
    listener: &mut dyn Listener,
) -> Result<(), String> {
    let mut report = Report::default();
    let how = classify_all(shared, model, view, pace, top, control, listener, &mut report);
    count(&mut report, shared);
    listener.end(&report);
    how
}

/// The loop of [`run`]; `report` is what is known at the end of it.
#[expect(clippy::too_many_arguments, reason = "those of `run`, and what it tells in the end")]
fn classify_all(
    shared: &Arc<Shared>,
    mut model: Model,
    view: View,
    pace: Pace,
    top: usize,
    control: &mut dyn Control,
    listener: &mut dyn Listener,
    report: &mut Report,
) -> Result<(), String> {
    let mut fitter = Fitter::new(model.manifest.input.clone(), view);
    let mut smoother = Smoother::new(pace.smooth, pace.hysteresis);
    let (mut frame, mut pixels, mut scores) = (Frame::default(), Vec::new(), Vec::new());
    let mut latencies = Window::default();
    let mut rest = pace.idle.map(Rest::new);
    let mut thermometer = Thermometer::default();
    let mut skipped = 0;
    let mut due = Instant::now();
    let mut told = due;
    listener.model(&model);
    loop {
        if control.stop() {
            return Ok(());
        }
        if let Some(other) = control.replacement() {
            model = other;
            fitter = Fitter::new(model.manifest.input.clone(), fitter.view());
            smoother.reset();
            rest = pace.idle.map(Rest::new);
            // Its classes are others.
            report.label = None;
            report.top.clear();
            report.scores.clear();
            listener.model(&model);
        }
        if let Some(view) = listener.view() {
            fitter.look(view);
        }
        // Also while frames come and none is classified: damaged ones, those of a picture that is still,
        // those that are left out.
        if told.elapsed() >= QUIET {
            count(report, shared);
            listener.idle(shared.alive.load(Ordering::Relaxed), report);
            told = Instant::now();
        }
        let early = due.saturating_duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early.min(Duration::from_millis(100)));
            continue;
        }
        match shared.slot.take(&mut frame, QUIET) {
            Taken::Frame => {}
            Taken::Nothing => continue,
            Taken::End(how) => return how,
        }
        skipped += 1;
        if skipped < pace.every {
            continue;
        }
        skipped = 0;
        if let Some(fps) = pace.fps_max {
            due = Instant::now() + Duration::from_secs_f64(1.0 / fps);
        }
        let start = Instant::now();
        let size = [model.manifest.input.width, model.manifest.input.height];
        let room = pixels_of(&mut model, &mut pixels, fitter.bytes());
        if let Err(e) = fitter.fit_into(&mut frame, room) {
            shared.is_damaged(&e);
            continue;
        }
        let fitted = Instant::now();
        if let Some(rest) = &mut rest {
            let skip = rest.may_skip(room, size, fitted);
            report.resting = rest.resting();
            if skip {
                report.rested += 1;
                continue;
            }
        }
        let answer = match model.backend.memory() {
            Some(memory) => memory.classify(),
            None => model.backend.classify(&pixels),
        };
        model.scores.fill(answer.map_err(|e| e.to_string())?, &mut scores);
        let done = Instant::now();
        let latency = done.saturating_duration_since(frame.captured);
        latencies.push(done, latency);
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        report.alone = most_likely(&scores).map_or((0, 0.0), |class| (class, scores[class]));
        report.label = smoother.push(&scores);
        report.scores.clear();
        report.scores.extend_from_slice(smoother.scores());
        report.top.clear();
        report.top.extend(smoother.top(top).into_iter().map(|i| (i, smoother.scores()[i])));
        report.classified += 1;
        (report.number, report.size) = (frame.number, (frame.width, frame.height));
        (report.fit_ms, report.network_ms) = (ms(fitted - start), ms(done - fitted));
        report.latency_ms = ms(latency);
        report.latency_p50_ms = latencies.quantile_ms(0.5);
        report.latency_p99_ms = latencies.quantile_ms(0.99);
        report.fps = latencies.fps(done);
        count(report, shared);
        report.temperature = thermometer.read(done);
        let seen = pixels_of(&mut model, &mut pixels, fitter.bytes());
        if !listener.frame(&frame, seen, report) {
            return Ok(());
        }
        told = Instant::now();
    }
}

/// What became of the frames.
fn count(report: &mut Report, shared: &Shared) {
    report.captured = shared.captured.load(Ordering::Relaxed);
    report.dropped = shared.slot.dropped();
    report.damaged = shared.damaged.load(Ordering::Relaxed);
    report.lost = shared.lost.load(Ordering::Relaxed);
}

/// Where the network's pixels are made and found: in the backend's own memory, or else in ours.
fn pixels_of<'a>(model: &'a mut Model, own: &'a mut Vec<u8>, bytes: usize) -> &'a mut [u8] {
    match model.backend.memory() {
        Some(memory) => memory.pixels(),
        None => {
            own.resize(bytes, 0);
            own
        }
    }
}
