//! The networks of `tests/networks/`: graphs as their frameworks export them, weights from seeds, and what
//! ONNX Runtime computes on them.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use foldnet_converter::onnx::ModelProto;
use prost::Message;
use serde::Deserialize;

use crate::refill::{picture, refill};

/// One row of the network table, a row of `networks.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Fixture {
    /// Unique; also the files' names.
    pub name: String,
    /// Which part of the table it belongs to.
    pub source: String,
    /// The program that wrote the ONNX file, and its version.
    pub producer: String,
    /// ONNX operator set.
    pub opset: u32,
    /// Height and width of the input.
    pub side: usize,
    /// `nhwc` or `nchw`.
    pub layout: String,
    /// What the network wants done to pixels.
    pub preprocessing: Preprocessing,
    /// `none`, `softmax` or `sigmoid`: what the graph ends with, behind the golden logits.
    pub activation: String,
    /// Dimensions of the golden logits as the source graph has them.
    pub output: Vec<usize>,
    /// The converter cannot take it, and its message contains this.
    #[serde(default)]
    pub refused: Option<String>,
}

/// `(pixel − mean) / deviation` per channel, on pixels 0…255 whose channels are put into this order.
#[derive(Clone, Debug, Deserialize)]
pub struct Preprocessing {
    /// `rgb` or `bgr`.
    pub channels: String,
    /// In the network's channel order.
    pub mean: [f32; 3],
    /// In the network's channel order.
    pub deviation: [f32; 3],
}

fn folder() -> PathBuf {
    crate::root().join("tests/networks")
}

/// Every network, in the table's order.
pub fn fixtures() -> Vec<Fixture> {
    let path = folder().join("networks.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

impl Fixture {
    /// The ONNX file as the exporter would have written it with these weights.
    pub fn onnx(&self) -> Vec<u8> {
        let path = folder().join("graphs").join(format!("{}.onnx.gz", self.name));
        let packed = fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed)
            .read_to_end(&mut bytes)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut model = ModelProto::decode(&bytes[..]).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        refill(&mut model);
        model.encode_to_vec()
    }

    /// ONNX Runtime's f32 result on image 1, before the activation.
    pub fn golden(&self) -> Vec<f32> {
        let path = folder().join("golden").join(format!("{}.f32", self.name));
        let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
    }

    /// Image `seed`, HWC u8 RGB.
    pub fn pixels(&self, seed: u64) -> Vec<u8> {
        picture(seed, self.side, self.side)
    }

    /// Image `seed` as the network's input in its own units and channel order, HWC.
    pub fn input(&self, seed: u64) -> Vec<f32> {
        let Preprocessing { channels, mean, deviation } = &self.preprocessing;
        let order = if channels == "bgr" { [2, 1, 0] } else { [0, 1, 2] };
        let pixels = self.pixels(seed);
        let values = |pixel: &[u8]| [0, 1, 2].map(|c| (f32::from(pixel[order[c]]) - mean[c]) / deviation[c]);
        pixels.chunks_exact(3).flat_map(values).collect()
    }
}
