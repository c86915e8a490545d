//! Flashing many boards: a few first, then the others side by side, and no further than failures allow.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Serialize;

use super::inventory::Device;

/// How far a roll-out goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Boards at a time.
    pub parallel: usize,
    /// Boards that go first, and must all succeed.
    pub canaries: usize,
    /// More failures than this stop it; boards that are being flashed are finished.
    pub max_failures: usize,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Boards of the roll-out.
    pub devices: usize,
    /// Done before, by the log.
    pub before: usize,
    /// Done now.
    pub done: usize,
    /// Failed now; they run what they ran.
    pub failed: usize,
    /// Not touched, because it stopped.
    pub untouched: usize,
    /// Whether failures stopped it.
    pub stopped: bool,
}

/// Calls `flash` for every device, within the limits. An error of `flash` itself, as of a log that cannot
/// be written, stops everything.
pub fn run<E: Send>(
    devices: &[Device],
    limits: Limits,
    flash: impl Fn(&Device) -> Result<bool, E> + Sync,
) -> Result<Tally, E> {
    let mut tally = Tally { devices: devices.len(), untouched: devices.len(), ..Tally::default() };
    let (canaries, others) = devices.split_at(limits.canaries.min(devices.len()));
    for (stage, allowed) in [(canaries, 0), (others, limits.max_failures)] {
        let queue = Mutex::new((VecDeque::from_iter(stage), tally, None));
        std::thread::scope(|scope| {
            for _ in 0..limits.parallel.clamp(1, stage.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let device = {
                            let mut state = queue.lock().expect("no thread panics with it");
                            if state.1.failed > allowed || state.2.is_some() {
                                return;
                            }
                            let Some(device) = state.0.pop_front() else { return };
                            state.1.untouched -= 1;
                            device
                        };
                        let done = flash(device);
                        let mut state = queue.lock().expect("no thread panics with it");
                        match done {
                            Ok(true) => state.1.done += 1,
                            Ok(false) => state.1.failed += 1,
                            Err(e) => state.2 = Some(e),
                        }
                    }
                });
            }
        });
        let (_, after, error) = queue.into_inner().expect("no thread panics with it");
        if let Some(error) = error {
            return Err(error);
        }
        tally = after;
        if tally.failed > allowed {
            tally.stopped = true;
            break;
        }
    }
    Ok(tally)
}

/// `5%` of so many, rounded up, or a number.
pub fn share(text: &str, of: usize) -> Option<usize> {
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent.trim().parse().ok().filter(|p| (0.0..=100.0).contains(p))?;
            Some((of as f64 * percent / 100.0).ceil() as usize)
        }
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(n: usize) -> Vec<Device> {
        let device = |i: usize| Device {
            name: i.to_string(),
            host: String::new(),
            port: None,
            root: None,
            board: String::new(),
        };
        (0..n).map(device).collect()
    }

    fn roll(n: usize, limits: Limits, bad: &[usize]) -> Tally {
        let flash = |d: &Device| Ok::<_, ()>(!bad.contains(&d.name.parse().unwrap()));
        run(&devices(n), limits, flash).unwrap()
    }

    #[test]
    fn it_stops_where_it_must() {
        let limits = Limits { parallel: 1, canaries: 2, max_failures: 1 };
        let tally = roll(10, limits, &[]);
        assert_eq!((tally.done, tally.failed, tally.untouched, tally.stopped), (10, 0, 0, false));
        // A failing canary: nothing else is touched.
        let tally = roll(10, limits, &[0]);
        assert_eq!((tally.done, tally.failed, tally.untouched, tally.stopped), (0, 1, 9, true));
        let tally = roll(10, limits, &[4]);
        assert_eq!((tally.done, tally.failed, tally.untouched, tally.stopped), (9, 1, 0, false));
        let tally = roll(10, limits, &[4, 5, 9]);
        assert_eq!((tally.done, tally.failed, tally.untouched, tally.stopped), (4, 2, 4, true));
        for parallel in [3, 100] {
            let tally = roll(10, Limits { parallel, ..limits }, &[4, 5, 9]);
            assert_eq!(tally.done + tally.failed + tally.untouched, 10);
            assert!(tally.stopped && tally.failed >= 2);
        }
        let broken = run(&devices(3), limits, |_| Err::<bool, _>("log"));
        assert_eq!(broken, Err("log"));
    }

    #[test]
    fn shares_are_rounded_up() {
        let said: Vec<_> = ["5%", "0%", "100 %", "3", "-1", "101%", "x"].map(|t| share(t, 50)).into();
        assert_eq!(said, [Some(3), Some(0), Some(50), Some(3), None, None, None]);
    }
}
