//! The range that keeps most of the distribution's information.
//!
//! For each candidate clipping, P is the clipped histogram (values outside are added to the edge) and Q is its
//! quantization to 256 levels: each level's mass is spread evenly over its filled bins. The candidate with the
//! smallest `KL(P‖Q) = Σ P·ln(P/Q)` wins. Migacz, *8-bit inference with TensorRT*, 2017; both ends of a two-sided
//! range are clipped by the same factor.

use super::{Histogram, Range};

const LEVELS: usize = 256;

/// See the module.
pub fn range(h: &Histogram) -> Range {
    let bins: Vec<(f64, f64)> = h.filled().map(|(x, n)| (x, n as f64)).collect();
    let (min, max) = (f64::from(h.min), f64::from(h.max));
    let divergence = |percent: i32| {
        let factor = f64::from(percent) / 100.0;
        divergence(&bins, min * factor, max * factor)
    };
    let best = (30..=100)
        .rev()
        .map(|p| (divergence(p), p))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(1.0, |b| f64::from(b.1) / 100.0);
    Range { lo: (min * best) as f32, hi: (max * best) as f32 }
}

fn divergence(bins: &[(f64, f64)], lo: f64, hi: f64) -> f64 {
    let step = (hi - lo) / LEVELS as f64;
    if step <= 0.0 {
        return 0.0;
    }
    // (level, true mass, mass including the clipped values)
    let mut inside: Vec<(usize, f64, f64)> = Vec::with_capacity(bins.len());
    let (mut below, mut above) = (0.0, 0.0);
    for &(x, n) in bins {
        if x < lo {
            below += n;
        } else if x > hi {
            above += n;
        } else {
            inside.push((((x - lo) / step) as usize, n, n));
        }
    }
    let (Some(first), total) = (inside.first_mut(), bins.iter().map(|b| b.1).sum::<f64>()) else {
        return f64::INFINITY;
    };
    first.2 += below;
    if let Some(last) = inside.last_mut() {
        last.2 += above;
    }
    let kept: f64 = inside.iter().map(|b| b.1).sum();
    inside
        .chunk_by(|a, b| a.0 == b.0)
        .map(|level| {
            let q = level.iter().map(|b| b.1).sum::<f64>() / level.len() as f64 / kept;
            level.iter().map(|b| b.2 / total * libm::log(b.2 / total / q)).sum::<f64>()
        })
        .sum()
}
