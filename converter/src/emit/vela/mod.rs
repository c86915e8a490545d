//! Arm's Vela, which compiles a TFLite file for an Ethos-U NPU and estimates its speed, and LiteRT, which computes
//! the file's answers. Vela has no simulator. Ethos-U computes like TFLite's own kernels, so LiteRT with these
//! kernels replaces it.

use serde::{Deserialize, Serialize};

use super::tool::{Installed, Tool, ToolError};

use crate::image::Pixels;

/// Vela's version.
pub const VERSION: &str = "5.2.0";
/// Both programs.
pub static VELA: Tool = Tool {
    name: "ethos-u-vela 5.2.0",
    packages: &["ethos-u-vela==5.2.0", "ai-edge-litert==2.3.0", "numpy==2.4.6"],
    needs: "Python 3.11 to 3.13 on x86-64 or AArch64 Linux",
    size: "about 60 MB",
};
/// The NPUs, as Vela names them: family and multiply-accumulates per cycle.
pub const ACCELERATORS: [&str; 11] = [
    "ethos-u55-32",
    "ethos-u55-64",
    "ethos-u55-128",
    "ethos-u55-256",
    "ethos-u65-256",
    "ethos-u65-512",
    "ethos-u85-128",
    "ethos-u85-256",
    "ethos-u85-512",
    "ethos-u85-1024",
    "ethos-u85-2048",
];

/// A job of compiling and running.
pub struct Job<'a> {
    /// One of [`ACCELERATORS`].
    pub target: &'a str,
    /// The TFLite file.
    pub model: &'a [u8],
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The images: u8, HWC.
    pub images: &'a [Pixels],
    /// The tensors to compare, by their names in the file.
    pub names: &'a [&'a str],
    /// The number of images, from the first, on which they are compared.
    pub probed: usize,
}

/// The result of a job.
pub struct Compiled {
    /// The TFLite file in which the NPU's part is one operator.
    pub model: Vec<u8>,
    /// Vela's estimate.
    pub estimate: Estimate,
    /// LiteRT's outputs, int8, image after image.
    pub outputs: Vec<i8>,
    /// LiteRT's tensors, int8 NHWC, in the order of the names, image after image.
    pub tensors: Vec<i8>,
}

/// Vela's estimate for a system that it knows by name; sizes in bytes. A board's real memories determine its
/// actual speed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// The system: clock, memories and their speeds.
    pub system_config: String,
    /// The distribution of data over its memories.
    pub memory_mode: String,
    /// The clock of the NPU.
    pub clock_hz: f64,
    /// The cycles of an inference.
    pub cycles: f64,
    /// The inferences per second at that clock.
    pub inferences_per_second: f64,
    /// The multiply-accumulates of an inference.
    pub macs: f64,
    /// Activations, and weights if they are copied.
    pub sram_bytes: f64,
    /// Bytes of DRAM, if the system has it instead of flash.
    pub dram_bytes: f64,
    /// Weights and commands.
    pub flash_bytes: f64,
    /// The number of the TFLite file's operators.
    pub operators: usize,
    /// The operators that stay on the CPU.
    pub on_cpu: Vec<String>,
}

impl Estimate {
    /// Returns the share of the operators that run on the NPU.
    pub fn on_npu(&self) -> f64 {
        1.0 - self.on_cpu.len() as f64 / self.operators.max(1) as f64
    }
}

/// Compiles the model and runs it.
pub fn run(vela: &Installed, job: &Job<'_>) -> Result<Compiled, ToolError> {
    #[derive(Serialize)]
    struct File<'a> {
        target: &'a str,
        shape: [usize; 3],
        names: &'a [&'a str],
        probed: usize,
        model: &'static str,
        pictures: &'static str,
        compiled: &'static str,
        estimate: &'static str,
        outputs: &'static str,
        tensors: &'static str,
    }
    let file = File {
        target: job.target,
        shape: job.shape,
        names: job.names,
        probed: job.probed,
        model: "model.tflite",
        pictures: "pictures.i8",
        compiled: "compiled.tflite",
        estimate: "estimate.json",
        outputs: "outputs.i8",
        tensors: "tensors.i8",
    };
    // `p − 128` is `p` with its highest bit flipped.
    let pictures: Vec<u8> = job.images.iter().flat_map(Pixels::values).map(|p| p ^ 0x80).collect();
    let files = [(file.model, job.model), (file.pictures, &pictures)];
    let results = vela.run(include_str!("vela.py"), &file, &files)?;
    let int8 = |name| Ok::<_, ToolError>(results.read(name)?.into_iter().map(|v| v as i8).collect());
    let estimate = serde_json::from_slice(&results.read(file.estimate)?)
        .map_err(|e| ToolError::Results(format!("the estimate: {e}")))?;
    Ok(Compiled {
        model: results.read(file.compiled)?,
        estimate,
        outputs: int8(file.outputs)?,
        tensors: int8(file.tensors)?,
    })
}
