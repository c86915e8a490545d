//! Rockchip's rknn-toolkit2.

use std::path::Path;

use serde::Serialize;

use crate::emit::tool::{Installed, Tool};
use crate::image::Pixels;

pub use crate::emit::tool::ToolError as ToolkitError;

/// The toolkit's version.
pub const VERSION: &str = "2.3.2";
/// The toolkit needs `onnx.mapping`, which later versions of onnx lack, and `pkg_resources`, which later versions
/// of setuptools lack.
static TOOL: Tool = Tool {
    name: "rknn-toolkit2 2.3.2",
    packages: &["rknn-toolkit2==2.3.2", "onnx==1.16.1", "setuptools==75.8.0"],
    needs: "Python 3.8 to 3.12 on x86-64 or AArch64 Linux",
    size: "about 3 GB",
};
/// The supported chips, whose runtime library has the interface that `runtime` uses.
pub const CHIPS: [&str; 5] = ["rk3562", "rk3566", "rk3568", "rk3576", "rk3588"];

/// A job for the toolkit.
pub struct Job<'a> {
    /// The chip, one of [`CHIPS`].
    pub target: &'a str,
    /// The model.
    pub model: &'a [u8],
    /// The same model with every tensor as an output, after the logits.
    pub probe: &'a [u8],
    /// The values subtracted from the pixels, per channel.
    pub mean: &'a [f32],
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The images: u8, HWC.
    pub images: &'a [Pixels],
    /// The number of images, from the first, on which the probe runs.
    pub probed: usize,
    /// The batch size of a second model; 1 for none.
    pub batch: u32,
}

/// The result of a job.
pub struct Built {
    /// The `.rknn` file.
    pub model: Vec<u8>,
    /// The simulator's logits, image after image.
    pub logits: Vec<f32>,
    /// The `.rknn` file for a batch, and the simulator's logits for one batch: the first images, repeated if there
    /// are fewer.
    pub batched: Option<(Vec<u8>, Vec<f32>)>,
    /// The simulator's tensors (NCHW, real values), in the probe's order, image after image.
    pub tensors: Vec<f32>,
}

/// An installed toolkit.
pub struct Toolkit(Installed);

impl Toolkit {
    /// See [`Tool::open`].
    pub fn open(folder: &Path, python: &str, say: impl Fn(String)) -> Result<Self, ToolkitError> {
        TOOL.open(folder, python, say).map(Self)
    }

    /// Builds the models and runs the simulator.
    pub fn run(&self, job: &Job<'_>) -> Result<Built, ToolkitError> {
        #[derive(Serialize)]
        struct File<'a> {
            target: &'a str,
            mean: &'a [f32],
            shape: [usize; 3],
            probed: usize,
            batch: u32,
            model: &'static str,
            probe: &'static str,
            pictures: &'static str,
            rknn: &'static str,
            logits: &'static str,
            rknn_batch: &'static str,
            logits_batch: &'static str,
            tensors: &'static str,
        }
        let file = File {
            target: job.target,
            mean: job.mean,
            shape: job.shape,
            probed: job.probed,
            batch: job.batch,
            model: "model.onnx",
            probe: "probe.onnx",
            pictures: "pictures.u8",
            rknn: "model.rknn",
            logits: "logits.f32",
            rknn_batch: "model_batch.rknn",
            logits_batch: "logits_batch.f32",
            tensors: "tensors.f32",
        };
        let pictures: Vec<u8> = job.images.iter().flat_map(Pixels::values).copied().collect();
        let files = [(file.model, job.model), (file.probe, job.probe), (file.pictures, &pictures)];
        let results = self.0.run(include_str!("toolkit.py"), &file, &files)?;
        let batched = match job.batch {
            1 => None,
            _ => Some((results.read(file.rknn_batch)?, floats(&results.read(file.logits_batch)?))),
        };
        Ok(Built {
            model: results.read(file.rknn)?,
            logits: floats(&results.read(file.logits)?),
            batched,
            tensors: floats(&results.read(file.tensors)?),
        })
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}
