//! What a conversion did and what it cost, as data.

pub mod html;
pub mod layers;
pub mod png;

use serde::Serialize;

use crate::convert::reading::Reading;
use crate::convert::verdict::Verdict;
use crate::per_class::Change;
use crate::quantize::recipe::Decision;
use crate::quantize::score::Distance;

/// Written by `converter quantize --report`, as JSON or, by [`html::page`], as a page.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How it went.
    pub verdict: Verdict,
    /// What made it, and when.
    pub origin: Origin,
    /// What the network's output means.
    pub output: Reading,
    /// File name of the source model.
    pub source: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Which preprocessing was folded in.
    pub preprocess: String,
    /// Why that one.
    pub preprocess_reason: String,
    /// Nodes of the source graph that folding removed.
    pub layers_folded: usize,
    /// Steps that compute in int8.
    pub layers_quantized: usize,
    /// Steps that compute in f32.
    pub layers_float: usize,
    /// Bytes of the source model, its external data included.
    pub bytes_before: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Weights and biases.
    pub parameters: usize,
    /// Bytes of activations at their peak, in the plan of this machine.
    pub arena_bytes: usize,
    /// Calibration images.
    pub calibration_images: usize,
    /// Images skipped because they could not be read.
    pub skipped: usize,
    /// Tensors stored around the middle of each of their channels.
    pub centred: usize,
    /// Passes over the numbers, and what came of them.
    pub passes: Vec<Decision>,
    /// Whether the checked images are known to be unseen in training. If not, they were kept out of
    /// calibration, which is all that is known of them.
    pub unseen: bool,
    /// int8 against f32 on the checked images.
    pub held_out: Option<Distance>,
    /// Accuracy on checked images with labels.
    pub accuracy: Option<Accuracy>,
    /// Class by class, from f32 to int8, on checked images with labels.
    pub classes: Vec<Change>,
    /// Held-out images whose answer changed, the first few.
    pub changed: Vec<Changed>,
    /// What each tensor and each layer's weights, rounded alone, do to the logits.
    pub sensitivity: Vec<SensitivityReport>,
    /// Nodes that fit into no convolution and are steps of their own.
    pub not_folded: Vec<String>,
    /// What `--max-drop` kept in 16 bits, where int8 alone lost too much.
    pub kept: Option<KeptReport>,
    /// Tensor by tensor.
    pub tensors: Vec<TensorReport>,
    /// What else should be known.
    pub notes: Vec<String>,
}

/// What made a report, and when.
#[derive(Clone, Debug, Serialize)]
pub struct Origin {
    /// Version of the converter.
    pub converter: &'static str,
    /// Version of the archive's format.
    pub archive_format: u32,
    /// The day, such as `2026-11-30`, if the caller tells it.
    pub date: Option<String>,
    /// The command line, if there was one.
    pub command: Option<String>,
}

/// What is held in 16 bits so that a budget holds, and what that costs.
#[derive(Clone, Debug, Serialize)]
pub struct KeptReport {
    /// Points that may be lost.
    pub limit: f64,
    /// Points that int8 alone loses on held-out images.
    pub drop_before: f64,
    /// Points that are lost now.
    pub drop: f64,
    /// Networks that were measured to find it.
    pub tried: usize,
    /// What is kept, the noisiest first.
    pub parts: Vec<KeptPart>,
    /// Multiply-accumulates of int8 alone.
    pub macs_before: u64,
    /// Multiply-accumulates now.
    pub macs: u64,
    /// Bytes of the archive of int8 alone.
    pub bytes_before: u64,
    /// Bytes of the archive now.
    pub bytes: u64,
    /// Milliseconds of an inference of int8 alone, on this machine, one thread.
    pub ms_before: f64,
    /// Milliseconds of an inference now.
    pub ms: f64,
}

/// A layer's weights or a tensor's values in 16 bits.
#[derive(Clone, Debug, Serialize)]
pub struct KeptPart {
    /// The node's name in the source model.
    pub name: String,
    /// `weights` or `values`.
    pub what: &'static str,
    /// Signal to noise of the logits in dB with nothing but this rounded to 8 bits.
    pub sqnr: f64,
    /// Multiply-accumulates that keeping it alone adds.
    pub macs: u64,
    /// Weights and biases that keeping it alone adds.
    pub parameters: usize,
}

/// Right answers among held-out images.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Accuracy {
    /// Images with labels.
    pub images: usize,
    /// f32's share of right answers.
    pub float: f64,
    /// int8's.
    pub int8: f64,
    /// f32's number of right answers.
    pub float_right: usize,
    /// int8's.
    pub int8_right: usize,
    /// How likely a difference at least as large is where both are equally good, see [`crate::per_class::mcnemar`].
    pub p: f64,
}

/// An image whose answer changed. Classes are named where names are known, else numbered.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// Its path or number.
    pub name: String,
    /// Its class, if known.
    pub label: Option<String>,
    /// f32's answer.
    pub float: String,
    /// int8's answer.
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
    /// Signal to noise of the logits in dB, nothing else rounded.
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
    /// How its range was chosen.
    pub method: String,
    /// Signal to noise in dB, see [`layers::Noise`].
    pub sqnr: Option<f64>,
    /// Smallest and largest float value seen, equalization aside.
    pub seen: (f32, f32),
    /// Counts of 64 equal parts of that range.
    pub histogram: Vec<u64>,
}
