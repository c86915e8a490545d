//! Between the camera's thread, which must never wait, and the viewers, who may be slow: the newest
//! report and the newest pictures. Pictures are made in a thread of their own, once for all viewers,
//! and only while someone looks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::history::History;
use super::rules::Watched;
use super::state::{ModelFacts, Others, Score, State};
use crate::capture::Shared;
use crate::heat::{self, Heat};
use crate::preview::{self, Preview};
use crate::rule::Rule;
use crate::rulebook::Rulebook;
use crate::source::Place;
use crate::teach::Desk;
use crate::{Listener, Model, Report};
use foldnet_archive::Input;
use foldnet_image::frame::{Frame, View};

/// The least time between two pictures, and between two events.
const PREVIEW: Duration = Duration::from_millis(100);
/// The least side of the picture of what the network sees; smaller ones are enlarged without blur.
const SEEN_SIDE: usize = 192;

/// What waits to be made into pictures.
#[derive(Default)]
struct Raw {
    frame: Frame,
    pixels: Vec<u8>,
    shape: [usize; 3],
    view: View,
    fresh: bool,
    /// The label that stands, and the part of the image that the network reads.
    label: Option<usize>,
    part: [f32; 4],
}

/// See the module.
pub struct Hub {
    /// The newest state.
    pub state: watch::Sender<Arc<State>>,
    /// The newest JPEG of the camera's picture.
    pub live: watch::Sender<Bytes>,
    /// The newest JPEG of what the network sees.
    pub seen: watch::Sender<Bytes>,
    /// The newest heat map as JSON.
    pub heat: watch::Sender<Arc<str>>,
    streams: AtomicUsize,
    /// Of them those that want heat maps.
    heated: AtomicUsize,
    raw: Mutex<Raw>,
    wake: Condvar,
    stop: AtomicBool,
    view: Mutex<(View, bool)>,
    /// Where frames come from, and where they came from at first.
    pub source: Arc<Shared>,
    /// The place that the program was started with.
    pub place: Place,
    /// Where classes are taught, if there is a file for them.
    pub desk: Option<Arc<Desk>>,
    /// The rules that the page may change, if there is a file for them.
    pub rules: Option<Arc<Rulebook>>,
    /// What was seen when.
    pub history: Mutex<History>,
    /// Whether another network answers than the one that heat maps were made with.
    renewed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts as an image stream while it lives.
pub struct Stream(Arc<Hub>, bool);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
        self.0.heated.fetch_sub(usize::from(self.1), Ordering::Relaxed);
    }
}

impl Hub {
    /// Starts the thread that makes pictures.
    pub fn start(
        source: Arc<Shared>,
        place: Place,
        view: View,
        desk: Option<Arc<Desk>>,
        rules: Option<Arc<Rulebook>>,
        maps: Heat,
    ) -> std::io::Result<Arc<Self>> {
        let state = State { camera: source.what(), roi: view.roi, ..State::default() };
        let hub = Arc::new(Self {
            state: watch::Sender::new(Arc::new(state)),
            live: watch::Sender::new(Bytes::new()),
            seen: watch::Sender::new(Bytes::new()),
            heat: watch::Sender::new("".into()),
            streams: AtomicUsize::new(0),
            heated: AtomicUsize::new(0),
            raw: Mutex::default(),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            view: Mutex::new((view, false)),
            source,
            place,
            desk,
            rules,
            history: Mutex::default(),
            renewed: AtomicBool::new(false),
        });
        let theirs = hub.clone();
        std::thread::Builder::new().name("preview".into()).spawn(move || theirs.make_pictures(maps))?;
        Ok(hub)
    }

    /// Ends the thread that makes pictures.
    pub fn stop(&self) {
        {
            // Under the lock: else it could come between the thread's look at it and its sleep.
            let _raw = lock(&self.raw);
            self.stop.store(true, Ordering::Relaxed);
        }
        self.wake.notify_all();
    }

    /// Opens an image stream, with heat maps or without.
    pub fn stream(self: &Arc<Self>, heat: bool) -> Stream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.heated.fetch_add(usize::from(heat), Ordering::Relaxed);
        Stream(self.clone(), heat)
    }

    /// Open image streams.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Asks for another part of the picture.
    pub fn look(&self, roi: Option<[f32; 4]>) {
        let mut view = lock(&self.view);
        (view.0.roi, view.1) = (roi, true);
    }

    /// The view that was asked for since the last call.
    pub fn take_view(&self) -> Option<View> {
        let mut view = lock(&self.view);
        std::mem::take(&mut view.1).then_some(view.0)
    }

    fn make_pictures(&self, mut maps: Heat) {
        foldnet::cores::step_back();
        let mut mine = Raw::default();
        let mut preview = Preview::default();
        loop {
            let raw = lock(&self.raw);
            let mut raw = self
                .wake
                .wait_while(raw, |raw| !raw.fresh && !self.stop.load(Ordering::Relaxed))
                .unwrap_or_else(PoisonError::into_inner);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            raw.fresh = false;
            std::mem::swap(&mut *raw, &mut mine);
            drop(raw);
            let [width, height, channels] = mine.shape;
            self.seen.send_replace(seen(&mine.pixels, width, height, channels));
            if let Some(jpeg) = preview.jpeg(&mut mine.frame, mine.view) {
                self.live.send_replace(jpeg.into());
            }
            if self.renewed.swap(false, Ordering::Relaxed) {
                maps.forget();
            }
            if self.heated.load(Ordering::Relaxed) > 0
                && let Some(drawn) = maps.draw(&mine.pixels, mine.label, mine.part)
                && let Ok(json) = serde_json::to_string(&drawn)
            {
                self.heat.send_replace(json.into());
            }
        }
    }
}

/// What the network sees, each pixel as a square of pixels when it sees few.
fn seen(pixels: &[u8], width: usize, height: usize, channels: usize) -> Bytes {
    if width == 0 || height == 0 || pixels.len() != width * height * channels {
        return Bytes::new();
    }
    let shown = if channels >= 3 { 3 } else { 1 };
    let zoom = SEEN_SIDE.div_ceil(width.max(height));
    let mut large = Vec::with_capacity(shown * zoom * zoom * width * height);
    for row in pixels.chunks_exact(channels * width) {
        for _ in 0..zoom {
            for pixel in row.chunks_exact(channels) {
                (0..zoom).for_each(|_| large.extend_from_slice(&pixel[..shown]));
            }
        }
    }
    preview::encode(&large, zoom * width, zoom * height, shown).unwrap_or_default().into()
}

/// The camera thread's side of a hub.
pub struct Publisher {
    hub: Arc<Hub>,
    labels: Vec<String>,
    model: ModelFacts,
    input: Option<Input>,
    /// The view that frames are looked at with now.
    view: View,
    published: Option<Instant>,
    drawn: Option<Instant>,
    watched: Watched,
    others: Box<dyn Fn() -> Others + Send>,
}

impl Publisher {
    /// For a hub, with the rules of the command line; `others` tells what is kept and told elsewhere.
    pub fn new(
        hub: Arc<Hub>,
        view: View,
        rules: Vec<Rule>,
        others: impl Fn() -> Others + Send + 'static,
    ) -> Self {
        Self {
            watched: Watched::new(rules, hub.rules.clone()),
            hub,
            labels: Vec::new(),
            model: ModelFacts::default(),
            input: None,
            view,
            published: None,
            drawn: None,
            others: Box::new(others),
        }
    }

    /// What the network saw until now was another part of the image, or another size.
    fn forget_frames(&self) {
        if let Some(desk) = &self.hub.desk {
            desk.forget_frames();
        }
    }

    fn state(&self, r: &Report) -> State {
        let score =
            |&(index, score): &(usize, f32)| Score { label: self.labels[index].clone(), index, score };
        State {
            alive: true,
            silent: None,
            camera: self.hub.source.what(),
            model: self.model.clone(),
            label: r.label.map(|i| self.labels[i].clone()),
            labels: r.top.iter().map(score).collect(),
            roi: self.view.roi,
            size: [r.size.0, r.size.1],
            numbers: r.numbers.clone(),
            streams: self.hub.streams(),
            teaching: self.hub.desk.as_ref().map(|desk| desk.revision()),
            unknown: self.hub.desk.as_ref().map(|desk| desk.unknown_revision()),
            history: lock(&self.hub.history).changes(),
            rules: self.watched.shown(),
            rules_file: self.hub.rules.as_ref().map(|book| book.file_name()),
            others: (self.others)(),
        }
    }
}

impl Listener for Publisher {
    fn model(&mut self, model: &Model) {
        let input = &model.manifest.input;
        self.labels.clone_from(&model.labels);
        self.input = Some(input.clone());
        self.model = ModelFacts {
            source: model.manifest.source.file.clone(),
            input: [input.width, input.height, input.channels],
            classes: model.labels.len(),
            shares: model.scores.are_shares(),
            backend: model.backend.about(),
            other: model.other.map(Into::into),
        };
        self.watched.model(&model.labels);
        self.forget_frames();
        self.hub.renewed.store(true, Ordering::Relaxed);
    }

    fn view(&mut self) -> Option<View> {
        let view = self.hub.take_view()?;
        self.view = view;
        self.forget_frames();
        Some(view)
    }

    /// Publishes what has changed, the last frame too when it came too soon after another.
    fn idle(&mut self, alive: bool, last: &Report) {
        if !alive {
            self.watched.reset();
            lock(&self.hub.history).push(None, 0.0);
        }
        let silent = self.hub.source.silent().map(|silent| silent.as_secs());
        let mut now = State { alive, silent, ..self.state(last) };
        if !alive {
            now.numbers.fps = 0.0;
        }
        self.hub.state.send_if_modified(|state| {
            let changed = **state != now;
            if changed {
                *state = Arc::new(now);
            }
            changed
        });
    }

    /// Publishes what is known after a frame; the pictures only when someone looks.
    fn frame(&mut self, frame: &Frame, pixels: &[u8], r: &Report) -> bool {
        if let Some(desk) = &self.hub.desk {
            desk.see(pixels);
            let alone = self.labels.get(r.alone.0);
            if alone.is_some() && alone == self.model.other.as_ref() {
                desk.see_unknown(pixels, self.model.input);
            }
        }
        if let Some(class) = r.label {
            let score = r.scores.get(class).copied().unwrap_or_default();
            lock(&self.hub.history).push(Some(&self.labels[class]), score);
        }
        self.watched.push(r);
        let due = |at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= PREVIEW);
        if due(self.published) {
            self.published = Some(Instant::now());
            self.hub.state.send_replace(Arc::new(self.state(r)));
        }
        if self.hub.streams() > 0 && due(self.drawn) {
            // The drawing thread holds the lock for a moment only; a busy one loses this picture.
            if let Ok(mut raw) = self.hub.raw.try_lock() {
                self.drawn = Some(Instant::now());
                raw.frame.clone_from(frame);
                raw.pixels.clear();
                raw.pixels.extend_from_slice(pixels);
                (raw.shape, raw.view, raw.fresh) = (self.model.input, self.view, true);
                let upright = preview::upright(r.size, self.view);
                raw.part = self.input.as_ref().map_or([0.0; 4], |i| heat::part(i, self.view.roi, upright));
                raw.label = r.label;
                self.hub.wake.notify_one();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Numbers;

    #[test]
    fn the_last_frame_before_a_silence_is_told() {
        let place = Place::new("photos").unwrap();
        let hub =
            Hub::start(Arc::default(), place, View::default(), None, None, Heat::new(|| Err("none".into())))
                .unwrap();
        let mut publisher = Publisher::new(hub.clone(), View::default(), Vec::new(), Others::default);
        publisher.labels = vec!["cat".into(), "dog".into()];
        let numbers = Numbers { classified: 1, fps: 9.0, ..Numbers::default() };
        let mut report = Report { label: Some(0), numbers, ..Report::default() };
        publisher.frame(&Frame::default(), &[], &report);
        // As if just now, however busy the machine is.
        publisher.published = Some(Instant::now() + Duration::from_secs(3600));
        (report.numbers.classified, report.label) = (2, Some(1));
        publisher.frame(&Frame::default(), &[], &report);
        assert_eq!(hub.state.borrow().numbers.classified, 1);
        publisher.idle(true, &report);
        let state = hub.state.borrow().clone();
        assert_eq!(
            (state.numbers.classified, state.label.as_deref(), state.numbers.fps),
            (2, Some("dog"), 9.0)
        );
        // Nothing has changed, so no one is told.
        let mut changes = hub.state.subscribe();
        publisher.idle(true, &report);
        assert!(!changes.has_changed().unwrap());
        publisher.idle(false, &report);
        let state = changes.borrow_and_update().clone();
        assert_eq!((state.alive, state.numbers.fps), (false, 0.0));
        hub.stop();
    }
}
