//! Rockchip's rknn-toolkit2, in a virtual environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

/// The toolkit's version.
pub const VERSION: &str = "2.3.2";
/// What is installed. The toolkit reads `onnx.mapping`, which later versions of onnx lack, and
/// `pkg_resources`, which later versions of setuptools lack.
const PACKAGES: [&str; 3] = ["rknn-toolkit2==2.3.2", "onnx==1.16.1", "setuptools==75.8.0"];
/// The chips that it builds for and whose runtime library has the interface that `runtime` speaks.
pub const CHIPS: [&str; 5] = ["rk3562", "rk3566", "rk3568", "rk3576", "rk3588"];
/// Lies in the environment when everything is installed.
const COMPLETE: &str = "foldnet-complete";

/// Why the toolkit did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ToolkitError {
    /// A file or program cannot be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or program.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It cannot be installed.
    #[error("rknn-toolkit2 {VERSION} cannot be installed into {folder} (it needs Python 3.8 to 3.12 on x86-64 or AArch64 Linux, see --python): {said}", folder = folder.display())]
    Install {
        /// The environment.
        folder: PathBuf,
        /// The last lines of what failed.
        said: String,
    },
    /// It refuses the model, or fails.
    #[error("rknn-toolkit2 failed: {0}")]
    Failed(String),
    /// Its results do not have the size they must have.
    #[error("rknn-toolkit2's results do not fit the network: {0}")]
    Results(String),
}

fn io<T>(what: impl std::fmt::Display, result: std::io::Result<T>) -> Result<T, ToolkitError> {
    result.map_err(|source| ToolkitError::Io { what: what.to_string(), source })
}

/// What the toolkit is to do.
pub struct Job<'a> {
    /// The chip, one of [`CHIPS`].
    pub target: &'a str,
    /// The model.
    pub model: &'a [u8],
    /// The same with every tensor as an output, behind the logits.
    pub probe: &'a [u8],
    /// Subtracted from the pixels, per channel.
    pub mean: &'a [f32],
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// u8, HWC.
    pub pictures: &'a [Vec<u8>],
    /// On how many of them, from the first, the probe runs.
    pub probed: usize,
    /// Pictures at once, for a second model; 1 for none.
    pub batch: u32,
}

/// What it has done.
pub struct Built {
    /// The `.rknn` file.
    pub model: Vec<u8>,
    /// The simulator's logits, picture after picture.
    pub logits: Vec<f32>,
    /// The `.rknn` file for a batch, and the simulator's logits for one: the first pictures, over and over
    /// where there are fewer.
    pub batched: Option<(Vec<u8>, Vec<f32>)>,
    /// The simulator's tensors (NCHW, real values), in the probe's order, picture after picture.
    pub tensors: Vec<f32>,
}

/// An installed toolkit.
pub struct Toolkit {
    python: PathBuf,
}

impl Toolkit {
    /// The environment in `folder`, made with `python` when it is not there; `say` is told before anything
    /// is downloaded.
    pub fn open(folder: &Path, python: &str, say: impl Fn(String)) -> Result<Self, ToolkitError> {
        // It is run from another folder.
        let folder = &io(folder.display(), std::path::absolute(folder))?;
        let own = folder.join("bin/python");
        if !folder.join(COMPLETE).exists() {
            say(format!(
                "making a Python environment with rknn-toolkit2 {VERSION} in {} (once; it downloads about 3 GB)",
                folder.display()
            ));
            if let Some(parent) = folder.parent() {
                io(parent.display(), fs::create_dir_all(parent))?;
            }
            let failed = |said| ToolkitError::Install { folder: folder.into(), said };
            run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))?.map_err(failed)?;
            run(Command::new(&own).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?
                .map_err(failed)?;
            let complete = folder.join(COMPLETE);
            io(complete.display(), fs::write(&complete, PACKAGES.join("\n")))?;
        }
        Ok(Self { python: own })
    }

    /// Builds and simulates.
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
        // The toolkit leaves files of its own where it runs.
        let folder = io("a temporary folder", tempfile::tempdir())?;
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| io(at(name).display(), fs::write(at(name), bytes));
        write(file.model, job.model)?;
        write(file.probe, job.probe)?;
        write(file.pictures, &job.pictures.concat())?;
        write("job.json", &serde_json::to_vec(&file).expect("plain data"))?;
        write("toolkit.py", include_bytes!("toolkit.py"))?;
        let mut command = Command::new(&self.python);
        command.args(["toolkit.py", "job.json"]).current_dir(folder.path());
        run(&mut command)?.map_err(ToolkitError::Failed)?;
        let read = |name: &str| io(at(name).display(), fs::read(at(name)));
        let batched = match job.batch {
            1 => None,
            _ => Some((read(file.rknn_batch)?, floats(&read(file.logits_batch)?))),
        };
        Ok(Built {
            model: read(file.rknn)?,
            logits: floats(&read(file.logits)?),
            batched,
            tensors: floats(&read(file.tensors)?),
        })
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

/// Runs a program to its end; when it does not succeed, the last lines that it printed.
fn run(command: &mut Command) -> Result<Result<(), String>, ToolkitError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = io(&name, command.stdin(Stdio::null()).output())?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let all = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&all);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    let said = lines[lines.len().saturating_sub(6)..].join("\n");
    Ok(Err(format!("{name} ended with {}\n{said}", output.status)))
}
