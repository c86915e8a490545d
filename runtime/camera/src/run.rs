//! The loop that classifies frames, and whoever is told of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldnet_archive::{Manifest, Scores};

use crate::capture::Shared;
use crate::rest::Rest;
use crate::slot::Taken;
use crate::smooth::{Smoother, most_likely};
use crate::stats::{Numbers, Window};
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
    /// The label of an image that is of no class, where there is such a label.
    pub other: Option<&'static str>,
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
    /// What is counted and measured.
    pub numbers: Numbers,
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
    let mut state = Loop::new(shared, model, view, pace, top);
    let how = state.run(control, listener);
    state.count();
    listener.end(&state.report);
    how
}

/// What [`run`] goes on with from frame to frame.
struct Loop<'a> {
    shared: &'a Shared,
    model: Model,
    pace: Pace,
    /// How many classes a report tells.
    top: usize,
    frame: Frame,
    fitter: Fitter,
    pixels: Vec<u8>,
    scores: Vec<f32>,
    smoother: Smoother,
    rest: Option<Rest>,
    latencies: Window,
    thermometer: Thermometer,
    report: Report,
}

impl<'a> Loop<'a> {
    fn new(shared: &'a Shared, model: Model, view: View, pace: Pace, top: usize) -> Self {
        Self {
            shared,
            pace,
            top,
            frame: Frame::default(),
            fitter: Fitter::new(model.manifest.input.clone(), view),
            pixels: Vec::new(),
            scores: Vec::new(),
            smoother: Smoother::new(pace.smooth, pace.hysteresis),
            rest: pace.idle.map(Rest::new),
            latencies: Window::default(),
            thermometer: Thermometer::default(),
            report: Report::default(),
            model,
        }
    }

    fn run(&mut self, control: &mut dyn Control, listener: &mut dyn Listener) -> Result<(), String> {
        let (mut skipped, mut due) = (0, Instant::now());
        let mut told = due;
        listener.model(&self.model);
        loop {
            if control.stop() {
                return Ok(());
            }
            if let Some(model) = control.replacement() {
                self.replace(model);
                listener.model(&self.model);
            }
            if let Some(view) = listener.view() {
                self.fitter.look(view);
            }
            // Also while frames come and none is classified: damaged ones, those of a picture that is still,
            // those that are left out.
            if told.elapsed() >= QUIET {
                self.count();
                listener.idle(self.shared.is_alive(), &self.report);
                told = Instant::now();
            }
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                std::thread::sleep(early.min(Duration::from_millis(100)));
                continue;
            }
            match self.shared.slot.take(&mut self.frame, QUIET) {
                Taken::Frame => {}
                Taken::Nothing => continue,
                Taken::End(how) => return how,
            }
            skipped += 1;
            if skipped < self.pace.every {
                continue;
            }
            skipped = 0;
            if let Some(fps) = self.pace.fps_max {
                due = Instant::now() + Duration::from_secs_f64(1.0 / fps);
            }
            if !self.classify()? {
                continue;
            }
            let seen = pixels_of(&mut self.model, &mut self.pixels, self.fitter.bytes());
            if !listener.frame(&self.frame, seen, &self.report) {
                return Ok(());
            }
            told = Instant::now();
        }
    }

    /// Goes on with another network, whose classes are others.
    fn replace(&mut self, model: Model) {
        self.model = model;
        self.fitter = Fitter::new(self.model.manifest.input.clone(), self.fitter.view());
        self.smoother.reset();
        self.rest = self.pace.idle.map(Rest::new);
        self.report.label = None;
        self.report.top.clear();
        self.report.scores.clear();
    }

    /// Classifies the frame and reports on it. `false`: it is damaged, or the network rests.
    fn classify(&mut self) -> Result<bool, String> {
        let start = Instant::now();
        let size = [self.model.manifest.input.width, self.model.manifest.input.height];
        let room = pixels_of(&mut self.model, &mut self.pixels, self.fitter.bytes());
        if let Err(e) = self.fitter.fit_into(&mut self.frame, room) {
            self.shared.is_damaged(&e);
            return Ok(false);
        }
        let fitted = Instant::now();
        if let Some(rest) = &mut self.rest {
            let skip = rest.may_skip(room, size, fitted);
            self.report.numbers.resting = rest.resting();
            if skip {
                self.report.numbers.rested += 1;
                return Ok(false);
            }
        }
        let answer = match self.model.backend.memory() {
            Some(memory) => memory.classify(),
            None => self.model.backend.classify(&self.pixels),
        };
        self.model.scores.fill(answer.map_err(|e| e.to_string())?, &mut self.scores);
        self.measure(start, fitted, Instant::now());
        self.answer();
        Ok(true)
    }

    /// Counts and times the frame that was classified.
    fn measure(&mut self, start: Instant, fitted: Instant, done: Instant) {
        let latency = done.saturating_duration_since(self.frame.captured);
        self.latencies.push(done, latency);
        self.count();
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let n = &mut self.report.numbers;
        n.classified += 1;
        (n.fit_ms, n.network_ms) = (ms(fitted - start), ms(done - fitted));
        n.latency_ms = ms(latency);
        n.latency_p50_ms = self.latencies.quantile_ms(0.5);
        n.latency_p99_ms = self.latencies.quantile_ms(0.99);
        n.fps = self.latencies.fps(done);
        n.temperature = self.thermometer.read(done);
    }

    /// What the scores mean for the label.
    fn answer(&mut self) {
        let (r, scores) = (&mut self.report, &self.scores);
        (r.number, r.size) = (self.frame.number, (self.frame.width, self.frame.height));
        r.alone = most_likely(scores).map_or((0, 0.0), |class| (class, scores[class]));
        r.label = self.smoother.push(scores);
        r.scores.clear();
        r.scores.extend_from_slice(self.smoother.scores());
        r.top.clear();
        r.top.extend(self.smoother.top(self.top).into_iter().map(|i| (i, self.smoother.scores()[i])));
    }

    /// What became of the frames.
    fn count(&mut self) {
        let n = &mut self.report.numbers;
        n.captured = self.shared.captured.load(Ordering::Relaxed);
        n.dropped = self.shared.slot.dropped();
        n.damaged = self.shared.damaged.load(Ordering::Relaxed);
        n.lost = self.shared.lost.load(Ordering::Relaxed);
    }
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
