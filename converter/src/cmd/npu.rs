//! What `export --rknn`, `--ethos-u` and `--tflite` share: images to check with, the tool's folder, the verdict.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use foldnet_archive::MAX_BATCH;
use foldnet_backends::auto::cache;
use foldnet_dataset::Dataset;
use serde::Serialize;

use super::images::{Reader, Sample, spread};
use super::model::Int8Model;
use super::talk::percent;
use super::{Failure, Talk};
use crate::emit::tool::ToolError;
use crate::image::Pixels;
use crate::quantize::score::{Distance, top};

/// Images that ranges are measured on.
const RANGE_IMAGES: usize = 64;

/// What `--rknn`, `--ethos-u` and `--tflite` need.
#[derive(Args)]
#[command(next_help_heading = "With --rknn, --ethos-u and --tflite")]
pub struct Flags {
    /// Images to check with: a folder, a CIFAR .bin file, or a .npy array
    #[arg(long, requires = "pictures")]
    pub images: Option<PathBuf>,
    /// Images to measure ranges on [default: some of --images]
    #[arg(long, requires = "pictures", value_name = "IMAGES")]
    pub calibrate: Option<PathBuf>,
    /// Largest number of images to check with
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..), requires = "pictures")]
    pub check_images: u32,
    /// Smallest share of images that must have the same top-1 as the archive
    #[arg(long, default_value_t = 0.99, requires = "pictures")]
    pub min_agreement: f64,
    /// Also build a model that takes this many images at once
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BATCH)), requires = "rknn")]
    pub batch: u32,
    /// Python for the vendor's tools: 3.8 to 3.12 for --rknn, 3.11 to 3.13 for --ethos-u
    #[arg(long, default_value = "python3", requires = "npu")]
    pub python: String,
    /// Folder of the tools' Python environment [default: in the user's cache]
    #[arg(long, requires = "npu")]
    pub toolkit: Option<PathBuf>,
}

/// How the other side differs from us in one tensor.
#[derive(Serialize)]
pub struct Layer {
    pub name: String,
    /// Share of values that are the same int8.
    pub equal: f64,
    /// Largest difference, in int8 steps.
    pub largest: u32,
}

/// What the result is checked on.
pub struct Check {
    /// As the network takes them.
    pub images: Vec<Pixels>,
    labels: Option<Vec<usize>>,
}

impl Check {
    /// How many answers agree with the labels, if there are any.
    pub fn correct(&self, logits: &[Vec<f32>]) -> Option<usize> {
        self.labels.as_ref().map(|labels| logits.iter().zip(labels).filter(|(l, t)| top(l) == **t).count())
    }
}

impl Flags {
    /// The images that they name.
    pub fn inputs(&self) -> Vec<&Path> {
        [&self.images, &self.calibrate].into_iter().flatten().map(PathBuf::as_path).collect()
    }

    /// The folder for the tool of this name.
    pub fn folder(&self, tool: String) -> anyhow::Result<PathBuf> {
        match &self.toolkit {
            Some(folder) => Ok(folder.clone()),
            None => Ok(cache()
                .ok_or_else(|| anyhow!("neither HOME nor XDG_CACHE_HOME is set; give --toolkit"))?
                .join(tool)),
        }
    }

    /// The images to check with.
    pub fn check(&self, option: &str, model: &Int8Model, talk: &Talk) -> Result<Check, Failure> {
        let Some(images) = &self.images else {
            return Err(Failure::Input(anyhow!("{option} needs --images: images to check the result with")));
        };
        if !(0.0..=1.0).contains(&self.min_agreement) {
            return Err(Failure::Input(anyhow!(
                "--min-agreement {} must be a number from 0 to 1",
                self.min_agreement
            )));
        }
        let samples = read(images, self.check_images as usize, model, talk)?;
        let labels = samples.iter().map(|s| s.label).collect();
        let images = samples.into_iter().map(|s| s.pixels).collect();
        Ok(Check { images, labels })
    }

    /// Images to measure ranges on.
    pub fn for_ranges(&self, check: &Check, model: &Int8Model, talk: &Talk) -> Result<Vec<Pixels>, Failure> {
        Ok(match &self.calibrate {
            // Spread over all, since they may come sorted by class.
            None => spread(check.images.len(), RANGE_IMAGES).map(|i| check.images[i].clone()).collect(),
            Some(path) => read(path, RANGE_IMAGES, model, talk)?.into_iter().map(|s| s.pixels).collect(),
        })
    }

    /// Says how far `who` (in the report's words `title`) is from the archive; a failure if it agrees too seldom.
    pub fn judge(
        &self,
        title: &str,
        who: &str,
        model: &Int8Model,
        ours: &[Vec<f32>],
        theirs: &[Vec<f32>],
        talk: &Talk,
    ) -> Result<Distance, Failure> {
        let distance = Distance::between(ours, theirs, model.measure());
        let lead = distance.lost_lead.map_or(String::new(), |lead| {
            format!(" (where they differ, the archive's first label led by at most {})", percent(lead))
        });
        talk.say(format!(
            "{title} against archive on {} images: {}{lead}",
            distance.images,
            distance.words()
        ));
        if distance.likeness() < self.min_agreement {
            return Err(Failure::Limit(format!(
                "{who} agrees on {}, less than {}; nothing was written",
                percent(distance.likeness()),
                percent(self.min_agreement)
            )));
        }
        Ok(distance)
    }
}

/// Says how the layers differ.
pub fn tell(layers: &[Layer], talk: &Talk) {
    for Layer { name, equal, largest } in layers {
        talk.say(format!("{:>7} equal, largest difference {largest:>3}  {name}", percent(*equal)));
    }
}

/// The other side must have answered every image as we did, with as many logits.
pub fn same_shape(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> Result<(), ToolError> {
    if theirs.iter().map(Vec::len).eq(ours.iter().map(Vec::len)) {
        return Ok(());
    }
    let count: usize = theirs.iter().map(Vec::len).sum();
    Err(ToolError::Results(format!("{count} logits for {} images", ours.len())))
}

/// At most `most` of the images.
fn read(images: &Path, most: usize, model: &Int8Model, talk: &Talk) -> Result<Vec<Sample>, Failure> {
    let dataset = Dataset::open(images)?;
    let mut reader = Reader::new(&dataset, &model.manifest.input, talk);
    let samples = reader.read(spread(dataset.len(), most));
    reader.check(samples.len(), false)?;
    Ok(samples)
}
