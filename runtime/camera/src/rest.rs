//! Idle mode: while the picture does not change, the network runs once a second.
//!
//! ```text
//! cell(i, j, c) = mean of channel c in one of 16 × 16 cells (fewer in a smaller picture)
//! still         = |cell − cell at the last classified frame| ≤ levels, for every cell and channel
//! ```
//! Means over cells do not see a sensor's noise. The comparison is with the last *classified* frame, so
//! that a slow change adds up until it counts. A picture that has been still for [`STILL`] is one to
//! rest at; the first that is not ends the rest at once.

use std::time::{Duration, Instant};

/// How long a picture must be still before the network rests.
pub const STILL: Duration = Duration::from_secs(2);
/// How often the network runs all the same.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Cells along a side.
const CELLS: usize = 16;

/// See the module.
#[derive(Clone, Debug)]
pub struct Rest {
    levels: f32,
    classified: Vec<f32>,
    now: Vec<f32>,
    /// When the picture changed last, and when the network ran last.
    changed: Option<Instant>,
    ran: Option<Instant>,
    resting: bool,
}

impl Rest {
    /// Changes of up to so many levels (of 255) of a cell's mean are none.
    pub fn new(levels: f32) -> Self {
        Self { levels, classified: Vec::new(), now: Vec::new(), changed: None, ran: None, resting: false }
    }

    /// Whether the network need not run for this frame. `size`: its columns and rows.
    pub fn may_skip(&mut self, pixels: &[u8], size: [usize; 2], at: Instant) -> bool {
        cells(pixels, size, &mut self.now);
        let still = self.now.len() == self.classified.len()
            && self.now.iter().zip(&self.classified).all(|(a, b)| (a - b).abs() <= self.levels);
        if !still || self.changed.is_none() {
            self.changed = Some(at);
        }
        let since =
            |moment: Option<Instant>| moment.map_or(Duration::MAX, |m| at.saturating_duration_since(m));
        self.resting = still && since(self.changed) >= STILL;
        let skip = self.resting && since(self.ran) < HEARTBEAT;
        if !skip {
            self.ran = Some(at);
            std::mem::swap(&mut self.now, &mut self.classified);
        }
        skip
    }

    /// Whether the network rests.
    pub fn resting(&self) -> bool {
        self.resting
    }
}

/// The cells' means, row by row.
fn cells(pixels: &[u8], [width, height]: [usize; 2], means: &mut Vec<f32>) {
    let (columns, rows) = (CELLS.min(width), CELLS.min(height));
    means.clear();
    if columns == 0 || rows == 0 {
        return;
    }
    let channels = pixels.len() / (width * height);
    let mut sums = vec![0_u32; columns * channels];
    for cell in 0..rows {
        let span = cell * height / rows..(cell + 1) * height / rows;
        sums.fill(0);
        let stride = width * channels;
        for row in pixels[stride * span.start..stride * span.end].chunks_exact(stride) {
            for (column, sums) in sums.chunks_exact_mut(channels).enumerate() {
                let span = channels * (column * width / columns)..channels * ((column + 1) * width / columns);
                for pixel in row[span].chunks_exact(channels) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += u32::from(sample));
                }
            }
        }
        means.extend(sums.iter().enumerate().map(|(at, &sum)| {
            let column = at / channels;
            let across = (column + 1) * width / columns - column * width / columns;
            sum as f32 / (across * span.len()) as f32
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: [usize; 2] = [50, 40];

    fn picture(grey: u8, spot: Option<(usize, u8)>) -> Vec<u8> {
        let mut pixels = vec![grey; 3 * SIZE[0] * SIZE[1]];
        if let Some((at, value)) = spot {
            // A square of 6 × 6, larger than a cell.
            for y in 0..6 {
                pixels[3 * ((at + y) * SIZE[0] + at)..][..18].fill(value);
            }
        }
        pixels
    }

    /// How many of the frames at ten a second are skipped.
    fn skipped(rest: &mut Rest, start: Instant, frames: std::ops::Range<u64>, picture: &[u8]) -> usize {
        frames.filter(|n| rest.may_skip(picture, SIZE, start + Duration::from_millis(100 * n))).count()
    }

    #[test]
    fn a_still_picture_is_looked_at_once_a_second() {
        let (mut rest, start) = (Rest::new(4.0), Instant::now());
        assert_eq!(skipped(&mut rest, start, 0..20, &picture(90, None)), 0);
        assert!(!rest.resting());
        assert_eq!(skipped(&mut rest, start, 20..120, &picture(92, None)), 90);
        assert!(rest.resting());
    }

    #[test]
    fn a_small_change_ends_the_rest_and_noise_does_not() {
        let (mut rest, start) = (Rest::new(4.0), Instant::now());
        let noisy = |n: usize| -> Vec<u8> {
            picture(90, None).iter().enumerate().map(|(i, p)| p + ((i * 7 + n * 13) % 11) as u8).collect()
        };
        let noise = (0..100_u64)
            .filter(|&n| rest.may_skip(&noisy(n as usize), SIZE, start + Duration::from_millis(100 * n)))
            .count();
        assert_eq!(noise, 72);
        assert_eq!(skipped(&mut rest, start, 100..120, &picture(95, Some((20, 140)))), 0);
        assert!(!rest.resting());
        // Another colour of the same lightness.
        assert_eq!(skipped(&mut rest, start, 120..150, &picture(95, None)), 9);
        let mut reddish = picture(95, None);
        reddish.chunks_exact_mut(3).for_each(|pixel| (pixel[0], pixel[2]) = (pixel[0] + 20, pixel[2] - 20));
        assert_eq!(skipped(&mut rest, start, 150..160, &reddish), 0);
    }

    #[test]
    fn a_slow_change_adds_up() {
        let (mut rest, start) = (Rest::new(4.0), Instant::now());
        let ran: Vec<u8> = (0..100_u8)
            .filter(|&n| {
                let at = start + Duration::from_millis(50 * u64::from(n));
                !rest.may_skip(&picture(100 + n / 2, None), SIZE, at)
            })
            .collect();
        // Looked at for two seconds; rest until it is five levels off; and so on.
        assert_eq!(ran, (0..40).chain(48..88).chain(96..100).collect::<Vec<u8>>());
        // Pictures of other sizes are others.
        assert!(!rest.may_skip(&[100; 12], [2, 2], start + Duration::from_secs(5)));
        assert!(!rest.may_skip(&[], [0, 0], start + Duration::from_secs(6)));
    }
}
