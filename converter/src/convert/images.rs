//! The images of a conversion: for calibration, and for checking the result.

use foldnet::proof::Noise;
use foldnet_archive::Input;
use foldnet_kernels::Shape;

use crate::image::Pixels;

/// An image in the network's input format.
#[derive(Clone)]
pub struct Sample {
    /// The path or number.
    pub name: String,
    /// The image's class, if known.
    pub label: Option<usize>,
    /// The pixels as the network reads them.
    pub pixels: Pixels,
}

/// The calibration images and the check images.
#[derive(Clone, Default)]
pub struct Images {
    /// The images on which ranges and rounding are measured.
    pub calibrate: Vec<Pixels>,
    /// The images on which the result is checked; no decision was based on them.
    pub check: Vec<Sample>,
    /// Whether the check images are known to be unseen in training, too.
    pub unseen: bool,
    /// Whether all images are noise, for which answers mean nothing.
    pub noise: bool,
    /// The class folders that contain the images.
    pub folders: Vec<String>,
    /// The number of images that could not be read.
    pub skipped: usize,
}

/// If training does not tell which images it held out, every fifth is kept out of calibration.
pub const HELD_OUT: usize = 5;

impl Images {
    /// Keeps every fifth image out of calibration. With fewer than five, all are used for calibration.
    pub fn every_fifth(samples: Vec<Sample>) -> Self {
        let few = samples.len() < HELD_OUT;
        let mut images = Self::default();
        for (i, sample) in samples.into_iter().enumerate() {
            if !few && i % HELD_OUT == HELD_OUT - 1 {
                images.check.push(sample);
            } else {
                images.calibrate.push(sample.pixels);
            }
        }
        images
    }

    /// Checks on the images that training held out and calibrates on the rest. If either would be empty, this is
    /// like [`Images::every_fifth`].
    pub fn by_training(samples: Vec<(Sample, bool)>) -> Self {
        let held_out = samples.iter().filter(|(_, held_out)| *held_out).count();
        if held_out == 0 || held_out == samples.len() {
            let all = samples.into_iter().map(|(sample, _)| sample).collect();
            // All images are held out, so they are unseen whichever of them calibrate.
            return Self { unseen: held_out > 0, ..Self::every_fifth(all) };
        }
        let mut images = Self { unseen: true, ..Self::default() };
        for (sample, held_out) in samples {
            if held_out {
                images.check.push(sample);
            } else {
                images.calibrate.push(sample.pixels);
            }
        }
        images
    }

    /// Returns 64 images of [`Noise`]. Nothing can be checked on them.
    pub fn noise(input: &Input) -> Self {
        let shape = Shape::new(input.height, input.width, input.channels);
        let mut noise = Noise::default();
        let images = (0..64).map(|i| {
            let pixels = Pixels::new(shape, noise.image(shape)).expect("noise has the shape asked for");
            Sample { name: format!("noise[{i}]"), label: None, pixels }
        });
        let images = Self::every_fifth(images.collect());
        Self { noise: true, check: Vec::new(), ..images }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: u8) -> Pixels {
        Pixels::new(Shape::new(1, 1, 1), [value]).unwrap()
    }

    fn samples(n: usize) -> Vec<Sample> {
        (0..n).map(|i| Sample { name: i.to_string(), label: None, pixels: one(i as u8) }).collect()
    }

    #[test]
    fn every_fifth_is_kept_out_and_few_all_calibrate() {
        let images = Images::every_fifth(samples(11));
        let names: Vec<&str> = images.check.iter().map(|s| s.name.as_str()).collect();
        assert_eq!((names, images.calibrate.len(), images.unseen), (vec!["4", "9"], 9, false));
        let few = Images::every_fifth(samples(4));
        assert_eq!((few.check.len(), few.calibrate.len()), (0, 4));
    }

    #[test]
    fn what_training_held_out_checks() {
        let split = |held_out: fn(usize) -> bool| {
            let marked = samples(12).into_iter().enumerate().map(|(i, s)| (s, held_out(i))).collect();
            let images = Images::by_training(marked);
            (images.calibrate.len(), images.check.len(), images.unseen)
        };
        assert_eq!(split(|i| i < 3), (9, 3, true));
        assert_eq!(split(|_| false), (10, 2, false), "none of them is known to be unseen");
        assert_eq!(split(|_| true), (10, 2, true));
    }
}
