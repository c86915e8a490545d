//! What is taught, as the page shows it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foldnet_archive::{Input, Resize};
use foldnet_image::{Image, fit};
use foldnet_teach::Teaching;
use serde::Serialize;

use super::album::Album;
use crate::preview;

/// The longest side of a small image.
const SIDE: usize = 64;

/// See the module.
#[derive(Debug, Default, Serialize)]
pub struct Shown {
    /// The name of the teaching file.
    pub file: String,
    /// Another number after each change.
    pub revision: u64,
    /// The classes.
    pub classes: Vec<ShownClass>,
    /// What an image of no class is called, and how often one of these classes is; null if nothing is.
    pub unknown: Option<ShownRate>,
    /// The same as a sentence.
    pub rate: Option<String>,
    /// What stands against the rate, as a sentence.
    pub warning: Option<String>,
    /// The change that can be undone.
    pub undo: Option<String>,
    /// The network's own classes.
    pub own: ShownOwn,
    /// The folder of the images that are kept to train with.
    pub folder: String,
    /// Why the last image that was taught is not kept there.
    pub not_kept: Option<String>,
}

/// The network's own classes.
#[derive(Debug, Default, Serialize)]
pub struct ShownOwn {
    /// Whether they are answered beside the taught ones.
    pub mixed: bool,
    /// The number of images of them.
    pub images: usize,
}

/// A taught class.
#[derive(Debug, Serialize)]
pub struct ShownClass {
    /// Its name.
    pub class: String,
    /// The number of its images.
    pub images: usize,
    /// How many prototypes they have.
    pub prototypes: usize,
    /// How many of them are recognized when held out; null where there is one only.
    pub recognized: Option<u32>,
    /// How many of them are kept to train with.
    pub kept: usize,
    /// Some of those, as JPEG in base64.
    pub thumbnails: Vec<String>,
}

/// A rate of false alarms, as a share of 1.
#[derive(Debug, Serialize)]
pub struct ShownRate {
    /// What an image of no class is called.
    pub label: &'static str,
    /// What was asked for.
    pub asked: f64,
    /// What is expected.
    pub expected: f64,
    /// Below with 5 %.
    pub low: f64,
    /// Above with 5 %.
    pub high: f64,
}

impl Shown {
    pub(super) fn new(
        file: String,
        undo: Option<String>,
        revision: u64,
        teaching: Option<&Teaching>,
        mut images: impl FnMut(&str) -> (usize, Vec<String>),
    ) -> Self {
        let mut shown = Self { file, undo, revision, ..Self::default() };
        let Some(teaching) = teaching else { return shown };
        let class = |class: &foldnet_teach::Class| {
            let (kept, thumbnails) = images(class.name());
            ShownClass {
                class: class.name().into(),
                images: class.examples(),
                prototypes: class.prototypes().len(),
                recognized: (class.examples() > 1).then_some(class.right()),
                kept,
                thumbnails,
            }
        };
        shown.classes = teaching.classes().iter().map(class).collect();
        let (label, asked) = (teaching.other().name(), teaching.calibration().asked.share());
        shown.unknown = teaching.calibration().rate().map(|rate| ShownRate {
            label,
            asked,
            expected: rate.expected,
            low: rate.low,
            high: rate.high,
        });
        shown.rate = Some(teaching.rate_in_words());
        shown.warning = teaching.too_few_in_words();
        shown.own = ShownOwn { mixed: teaching.own().is_mixed(), images: teaching.own().examples() };
        shown
    }

    pub(super) fn with_folder(mut self, album: &Album) -> Self {
        self.folder = album.folder().file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.not_kept = album.problem().map(Into::into);
        self
    }
}

/// A small JPEG in base64 of what the network sees; none where that is no image with one channel or three.
pub(super) fn thumbnail(pixels: &[u8], input: &Input) -> Option<Arc<str>> {
    let long = input.width.max(input.height).max(SIDE);
    let [width, height] = [input.width, input.height].map(|side| (side * SIDE / long).max(1));
    let rgb = pixels.chunks_exact(input.channels).flat_map(|pixel| match *pixel {
        [r, g, b, ..] => [r, g, b],
        [grey, ..] => [grey; 3],
        [] => [0; 3],
    });
    let image = Image::new(input.width, input.height, rgb.collect())?;
    let (mean, std, preprocess) = (vec![0.0; 3], vec![1.0; 3], "none".into());
    let small = Input { width, height, channels: 3, resize: Resize::Stretch, preprocess, mean, std };
    let jpeg = preview::encode(&fit(&image, &small), width, height, 3)?;
    Some(STANDARD.encode(jpeg).into())
}
