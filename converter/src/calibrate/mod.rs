//! Derives the ranges that int8 covers from the values of tensors on images.
//!
//! There is one file per method, each a function from [`Histogram`] to [`Range`]; a new method needs its file and
//! a line in [`Method`]'s table. Statistics are streamed: memory depends on the network, not on the number of
//! images.

mod entropy;
mod histogram;
mod minmax;
mod mse;
mod observe;
mod percentile;

pub use histogram::{BINS, Histogram};
pub use observe::{Channels, Observation, in_lanes, observe};

/// The real values that a tensor's int8 covers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The value that becomes −128 (or the value that reaches zero, if this is above it).
    pub lo: f32,
    /// The value that becomes 127.
    pub hi: f32,
}

impl Range {
    /// Returns scale and zero point: `x = (q − zero)·scale`, with zero exactly representable.
    ///
    /// ```
    /// use foldnet_converter::calibrate::Range;
    /// assert_eq!(Range { lo: 0.0, hi: 2.55 }.quantization(), (0.01, -128));
    /// assert_eq!(Range { lo: -1.0, hi: 1.55 }.quantization(), (0.01, -28));
    /// ```
    pub fn quantization(self) -> (f32, i8) {
        let (lo, hi) = (self.lo.min(0.0), self.hi.max(0.0));
        let span = hi - lo;
        // The tensor was always zero, so any scale is right.
        if !(span.is_finite() && span > 1e-20) {
            return (1.0 / 255.0, if lo < 0.0 { 0 } else { -128 });
        }
        let scale = span / 255.0;
        let zero = (-128.0 - lo / scale).round_ties_even().clamp(-128.0, 127.0) as i8;
        // The zero point was rounded, so the step is widened a little for both ends to fit.
        let below = -lo / (f32::from(zero) + 128.0);
        let above = hi / (127.0 - f32::from(zero));
        let widest = [scale, below, above].into_iter().filter(|s| s.is_finite()).fold(scale, f32::max);
        (widest, zero)
    }
}

/// The method that chooses ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// The range with the smallest error of the network's output, for each tensor.
    Auto,
    /// All values seen, without clipping.
    Minmax,
    /// All but the outermost 0.01 % of the values.
    Percentile,
    /// The range with the smallest mean square error of the tensor.
    Mse,
    /// The range that keeps most of the distribution's information.
    Entropy,
}

impl Method {
    /// The methods from which `auto` chooses, starting with the first.
    pub const ALL: [Self; 4] = [Self::Mse, Self::Minmax, Self::Percentile, Self::Entropy];

    /// Returns the range that the method finds.
    pub fn range(self, h: &Histogram) -> Range {
        match self {
            Self::Minmax => minmax::range(h),
            Self::Percentile => percentile::range(h),
            Self::Auto | Self::Mse => mse::range(h),
            Self::Entropy => entropy::range(h),
        }
    }

    /// Like [`Method::range`], for a tensor that is only read through a function. Methods that do not weigh errors
    /// return the same range.
    pub fn range_through(self, h: &Histogram, function: &dyn Fn(f64) -> f64) -> Range {
        match self {
            Self::Auto | Self::Mse => mse::range_through(h, function),
            other => other.range(h),
        }
    }

    /// Returns the method's name on the command line.
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

    /// Returns a bell curve with one far outlier.
    fn bell(outlier: f32) -> Histogram {
        let mut h = Histogram::new(0.001);
        let values: Vec<f32> = (0..2_000_000)
            .map(|i| {
                let u = (i as f32 + 0.5) / 2_000_000.0;
                libm::logf(u / (1.0 - u)) * 0.5
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
