//! The range with the smallest mean square error of the tensor.
//!
//! ```text
//! error(lo, hi) = Σ_inside n·s²/12 + Σ_below n·(lo − x)² + Σ_above n·(x − hi)²      s = (hi − lo)/255
//! ```
//! is minimized alternately over both ends. Exact zeros have no error. Banner et al., *Post training 4-bit
//! quantization of convolutional networks for rapid-deployment*, 2019, solve the same problem for given
//! distributions.

use super::{Histogram, Range};

/// See the module.
pub fn range(h: &Histogram) -> Range {
    let bins: Vec<(f64, f64)> = h.filled().map(|(x, n)| (x, n as f64)).collect();
    least(h, |lo, hi| error(&bins, lo, hi))
}

/// Returns the range with the smallest error of a function of the tensor, for tensors that are only read through
/// it: where the function is flat, the tensor's own error does not count.
///
/// ```text
/// error(lo, hi) = Σ_inside n·(f′(x)·s)²/12 + Σ_below n·(f(lo) − f(x))² + Σ_above n·(f(x) − f(hi))²
/// ```
pub fn range_through(h: &Histogram, f: &dyn Fn(f64) -> f64) -> Range {
    let bins: Vec<Bin> = h.filled().map(|(x, n)| Bin::new(x, n as f64, h, f)).collect();
    if bins.iter().any(|b| !b.y.is_finite() || !b.slope.is_finite()) {
        return range(h);
    }
    least(h, |lo, hi| {
        let step = (hi - lo) / 255.0;
        let (bottom, top) = (f(lo), f(hi));
        bins.iter()
            .map(|b| {
                let off = match b.x {
                    x if x > hi => b.y - top,
                    x if x < lo => b.y - bottom,
                    _ => b.slope * step / 12f64.sqrt(),
                };
                b.n * off * off
            })
            .sum()
    })
}

/// A bin of a histogram, and the function's values for it.
struct Bin {
    x: f64,
    n: f64,
    y: f64,
    slope: f64,
}

impl Bin {
    fn new(x: f64, n: f64, h: &Histogram, f: &dyn Fn(f64) -> f64) -> Self {
        // The slope over about one step of the int8 values.
        let apart = (f64::from(h.max) - f64::from(h.min)).max(1e-20) / 256.0;
        Self { x, n, y: f(x), slope: (f(x + apart) - f(x - apart)) / (2.0 * apart) }
    }
}

fn least(h: &Histogram, error: impl Fn(f64, f64) -> f64) -> Range {
    let (min, max) = (f64::from(h.min), f64::from(h.max));
    let (mut lo, mut hi) = (min, max);
    for _ in 0..3 {
        hi = best(max, |hi| error(lo, hi));
        lo = best(min, |lo| error(lo, hi));
        if min == 0.0 {
            break;
        }
    }
    Range { lo: lo as f32, hi: hi as f32 }
}

/// Returns the best of the fractions 0.30, 0.31, … 1 of an end.
fn best(end: f64, error: impl Fn(f64) -> f64) -> f64 {
    if end == 0.0 {
        return end;
    }
    let at = |i: i32| end * f64::from(i) / 100.0;
    (30..=100).rev().map(|i| (error(at(i)), at(i))).min_by(|a, b| a.0.total_cmp(&b.0)).map_or(end, |b| b.1)
}

/// Returns the mean square error of a range, up to a factor.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_tail_is_cut_off() {
        let mut h = Histogram::new(0.001);
        h.add(&(0..4000).map(|i| i as f32 / 100.0 - 30.0).collect::<Vec<_>>(), &[1.0]);
        let swish = |x: f64| x / (1.0 + libm::exp(-x));
        let (plain, through) = (range(&h), range_through(&h, &swish));
        assert!(plain.lo < -25.0, "{plain:?}");
        assert!(through.lo > -15.0 && through.hi > 9.5, "{through:?}");
    }

    #[test]
    fn through_the_identity_nothing_changes() {
        let mut h = Histogram::new(0.001);
        h.add(
            &(1..2000).map(|i| libm::logf(i as f32 / 2000.0 / (1.0 - i as f32 / 2000.0))).collect::<Vec<_>>(),
            &[1.0],
        );
        assert_eq!(range_through(&h, &|x| x), range(&h));
    }
}
