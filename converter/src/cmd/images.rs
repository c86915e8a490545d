//! Images for calibration and measurement.

use std::path::Path;

use anyhow::bail;
use foldnet_archive::Input;
use foldnet_cli::count;
use foldnet_dataset::{Dataset, DatasetError};

use super::{Failure, Talk};

pub use crate::convert::images::Sample;
use crate::image::Pixels;

/// Opens a dataset and tells what a person should know about it.
pub fn open(path: &Path, talk: &Talk) -> Result<Dataset, DatasetError> {
    let dataset = Dataset::open(path)?;
    dataset.notes().iter().for_each(|note| talk.say(note));
    Ok(dataset)
}

/// Reads images from a dataset one by one; names and counts those that cannot be read.
pub struct Reader<'a> {
    dataset: &'a Dataset,
    input: &'a Input,
    talk: &'a Talk,
    /// How many were skipped.
    pub skipped: usize,
}

impl<'a> Reader<'a> {
    /// For one dataset and one network's input.
    pub fn new(dataset: &'a Dataset, input: &'a Input, talk: &'a Talk) -> Self {
        Self { dataset, input, talk, skipped: 0 }
    }

    /// The images with these numbers.
    pub fn read(&mut self, numbers: impl IntoIterator<Item = usize>) -> Vec<Sample> {
        let mut samples = Vec::new();
        for number in numbers {
            match self.dataset.get(number) {
                Ok(item) => samples.push(Sample {
                    pixels: Pixels::fit(&item.picture, self.input),
                    name: item.name,
                    label: item.label,
                }),
                Err(error) => {
                    self.skipped += 1;
                    self.talk.warn(format!("skipped {error}"));
                }
            }
        }
        samples
    }

    /// After the last: an error when nothing was read, or when something was not and `strict` is set.
    pub fn check(&self, read: usize, strict: bool) -> Result<(), Failure> {
        if read == 0 {
            return Err(Failure::Input(anyhow::anyhow!(
                "{}: {}",
                self.dataset.path().display(),
                match self.skipped {
                    1 => "the only image cannot be read".into(),
                    n => format!("none of the {n} images can be read"),
                }
            )));
        }
        if strict && self.skipped > 0 {
            return Err(Failure::Input(anyhow::anyhow!(
                "{}: {} cannot be read (--strict)",
                self.dataset.path().display(),
                count(self.skipped, "image")
            )));
        }
        Ok(())
    }
}

/// Labels that are beyond the network's classes are an error of the data.
pub fn check_labels<'a>(samples: impl IntoIterator<Item = &'a Sample>, classes: usize) -> anyhow::Result<()> {
    if let Some(bad) = samples.into_iter().find(|s| s.label.is_some_and(|l| l >= classes)) {
        bail!(
            "{} has label {}, but the network has {classes} outputs (0…{})",
            bad.name,
            bad.label.unwrap_or_default(),
            classes - 1
        );
    }
    Ok(())
}

/// Numbers spread evenly over `0..total`, at most `most`.
pub fn spread(total: usize, most: usize) -> impl Iterator<Item = usize> {
    let n = total.min(most);
    (0..n).map(move |i| i * total / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_even() {
        assert_eq!(spread(10, 3).collect::<Vec<_>>(), [0, 3, 6]);
        assert_eq!(spread(2, 5).collect::<Vec<_>>(), [0, 1]);
    }
}
