//! The range with the smallest mean square error of the tensor.
//!
//! ```text
//! error(lo, hi) = Σ_inside n·s²/12 + Σ_below n·(lo − x)² + Σ_above n·(x − hi)²      s = (hi − lo)/255
//! ```
//! minimized by turns over both ends. Exact zeros have no error. Banner et al., *Post training 4-bit
//! quantization of convolutional networks for rapid-deployment*, 2019, solve the same for given
//! distributions.

use super::{Histogram, Range};

/// See the module.
pub fn range(h: &Histogram) -> Range {
    let bins: Vec<(f64, f64)> = h.filled().map(|(x, n)| (x, n as f64)).collect();
    let (min, max) = (f64::from(h.min), f64::from(h.max));
    let (mut lo, mut hi) = (min, max);
    for _ in 0..3 {
        hi = best(max, |hi| error(&bins, lo, hi));
        lo = best(min, |lo| error(&bins, lo, hi));
        if min == 0.0 {
            break;
        }
    }
    Range { lo: lo as f32, hi: hi as f32 }
}

/// The best of the fractions 0.30, 0.31, … 1 of an end.
fn best(end: f64, error: impl Fn(f64) -> f64) -> f64 {
    if end == 0.0 {
        return end;
    }
    let at = |i: i32| end * f64::from(i) / 100.0;
    (30..=100).rev().map(|i| (error(at(i)), at(i))).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(end, |b| b.1)
}

/// The mean square error of a range, up to a factor.
fn error(bins: &[(f64, f64)], lo: f64, hi: f64) -> f64 {
    let step = (hi - lo) / 255.0;
    let inside = step * step / 12.0;
    bins.iter()
        .map(|&(x, n)| {
            n * if x > hi {
                (x - hi) * (x - hi)
            } else if x < lo {
                (lo - x) * (lo - x)
            } else {
                inside
            }
        })
        .sum()
}
