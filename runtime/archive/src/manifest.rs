//! `foldnet.toml`: everything that the graph does not contain.
//!
//! It describes every step between an image and the network's input, and between the network's output and a label.
//! The runtime therefore needs no flags.

pub use foldnet_kernels::network::OLDEST_FORMAT;
use foldnet_kernels::op::Kind;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Activation;
use crate::output::OutputKind;

/// The newest version of the archive format that this build reads and writes: that of its newest operator.
pub const FORMAT: u32 = {
    let (mut newest, mut i) = (OLDEST_FORMAT, 0);
    while i < Kind::ALL.len() {
        let format = Kind::ALL[i].format();
        newest = if format > newest { format } else { newest };
        i += 1;
    }
    newest
};

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format's version, see [`FORMAT`].
    pub format: u32,
    /// The model from which the network was converted.
    pub source: SourceModel,
    /// How an image becomes pixels.
    pub input: Input,
    /// How the network was quantized, and how well it agrees with the original.
    pub calibration: Calibration,
    /// The name of each class; empty if the converter was given none.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The meaning of the output, if it does not follow from the network; see [`Manifest::output_kind`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputKind>,
    /// The network's answers to images that anybody can generate again. They are in the member `proof.toml`, which
    /// earlier releases neither read nor write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// The text of the member `provenance.toml`: what the archive was made from. Only the converter interprets it, so
    /// that a newer one never keeps a runtime from running the network.
    #[serde(skip)]
    pub provenance: Option<String>,
    /// The same network built for NPUs, at most one model per chip and batch size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub npu: Vec<NpuModel>,
}

impl Manifest {
    /// Returns the meaning of the output of a network with this final function and number of outputs.
    pub fn output_kind(&self, activation: Activation, outputs: usize) -> OutputKind {
        self.output.unwrap_or_else(|| OutputKind::of(activation, outputs))
    }
}

/// The archive's member that contains a [`Proof`].
pub(crate) const PROOF: &str = "proof.toml";

/// The archive's member that contains [`Manifest::provenance`].
pub(crate) const PROVENANCE: &str = "provenance.toml";

/// The network's answers on the machine that converted it. A processor with other answers computes other bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The number of images, which are the first of a fixed series (see `foldnet::proof`).
    pub images: u32,
    /// The hexadecimal SHA-256 of their logits, image after image, each a little-endian f32.
    pub logits: String,
}

/// Returns the hexadecimal SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The network as compiled by an NPU vendor's tool, and how well it agrees with the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpuModel {
    /// The chip in lower case, such as `rk3588`; the model is the archive's member `npu/<target>.rknn`.
    pub target: String,
    /// The number of images per call; if there are several, the member is `npu/<target>-batch<n>.rknn`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub batch: u32,
    /// The version of the vendor's toolkit that built the model.
    pub toolkit: String,
    /// The model's hexadecimal SHA-256; it is checked when the archive is read.
    pub sha256: String,
    /// The share of check images for which the vendor's simulator and the graph had the same top-1 class.
    pub agreement: f64,
    /// The number of check images.
    pub images: usize,
    /// The model's bytes.
    #[serde(skip)]
    pub model: Vec<u8>,
}

/// The largest number of images per call.
pub const MAX_BATCH: u32 = 64;

fn one() -> u32 {
    1
}

fn is_one(batch: &u32) -> bool {
    *batch == 1
}

impl NpuModel {
    /// Returns the name of the model's member in the archive.
    pub fn member(&self) -> String {
        match self.batch {
            1 => format!("npu/{}.rknn", self.target),
            n => format!("npu/{}-batch{n}.rknn", self.target),
        }
    }
}

/// The model from which the network was converted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceModel {
    /// The file name, without folder.
    pub file: String,
    /// The hexadecimal SHA-256 of the file.
    pub sha256: String,
    /// The program that wrote the model, according to the model.
    pub producer: String,
    /// The version of the converter.
    pub converter: String,
}

/// How an image becomes pixels. The network's input is u8, RGB or grey. Channel order, mean and deviation of the
/// original preprocessing are folded into the first layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The number of rows.
    pub height: usize,
    /// The number of columns.
    pub width: usize,
    /// 3 for RGB, 1 for grey.
    pub channels: usize,
    /// How an image of another size is resized.
    pub resize: Resize,
    /// The name of the preprocessing folded into the network, for information: `caffe`, `tf`, `torch`, `none`, or
    /// `custom`.
    pub preprocess: String,
    /// `x = (p − mean) / std` per channel, in pixel units and RGB order, as folded.
    pub mean: Vec<f32>,
    /// See `mean`.
    pub std: Vec<f32>,
}

/// How an image is resized to the network's input, rounded to u8. All rules but one are bilinear with
/// antialiasing: a triangle filter whose support grows with the reduction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule", deny_unknown_fields)]
pub enum Resize {
    /// Resizes both sides independently: Pillow's `resize`, `tf.image.resize(…, antialias=True)`.
    Stretch,
    /// Resizes both sides independently, without antialiasing, from the two nearest samples: `tf.image.resize`,
    /// and so Keras' `image_dataset_from_directory`.
    Bilinear,
    /// Resizes the short side to `short_side`, then crops the centre: torchvision (256 for 224).
    Crop {
        /// The length of the short side before the crop.
        short_side: usize,
    },
}

/// How the network was quantized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The number of calibration images; 0 with `--synthetic`.
    pub images: usize,
    /// The calibration method, or `auto`.
    pub method: String,
    /// The share of held-out images for which int8 and f32 have the same top-1 class, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
}
