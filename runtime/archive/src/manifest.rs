//! `foldnet.toml`: what the graph does not say.
//!
//! The runtime needs no flags, because everything between an image and the network's input, and
//! between the network's output and a label, stands here.

pub use foldnet_kernels::network::OLDEST_FORMAT;
use foldnet_kernels::op::Kind;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Activation;
use crate::output::OutputKind;

/// The newest version of the archive format that this build writes and reads: that of its newest operator.
pub const FORMAT: u32 = {
    let (mut newest, mut i) = (OLDEST_FORMAT, 0);
    while i < Kind::ALL.len() {
        let format = Kind::ALL[i].format();
        newest = if format > newest { format } else { newest };
        i += 1;
    }
    newest
};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: u32,
    /// Where the network comes from.
    pub source: SourceModel,
    /// From image to pixels.
    pub input: Input,
    /// How the network was quantized and how well it kept its answers.
    pub calibration: Calibration,
    /// One name per class; empty when the converter was given none.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What the output means, where that does not follow from the network; see [`Manifest::output_kind`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputKind>,
    /// What the network answers to images that anybody can make again: the member `proof.toml`, which earlier releases
    /// neither write nor read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// The same network built for NPUs, at most one for each chip and batch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub npu: Vec<NpuModel>,
}

impl Manifest {
    /// What the output of a network with this final function and number of outputs means.
    pub fn output_kind(&self, activation: Activation, outputs: usize) -> OutputKind {
        self.output.unwrap_or_else(|| OutputKind::of(activation, outputs))
    }
}

/// The member of an archive that holds a [`Proof`].
pub(crate) const PROOF: &str = "proof.toml";

/// What the network answered where it was made. A processor that answers otherwise computes other bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// The number of images, the first of a fixed series (see `foldnet::proof`).
    pub images: u32,
    /// SHA-256 of their logits, image after image, each a little-endian f32; hexadecimal.
    pub logits: String,
}

/// SHA-256, hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The network as the compiler of an NPU's vendor has it, and how well it does there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpuModel {
    /// The chip in lower case, such as `rk3588`; the model is the archive's member `npu/<target>.rknn`.
    pub target: String,
    /// Images that it takes at once; with more than one the member is `npu/<target>-batch<n>.rknn`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub batch: u32,
    /// Version of the vendor's toolkit that built it.
    pub toolkit: String,
    /// SHA-256 of the model, hexadecimal; checked when the archive is read.
    pub sha256: String,
    /// Share of check images on which the vendor's simulator had the same top-1 as the graph.
    pub agreement: f64,
    /// Number of check images.
    pub images: usize,
    /// The model's bytes.
    #[serde(skip)]
    pub model: Vec<u8>,
}

/// The most images that a model may take at once.
pub const MAX_BATCH: u32 = 64;

fn one() -> u32 {
    1
}

fn is_one(batch: &u32) -> bool {
    *batch == 1
}

impl NpuModel {
    /// Where the archive keeps it.
    pub fn member(&self) -> String {
        match self.batch {
            1 => format!("npu/{}.rknn", self.target),
            n => format!("npu/{}-batch{n}.rknn", self.target),
        }
    }
}

/// Where the network comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceModel {
    /// File name, without folder.
    pub file: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// What wrote the model, as it says itself.
    pub producer: String,
    /// Version of the converter.
    pub converter: String,
}

/// From image to pixels. The pixels that reach the network are u8, RGB or grey; channel order, mean
/// and deviation of the original preprocessing are folded into the first layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 3 for RGB, 1 for grey.
    pub channels: usize,
    /// How an image of another size is brought to this one.
    pub resize: Resize,
    /// The preprocessing folded into the network, for the reader: `caffe`, `tf`, `torch`, `none`, or
    /// `custom`.
    pub preprocess: String,
    /// `x = (p − mean) / std` per channel, in pixel units and RGB order, as folded.
    pub mean: Vec<f32>,
    /// See `mean`.
    pub std: Vec<f32>,
}

/// How an image is brought to the network's size, rounded to u8: bilinear with antialiasing (a triangle
/// filter whose support grows with the reduction), but for one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule", deny_unknown_fields)]
pub enum Resize {
    /// Both sides independently: Pillow's `resize`, `tf.image.resize(…, antialias=True)`.
    Stretch,
    /// Both sides independently, between the two nearest samples, without antialiasing:
    /// `tf.image.resize`, and so Keras' `image_dataset_from_directory`.
    Bilinear,
    /// The short side to `short_side`, then the centre: torchvision (256 for 224).
    Crop {
        /// Length of the short side before the crop.
        short_side: usize,
    },
}

/// How the network was quantized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Images used; 0 with `--synthetic`.
    pub images: usize,
    /// Method, or `auto`.
    pub method: String,
    /// Share of held-out images on which int8 and f32 have the same top-1, when it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
}
