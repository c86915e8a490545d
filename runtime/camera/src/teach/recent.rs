//! The frames that came last, as the network saw them: what a held button teaches.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The least time between two that are kept. Frames that follow each other sooner show the same.
const SPACING: Duration = Duration::from_millis(180);
/// How far back they reach.
pub const SPAN: Duration = Duration::from_secs(10);
/// The most bytes of pixels.
const MAX_BYTES: usize = 16 << 20;

/// See the module.
#[derive(Default)]
pub struct Recent {
    frames: VecDeque<(Instant, Vec<u8>)>,
}

impl Recent {
    /// Whether a frame of this moment would be kept.
    pub fn wants(&self, now: Instant) -> bool {
        self.frames.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= SPACING)
    }

    /// Keeps a frame, and lets those go that are too old or too many.
    pub fn push(&mut self, now: Instant, pixels: &[u8]) {
        let most = (MAX_BYTES / pixels.len().max(1)).max(1);
        let mut spare = Vec::new();
        while self
            .frames
            .front()
            .is_some_and(|(at, _)| self.frames.len() >= most || now.saturating_duration_since(*at) > SPAN)
        {
            // Its memory serves the new one.
            spare = self.frames.pop_front().map(|(_, pixels)| pixels).unwrap_or_default();
        }
        spare.clear();
        spare.extend_from_slice(pixels);
        self.frames.push_back((now, spare));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// Those of the last `span`, spread in time, at most so many. A frame that came before and stood all the while, as
    /// those of a slow source do, is one of them.
    pub fn pick(&self, now: Instant, span: Duration, most: usize) -> Vec<Vec<u8>> {
        let inside = |(at, _): &&(Instant, Vec<u8>)| now.saturating_duration_since(*at) <= span;
        let count = self.frames.iter().rev().take_while(inside).count().max(1).min(self.frames.len());
        let first = self.frames.len() - count;
        let taken = count.min(most);
        // The first and the last of them, and as even between as can be.
        let at = |n: usize| first + if taken > 1 { n * (count - 1) / (taken - 1) } else { count - 1 };
        (0..taken).map(|n| self.frames[at(n)].1.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_over_the_time_that_is_asked_for() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut recent = Recent::default();
        assert!(recent.pick(start, SPAN, 20).is_empty());
        // Thirty frames a second for twelve seconds.
        for n in 0..360_u64 {
            let now = at(n * 1000 / 30);
            if recent.wants(now) {
                recent.push(now, &(n as u32).to_le_bytes());
            }
        }
        let picked = |span: u64, most: usize| -> Vec<u32> {
            let frames = recent.pick(at(11_966), Duration::from_millis(span), most);
            frames.into_iter().map(|f| u32::from_le_bytes(f.try_into().unwrap())).collect()
        };
        let all = picked(60_000, 1000);
        assert!((45..=52).contains(&all.len()), "{}", all.len());
        let twenty = picked(60_000, 20);
        assert_eq!((twenty.len(), twenty[0], twenty[19]), (20, all[0], *all.last().unwrap()));
        assert!(twenty.windows(2).all(|pair| pair[0] < pair[1]));
        let second = picked(1000, 20);
        assert!((5..=6).contains(&second.len()), "{second:?}");
        // None came in so short a time, but one stood.
        assert_eq!(picked(0, 20).len(), 1);
        assert_eq!(picked(5000, 1), [*all.last().unwrap()]);
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut recent = Recent::default();
        for n in 0..10 {
            recent.push(start + n * SPACING, &vec![0; MAX_BYTES / 4]);
        }
        assert_eq!(recent.pick(start + 9 * SPACING, SPAN, 100).len(), 4);
        recent.push(start + SPAN, &vec![0; 2 * MAX_BYTES]);
        assert_eq!(recent.pick(start + SPAN, SPAN, 100).len(), 1);
        recent.clear();
        assert!(recent.pick(start + SPAN, SPAN, 100).is_empty());
    }
}
