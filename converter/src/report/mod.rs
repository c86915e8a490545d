//! The report of a conversion, as data: what it did and what it cost.

pub mod html;
pub mod layers;
pub mod png;

use serde::Serialize;

use crate::convert::reading::Reading;
use crate::convert::verdict::Verdict;
use crate::per_class::Change;
use crate::quantize::recipe::Decision;
use crate::quantize::score::Distance;

/// The report that `converter quantize --report` writes, as JSON or, by [`html::page`], as a page.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The verdict on the conversion.
    pub verdict: Verdict,
    /// The program that created the report, and the date.
    pub origin: Origin,
    /// The meaning of the network's output.
    pub output: Reading,
    /// The file name of the source model.
    pub source: String,
    /// The SHA-256 of the source model.
    pub sha256: String,
    /// The preprocessing that was folded in.
    pub preprocess: String,
    /// The reason for this preprocessing.
    pub preprocess_reason: String,
    /// The number of the source graph's nodes that folding removed.
    pub layers_folded: usize,
    /// The number of steps that compute in int8.
    pub layers_quantized: usize,
    /// The number of steps that compute in f32.
    pub layers_float: usize,
    /// The size of the source model in bytes, including its external data.
    pub bytes_before: u64,
    /// The size of the archive in bytes.
    pub bytes: u64,
    /// The multiply-accumulates per image.
    pub macs: u64,
    /// The number of weights and biases.
    pub parameters: usize,
    /// The peak size of the activations in bytes, in this machine's plan.
    pub arena_bytes: usize,
    /// The number of calibration images.
    pub calibration_images: usize,
    /// The number of tensors whose scales the source model states; they are kept.
    pub scales_given: usize,
    /// The number of images skipped because they could not be read.
    pub skipped: usize,
    /// The number of tensors stored relative to the middle of each of their channels.
    pub centred: usize,
    /// The quantization passes and their results.
    pub passes: Vec<Decision>,
    /// Whether the checked images are known to be unseen in training. If not, all that is known is that they were
    /// not used for calibration.
    pub unseen: bool,
    /// The difference between int8 and f32 on the checked images.
    pub held_out: Option<Distance>,
    /// The accuracy on checked images with labels.
    pub accuracy: Option<Accuracy>,
    /// The change from f32 to int8 of each class, on checked images with labels.
    pub classes: Vec<Change>,
    /// The first held-out images whose answer changed.
    pub changed: Vec<Changed>,
    /// The effect on the logits of rounding each tensor and each layer's weights alone.
    pub sensitivity: Vec<SensitivityReport>,
    /// The nodes that could not be fused into a convolution and are separate steps.
    pub not_folded: Vec<String>,
    /// The parts that `--max-drop` kept in 16 bits, if int8 alone lost too much.
    pub kept: Option<KeptReport>,
    /// The tensors.
    pub tensors: Vec<TensorReport>,
    /// Further notes for the reader.
    pub notes: Vec<String>,
}

/// The program that created a report, and the date.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// The version of the converter.
    pub converter: &'static str,
    /// The version of the archive's format.
    pub archive_format: u32,
    /// The day, such as `2026-11-30`, if the caller provides it.
    pub date: Option<String>,
    /// The command line, if there was one.
    pub command: Option<String>,
}

/// The parts kept in 16 bits to meet an accuracy budget, and their cost.
#[derive(Clone, Debug, Serialize)]
pub struct KeptReport {
    /// The points that may be lost.
    pub limit: f64,
    /// The points that int8 alone loses on held-out images.
    pub drop_before: f64,
    /// The points lost with the kept parts.
    pub drop: f64,
    /// The number of networks measured in the search.
    pub tried: usize,
    /// The kept parts, the noisiest first.
    pub parts: Vec<KeptPart>,
    /// The multiply-accumulates of int8 alone.
    pub macs_before: u64,
    /// The multiply-accumulates with the kept parts.
    pub macs: u64,
    /// The size of the archive of int8 alone in bytes.
    pub bytes_before: u64,
    /// The size of the archive in bytes.
    pub bytes: u64,
    /// The milliseconds of an inference of int8 alone, on this machine with one thread.
    pub ms_before: f64,
    /// The milliseconds of an inference with the kept parts.
    pub ms: f64,
}

/// A layer's weights or a tensor's values in 16 bits.
#[derive(Clone, Debug, Serialize)]
pub struct KeptPart {
    /// The node's name in the source model.
    pub name: String,
    /// `weights` or `values`.
    pub what: &'static str,
    /// The signal-to-noise ratio of the logits in dB if only this part is rounded to 8 bits.
    pub sqnr: f64,
    /// The multiply-accumulates that keeping only this part adds.
    pub macs: u64,
    /// The number of weights and biases that keeping only this part adds.
    pub parameters: usize,
}

/// The correct answers among held-out images.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Accuracy {
    /// The number of images with labels.
    pub images: usize,
    /// The share of correct answers of f32.
    pub float: f64,
    /// The share of correct answers of int8.
    pub int8: f64,
    /// The number of correct answers of f32.
    pub float_right: usize,
    /// The number of correct answers of int8.
    pub int8_right: usize,
    /// The probability of a difference at least as large if both are equally good, see
    /// [`crate::per_class::mcnemar`].
    pub p: f64,
}

/// An image whose answer changed. Classes have names if the names are known, otherwise numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// The image's path or number.
    pub name: String,
    /// The image's class, if known.
    pub label: Option<String>,
    /// The answer of f32.
    pub float: String,
    /// The answer of int8.
    pub int8: String,
    /// A small PNG as a data URI.
    pub thumbnail: String,
}

/// See [`crate::quantize::sensitivity`].
#[derive(Clone, Debug, Serialize)]
pub struct SensitivityReport {
    /// The node's name in the source model.
    pub name: String,
    /// `weights` or `values`.
    pub what: &'static str,
    /// The signal-to-noise ratio of the logits in dB if nothing else is rounded.
    pub sqnr: f64,
}

/// One int8 tensor.
#[derive(Debug, Serialize)]
pub struct TensorReport {
    /// Its name in the archive.
    pub name: String,
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// Its scale.
    pub scale: f32,
    /// Its zero point.
    pub zero: i8,
    /// The method that chose its range.
    pub method: String,
    /// The signal-to-noise ratio in dB, see [`layers::Noise`].
    pub sqnr: Option<f64>,
    /// The smallest and the largest float value seen, without equalization.
    pub seen: (f32, f32),
    /// The counts of 64 equal parts of that range.
    pub histogram: Vec<u64>,
}
