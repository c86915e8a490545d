//! The range of all but the outermost 0.01 % of the values, with zeros counted and the share divided between both
//! sides.

use super::{Histogram, Range};

/// The share of values that may be clipped.
const CLIPPED: f64 = 1e-4;

/// See the module.
pub fn range(h: &Histogram) -> Range {
    let two_sided = h.min < 0.0 && h.max > 0.0;
    let spare = h.count() as f64 * if two_sided { CLIPPED / 2.0 } else { CLIPPED };
    let bins: Vec<(f64, u64)> = h.filled().collect();
    let half = h.width() / 2.0;
    let hi = edge(bins.iter().rev(), spare) + half;
    let lo = edge(bins.iter(), spare) - half;
    Range { lo: (lo as f32).max(h.min), hi: (hi as f32).min(h.max) }
}

/// Returns the first bin, from outside, that is preceded by more than `spare` values.
fn edge<'a>(mut bins: impl Iterator<Item = &'a (f64, u64)>, spare: f64) -> f64 {
    let mut outside = 0.0;
    bins.find(|(_, n)| {
        outside += *n as f64;
        outside > spare
    })
    .map_or(0.0, |(x, _)| *x)
}
