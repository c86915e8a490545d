//! Where the newest frame waits for the network. Three frames circulate (one being captured, one
//! waiting, one being classified), so that nothing is allocated and no one waits for the other.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldnet_image::frame::Frame;

#[derive(Default)]
struct Inside {
    waiting: Frame,
    /// Whether `waiting` has not been taken.
    fresh: bool,
    /// There will be no more; why, if that is not as it should be.
    end: Option<Result<(), String>>,
    dropped: u64,
}

/// See the module.
#[derive(Default)]
pub struct Slot {
    inside: Mutex<Inside>,
    changed: Condvar,
}

/// What [`Slot::take`] got.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// A frame that no one has seen.
    Frame,
    /// Nothing in this time.
    Nothing,
    /// There will be no more; why, if that is not as it should be.
    End(Result<(), String>),
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in and gets a used one. A frame that waits there is lost: the newest wins. With
    /// `all`, waits instead until it has been taken, or `stop` says so.
    pub fn put(&self, frame: &mut Frame, all: bool, stop: impl Fn() -> bool) {
        let mut inside = self.lock();
        while all && inside.fresh && !stop() {
            let timeout = Duration::from_millis(100);
            inside = self.changed.wait_timeout(inside, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
        inside.dropped += u64::from(inside.fresh);
        inside.fresh = true;
        std::mem::swap(&mut inside.waiting, frame);
        // The numbers are the source's, which counts on in the frame it gets next.
        frame.number = inside.waiting.number;
        self.changed.notify_all();
    }

    /// Nothing will be put in any more.
    pub fn end(&self, why: Result<(), String>) {
        self.lock().end = Some(why);
        self.changed.notify_all();
    }

    /// Takes the newest frame, leaving a used one; waits for it no longer than `timeout`.
    pub fn take(&self, frame: &mut Frame, timeout: Duration) -> Taken {
        let inside = self.lock();
        let idle = |inside: &mut Inside| !inside.fresh && inside.end.is_none();
        let waited = self.changed.wait_timeout_while(inside, timeout, idle);
        let mut inside = waited.unwrap_or_else(PoisonError::into_inner).0;
        if inside.fresh {
            inside.fresh = false;
            std::mem::swap(&mut inside.waiting, frame);
            self.changed.notify_all();
            return Taken::Frame;
        }
        inside.end.clone().map_or(Taken::Nothing, Taken::End)
    }

    /// Whether a frame waits to be taken.
    pub fn is_waiting(&self) -> bool {
        self.lock().fresh
    }

    /// Frames that were replaced before anyone took them.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u64) -> Frame {
        Frame { number, ..Frame::default() }
    }

    #[test]
    fn the_newest_wins_and_the_others_are_counted() {
        let slot = Slot::default();
        let mut mine = Frame::default();
        assert_eq!(slot.take(&mut mine, Duration::ZERO), Taken::Nothing);
        for n in 1..=5 {
            slot.put(&mut numbered(n), false, || false);
        }
        assert_eq!(slot.take(&mut mine, Duration::ZERO), Taken::Frame);
        assert_eq!((mine.number, slot.dropped()), (5, 4));
        assert_eq!(slot.take(&mut mine, Duration::ZERO), Taken::Nothing);
        slot.put(&mut numbered(6), false, || false);
        slot.end(Ok(()));
        // The last frame is still worth classifying.
        assert_eq!(slot.take(&mut mine, Duration::ZERO), Taken::Frame);
        assert_eq!(slot.take(&mut mine, Duration::ZERO), Taken::End(Ok(())));
    }

    #[test]
    fn all_means_all() {
        let slot = std::sync::Arc::new(Slot::default());
        let putter = std::thread::spawn({
            let slot = slot.clone();
            move || {
                for n in 1..=200 {
                    slot.put(&mut numbered(n), true, || false);
                }
                slot.end(Ok(()));
            }
        });
        let (mut mine, mut seen) = (Frame::default(), Vec::new());
        while slot.take(&mut mine, Duration::from_secs(20)) == Taken::Frame {
            seen.push(mine.number);
        }
        putter.join().unwrap();
        assert_eq!(seen, (1..=200).collect::<Vec<u64>>());
        assert_eq!(slot.dropped(), 0);
    }
}
