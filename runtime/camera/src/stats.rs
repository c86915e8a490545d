//! What is counted and measured, and the rates and latencies of the last frames in constant memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What is counted and measured while the camera runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    /// Frames classified.
    pub classified: u64,
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
    /// Frames classified a second.
    pub fps: f64,
    /// From the pixels to the scores.
    pub network_ms: f64,
    /// From the driver's buffer to the pixels.
    pub fit_ms: f64,
    /// From the light to the label.
    pub latency_ms: f64,
    /// Half of the last frames are as young.
    pub latency_p50_ms: f64,
    /// Of a hundred of the last frames 99 are as young.
    pub latency_p99_ms: f64,
    /// Degrees Celsius, where the board tells.
    pub temperature: Option<f64>,
}

/// Frames looked back upon.
const WINDOW: usize = 512;

/// Durations and moments of the last frames.
#[derive(Clone, Debug, Default)]
pub struct Window {
    seen: VecDeque<(Instant, Duration)>,
}

impl Window {
    /// A frame came at this moment and took this long.
    pub fn push(&mut self, at: Instant, took: Duration) {
        if self.seen.len() == WINDOW {
            self.seen.pop_front();
        }
        self.seen.push_back((at, took));
    }

    /// The duration that a share of the frames stays within, in milliseconds.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted: Vec<Duration> = self.seen.iter().map(|(_, took)| *took).collect();
        sorted.sort_unstable();
        let at = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(at.saturating_sub(1)).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    }

    /// Frames per second over the last two seconds before `now`.
    pub fn fps(&self, now: Instant) -> f64 {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < Duration::from_secs(2);
        let recent: Vec<Instant> = self.seen.iter().map(|(at, _)| *at).filter(recent).collect();
        match recent[..] {
            [first, .., last] if last > first => (recent.len() - 1) as f64 / (last - first).as_secs_f64(),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_rates() {
        let mut window = Window::default();
        let start = Instant::now();
        assert_eq!((window.quantile_ms(0.5), window.fps(start)), (0.0, 0.0));
        for n in 1..=100 {
            window.push(start + Duration::from_millis(20 * n), Duration::from_millis(n));
        }
        assert_eq!(window.quantile_ms(0.5), 50.0);
        assert_eq!(window.quantile_ms(0.99), 99.0);
        assert_eq!(window.quantile_ms(1.0), 100.0);
        assert!((window.fps(start + Duration::from_millis(2000)) - 50.0).abs() < 1e-6);
        assert_eq!(window.fps(start + Duration::from_secs(60)), 0.0);
        for n in 0..10_000 {
            window.push(start + Duration::from_secs(100 + n), Duration::ZERO);
        }
        assert_eq!(window.seen.len(), WINDOW);
    }
}
