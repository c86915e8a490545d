//! The network's own classes, where they are answered beside the taught ones.
//!
//! A taught class is found by a distance, a class of the network by its softmax share. The two have no common unit. So
//! each is replaced by its rank among images that were held out: the share of them that fit no better than the new image
//! does (a conformal p-value). For this the teaching keeps the network's largest share on some images of its own classes.

use crate::calibrate::{FalseAlarms, Interval, beta_interval, ranks_above};
use crate::identity::hash_pixels;

/// The most images of the network's own classes.
pub const MAX_OWN: usize = 10_000;

/// An image of one of the network's own classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnExample {
    /// By which the same image is known again.
    pub(crate) image: u64,
    /// The bits of the network's largest share, which order as the shares do because these are not negative.
    pub(crate) share: u32,
}

impl OwnExample {
    /// Of the pixels that the network reads, and the shares of 1 that it gives its classes.
    pub fn new(pixels: &[u8], shares: &[f32]) -> Self {
        Self { image: hash_pixels(pixels), share: bits(largest(shares)) }
    }
}

/// The largest share, between 0 and 1.
pub(crate) fn largest(shares: &[f32]) -> f32 {
    shares.iter().copied().fold(0.0, f32::max).min(1.0)
}

/// A number that orders as shares do.
pub(crate) fn bits(share: f32) -> u32 {
    share.to_bits()
}

/// Images of the network's own classes, and whether these are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    pub(crate) mixed: bool,
    pub(crate) examples: Vec<OwnExample>,
}

impl Own {
    /// Whether the network's own classes are answered beside the taught ones.
    pub fn is_mixed(&self) -> bool {
        self.mixed
    }

    /// The number of images of them.
    pub fn examples(&self) -> usize {
        self.examples.len()
    }

    /// The images' largest shares, the smallest first.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut shares: Vec<u32> = self.examples.iter().map(|example| example.share).collect();
        shares.sort_unstable();
        shares
    }

    /// The share below which an image is of none of the network's classes; 0 if nothing is unknown.
    pub(crate) fn threshold(sorted: &[u32], asked: FalseAlarms) -> u32 {
        if asked == FalseAlarms::NONE || sorted.is_empty() {
            return 0;
        }
        // An image fits too badly if fewer than so many of the held-out images fit worse.
        sorted[(ranks_above(asked, sorted.len()) as usize).min(sorted.len()) - 1]
    }

    /// The rate at which images of the network's classes are called unknown or taught by this threshold alone.
    pub(crate) fn rate(&self, asked: FalseAlarms) -> Option<Interval> {
        let n = self.examples.len() as u32;
        let above = ranks_above(asked, n as usize).min(n);
        (asked != FalseAlarms::NONE && n > 0).then(|| beta_interval(n, above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(shares: impl Iterator<Item = f32>) -> Own {
        let example = |(n, share)| OwnExample { image: n, share: bits(share) };
        Own { mixed: true, examples: (0..).zip(shares).map(example).collect() }
    }

    #[test]
    fn shares_keep_their_order() {
        let shares = [0.0, f32::MIN_POSITIVE, 0.1, 0.5, 0.999_999, 1.0];
        assert!(shares.windows(2).all(|pair| bits(pair[0]) < bits(pair[1])));
        assert_eq!(largest(&[0.2, f32::NAN, 0.7, -3.0]), 0.7);
        assert_eq!(largest(&[f32::INFINITY]), 1.0);
    }

    #[test]
    fn the_threshold_is_a_rank() {
        let asked = FalseAlarms::percent(5.0).unwrap();
        let shares = |n: u16| own((1..=n).rev().map(|i| f32::from(i) / f32::from(n))).sorted();
        let at = |n: u16| f32::from_bits(Own::threshold(&shares(n), asked));
        assert_eq!((at(19), at(39), at(100), at(1)), (1.0 / 19.0, 2.0 / 39.0, 0.05, 1.0));
        assert_eq!(Own::threshold(&shares(19), FalseAlarms::NONE), 0);
        assert_eq!(own((0..99).map(|_| 0.5)).rate(asked).unwrap().expected, 0.05);
        assert_eq!(own(std::iter::empty()).rate(asked), None);
    }
}
