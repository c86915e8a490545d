//! Pictures for calibration and measurement.

use anyhow::bail;
use foldnet_archive::Input;
use foldnet_dataset::Dataset;
use foldnet_image::fit;

use super::{Failure, Talk};

/// A picture as the network's pixels.
#[derive(Clone)]
pub struct Sample {
    /// Path or number.
    pub name: String,
    /// Its class, if known.
    pub label: Option<usize>,
    /// HWC.
    pub pixels: Vec<u8>,
}

/// Reads pictures from a dataset one by one; names and counts those that cannot be read.
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

    /// The pictures with these numbers.
    pub fn read(&mut self, numbers: impl IntoIterator<Item = usize>) -> Vec<Sample> {
        let mut samples = Vec::new();
        for number in numbers {
            match self.dataset.get(number) {
                Ok(item) => samples.push(Sample {
                    pixels: fit(&item.picture, self.input),
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
                "{}: none of the {} pictures can be read",
                self.dataset.path().display(),
                self.skipped
            )));
        }
        if strict && self.skipped > 0 {
            return Err(Failure::Input(anyhow::anyhow!(
                "{}: {} pictures cannot be read (--strict)",
                self.dataset.path().display(),
                self.skipped
            )));
        }
        Ok(())
    }
}

/// Labels that are beyond the network's classes are an error of the data.
pub fn check_labels(samples: &[Sample], classes: usize) -> anyhow::Result<()> {
    if let Some(bad) = samples.iter().find(|s| s.label.is_some_and(|l| l >= classes)) {
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

/// 95 % Wilson score interval of a share: E. B. Wilson, *Probable inference*, 1927.
pub fn wilson(right: usize, total: usize) -> (f64, f64) {
    if total == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (total as f64, 1.959_964);
    let p = right as f64 / n;
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_as_published() {
        // 81 of 263: 0.2553 to 0.3662 (Newcombe, 1998, table I, method 3).
        let (lo, hi) = wilson(81, 263);
        assert!((lo - 0.2553).abs() < 1e-4 && (hi - 0.3662).abs() < 1e-4, "{lo} {hi}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn spread_is_even() {
        assert_eq!(spread(10, 3).collect::<Vec<_>>(), [0, 3, 6]);
        assert_eq!(spread(2, 5).collect::<Vec<_>>(), [0, 1]);
    }
}
