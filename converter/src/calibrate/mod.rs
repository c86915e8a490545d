//! From what tensors looked like on images to the ranges that int8 will cover.
//!
//! One file per method, each a function from [`Histogram`] to [`Range`]; a new one is its file and a
//! line in [`Method`]'s table. Statistics are streamed: memory depends on the network, not on the
//! number of images.

mod entropy;
mod histogram;
mod minmax;
mod mse;
mod observe;
mod percentile;

pub use histogram::{BINS, Histogram};
pub use observe::{Channels, Observation, in_lanes, observe};

/// The real values that a tensor's int8 will cover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Becomes −128 (or what reaches zero, where this is above it).
    pub lo: f32,
    /// 127.
    pub hi: f32,
}

impl Range {
    /// Scale and zero point: `x = (q − zero)·scale`, zero exactly representable.
    ///
    /// ```
    /// use foldnet_converter::calibrate::Range;
    /// assert_eq!(Range { lo: 0.0, hi: 2.55 }.quantization(), (0.01, -128));
    /// assert_eq!(Range { lo: -1.0, hi: 1.55 }.quantization(), (0.01, -28));
    /// ```
    pub fn quantization(self) -> (f32, i8) {
        let (lo, hi) = (self.lo.min(0.0), self.hi.max(0.0));
        let span = hi - lo;
        // A tensor that was always zero: any scale does.
        if !(span.is_finite() && span > 1e-20) {
            return (1.0 / 255.0, if lo < 0.0 { 0 } else { -128 });
        }
        let scale = span / 255.0;
        let zero = (-128.0 - lo / scale).round_ties_even().clamp(-128.0, 127.0) as i8;
        // The zero point was rounded: widen the step a little, so that both ends still fit.
        let below = -lo / (f32::from(zero) + 128.0);
        let above = hi / (127.0 - f32::from(zero));
        let widest = [scale, below, above].into_iter().filter(|s| s.is_finite()).fold(scale, f32::max);
        (widest, zero)
    }
}

/// How ranges are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Per tensor the one with the smallest error of the network's output.
    Auto,
    /// All values seen: nothing is clipped
    Minmax,
    /// All but the outermost 0.01 % of the values
    Percentile,
    /// The smallest mean square error of the tensor
    Mse,
    /// The range that keeps most of the distribution's information
    Entropy,
}

impl Method {
    /// The methods that `auto` chooses from, the one it starts with first.
    pub const ALL: [Self; 4] = [Self::Mse, Self::Minmax, Self::Percentile, Self::Entropy];

    /// Returns the range it finds.
    pub fn range(self, h: &Histogram) -> Range {
        match self {
            Self::Minmax => minmax::range(h),
            Self::Percentile => percentile::range(h),
            Self::Auto | Self::Mse => mse::range(h),
            Self::Entropy => entropy::range(h),
        }
    }

    /// Like [`Method::range`], for a tensor of which only a function is read. Methods that do not weigh errors give
    /// the same range.
    pub fn range_through(self, h: &Histogram, function: &dyn Fn(f64) -> f64) -> Range {
        match self {
            Self::Auto | Self::Mse => mse::range_through(h, function),
            other => other.range(h),
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Minmax => "minmax",
            Self::Percentile => "percentile",
            Self::Mse => "mse",
            Self::Entropy => "entropy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bell with one far outlier.
    fn bell(outlier: f32) -> Histogram {
        let mut h = Histogram::new(0.001);
        let values: Vec<f32> = (0..2_000_000)
            .map(|i| {
                let u = (i as f32 + 0.5) / 2_000_000.0;
                (u / (1.0 - u)).ln() * 0.5
            })
            .collect();
        h.add(&values, &[1.0]);
        h.add(&[outlier], &[1.0]);
        h
    }

    #[test]
    fn clipping_methods_cut_the_outlier_off_and_minmax_does_not() {
        let h = bell(40.0);
        assert_eq!(Method::Minmax.range(&h).hi, 40.0);
        for method in [Method::Percentile, Method::Mse, Method::Entropy] {
            let range = method.range(&h);
            assert!(range.hi < 30.0 && range.hi > 1.0, "{method:?} {range:?}");
            assert!(range.lo < -1.0, "{method:?} {range:?}");
        }
    }

    #[test]
    fn constant_tensors_have_a_sound_range() {
        let mut h = Histogram::new(0.001);
        h.add(&[0.0; 100], &[1.0]);
        for method in Method::ALL {
            let (scale, _) = method.range(&h).quantization();
            assert!(scale > 0.0 && scale.is_finite(), "{method:?}");
        }
        let mut h = Histogram::new(0.001);
        h.add(&[3.0; 100], &[1.0]);
        for method in Method::ALL {
            let (scale, zero) = method.range(&h).quantization();
            let q = (3.0 / scale).round() + f32::from(zero);
            assert!((-128.0..=127.5).contains(&q), "{method:?} {scale} {zero}");
        }
    }
}
