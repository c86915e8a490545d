//! The capture thread: opens the source, fills the slot, and opens the source again when it is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::slot::Slot;
use crate::source::{Place, Source, SourceError, Wishes};
use foldnet_image::frame::{Frame, FrameError};

/// A source that has given nothing for so long is opened anew, or longer where few frames are asked for.
pub const FROZEN: Duration = Duration::from_secs(2);
/// A source that cannot be opened anew, as standard input, counts as silent after so long without a frame.
pub const SILENT: Duration = Duration::from_secs(10);
/// The first and the longest wait before opening again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What the capture thread shares with the others.
#[derive(Default)]
pub struct Shared {
    /// The frames.
    pub slot: Slot,
    /// Set to end the thread.
    pub stop: AtomicBool,
    /// Frames captured.
    pub captured: AtomicU64,
    /// Frames that could not be used.
    pub damaged: AtomicU64,
    /// Times that the source was lost.
    pub lost: AtomicU64,
    /// Whether the source gives frames, as far as it says: one that is silent says nothing.
    pub alive: AtomicBool,
    /// When the last frame came, and how long the next may take.
    last: Mutex<Option<(Instant, Duration)>>,
    /// The source in words.
    what: Mutex<String>,
    /// Another place to take frames from, until it is taken up.
    choice: Mutex<Option<Place>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A frame came, and the next one may take so long.
    fn came(&self, patience: Duration) {
        *lock(&self.last) = Some((Instant::now(), patience));
        self.alive.store(true, Ordering::Relaxed);
    }

    /// For how long a source that is open has given nothing, if that is longer than it may take. A frame that waits for
    /// the network is one that came.
    pub fn silent(&self) -> Option<Duration> {
        let (last, patience) = (*lock(&self.last))?;
        let silent = Some(last.elapsed()).filter(|silent| *silent > patience);
        silent.filter(|_| self.alive.load(Ordering::Relaxed) && !self.slot.is_waiting())
    }

    /// Whether frames are coming.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed) && self.silent().is_none()
    }

    /// The source in words.
    pub fn what(&self) -> String {
        lock(&self.what).clone()
    }

    /// Says what the source is.
    pub fn describe(&self, what: String) {
        *lock(&self.what) = what;
    }

    /// Asks for frames from another place.
    pub fn choose(&self, place: Place) {
        *lock(&self.choice) = Some(place);
    }

    fn chosen(&self) -> bool {
        lock(&self.choice).is_some()
    }

    /// Counts a frame that cannot be used, and warns of it, though not of each of many.
    pub fn is_damaged(&self, why: &FrameError) {
        let so_far = self.damaged.fetch_add(1, Ordering::Relaxed) + 1;
        if so_far.is_power_of_two() {
            tracing::warn!("{why} ({so_far} so far)");
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps, but not on when stopped, or when there is another place to try.
    fn sleep(&self, how_long: Duration) {
        let until = Instant::now() + how_long;
        while !self.stopped() && !self.chosen() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// How to capture.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Where from.
    pub place: Place,
    /// How.
    pub wishes: Wishes,
    /// Whether the source waits for the network instead of losing frames.
    pub all: bool,
}

impl Capture {
    /// Runs until the source has ended for good, or stop is set. `source` is open already, or is
    /// waited for.
    pub fn run(mut self, source: Option<Box<dyn Source>>, shared: &Shared) {
        let why = self.capture(source, shared);
        shared.alive.store(false, Ordering::Relaxed);
        shared.slot.end(why);
    }

    fn capture(&mut self, mut source: Option<Box<dyn Source>>, shared: &Shared) -> Result<(), String> {
        let mut frame = Frame::default();
        let mut wait = RETRY.0;
        let mut last_words = String::new();
        // Whether this place is somebody's choice on the page, and whether it has given a frame.
        let (mut is_choice, mut worked) = (false, false);
        loop {
            if let Some(place) = lock(&shared.choice).take() {
                (source, wait) = (None, RETRY.0);
                (is_choice, worked) = (true, false);
                shared.describe(format!("opening {place}"));
                self.place = place;
                last_words.clear();
            }
            let Some(open) = &mut source else {
                match self.place.open(&self.wishes) {
                    Ok(opened) => {
                        tracing::info!("{}", opened.describe());
                        shared.describe(opened.describe());
                        source = Some(opened);
                    }
                    Err(SourceError::End) => return Ok(()),
                    Err(SourceError::Unusable(why)) if self.is_final(is_choice, worked) => return Err(why),
                    Err(e) => {
                        let words = e.to_string();
                        if words != last_words {
                            tracing::warn!("{words}; trying again");
                            shared.describe(words.clone());
                            last_words = words;
                        }
                        shared.sleep(wait);
                        wait = (wait * 2).min(RETRY.1);
                    }
                }
                if shared.stopped() {
                    return Ok(());
                }
                continue;
            };
            let before = shared.captured.load(Ordering::Relaxed);
            let end = self.frames(open.as_mut(), &mut frame, shared);
            worked |= shared.captured.load(Ordering::Relaxed) > before;
            match end {
                SourceError::Nothing if shared.chosen() => {
                    shared.alive.store(false, Ordering::Relaxed);
                }
                SourceError::Nothing => return Ok(()),
                SourceError::End => return Ok(()),
                SourceError::Unusable(why) if self.is_final(is_choice, worked) => return Err(why),
                e => {
                    tracing::warn!("{e}; opening again");
                    if shared.alive.swap(false, Ordering::Relaxed) {
                        // It worked until now, so it is worth an early try.
                        wait = RETRY.0;
                        last_words.clear();
                    }
                    shared.lost.fetch_add(1, Ordering::Relaxed);
                    // Closed before it is opened again: most cameras can be had once only.
                    source = None;
                    shared.sleep(wait);
                }
            }
        }
    }

    /// Whether a source that is unusable now stays so. Files and a stream do. A device or a server may be
    /// another one in a minute, but one that has never given a frame was not the right one, unless it
    /// is somebody's choice on the page: that must not end the program.
    fn is_final(&self, is_choice: bool, worked: bool) -> bool {
        !is_choice && (!self.place.is_live() || !worked)
    }

    /// A live source that has given nothing for so long is opened anew.
    fn frozen(&self) -> Duration {
        let interval = self.wishes.fps.map_or(Duration::ZERO, |fps| Duration::from_secs_f64(2.0 / fps));
        FROZEN.max(interval)
    }

    /// Takes frames until the source says something final; [`SourceError::Nothing`] when stopped, or
    /// when another place is chosen.
    fn frames(&self, source: &mut dyn Source, frame: &mut Frame, shared: &Shared) -> SourceError {
        let (mut last, frozen) = (Instant::now(), self.frozen());
        loop {
            if shared.stopped() || shared.chosen() {
                return SourceError::Nothing;
            }
            // Asked once more when it is late: on a busy machine it may be us who were.
            let late = last.elapsed() > frozen;
            match source.next(frame) {
                Ok(()) => {
                    shared.came(SILENT.max(frozen));
                    shared.captured.fetch_add(1, Ordering::Relaxed);
                    shared.slot.put(frame, self.all, || shared.stopped() || shared.chosen());
                    // Behind that, which may wait for the network as long as it likes.
                    last = Instant::now();
                }
                Err(SourceError::Frame(e)) => {
                    // Something comes at least, so the source is not frozen.
                    last = Instant::now();
                    shared.is_damaged(&e);
                }
                Err(SourceError::Nothing) => {
                    if self.place.is_live() && late {
                        return SourceError::Lost(format!("no frame for {} s", frozen.as_secs()));
                    }
                }
                Err(other) => return other,
            }
        }
    }

    /// Starts the thread. It is not joined: it may be waiting for standard input.
    pub fn start(self, source: Option<Box<dyn Source>>, shared: Arc<Shared>) -> std::io::Result<()> {
        std::thread::Builder::new().name("capture".into()).spawn(move || self.run(source, &shared))?;
        Ok(())
    }
}
