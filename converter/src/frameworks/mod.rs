//! Models of Keras, TensorFlow and PyTorch: their own framework exports them to ONNX.
//!
//! Such files hold Python objects or name Python classes, so none of them is opened in this process. The framework
//! runs in the user's Python where that has it, otherwise in an environment that is made once in the user's cache.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::emit::tool::{Installed, Tool, ToolError};
use crate::import::Size;

/// Keras 3 on TensorFlow.
static KERAS: Tool = Tool {
    name: "Keras 3.15.1 and TensorFlow 2.21.0",
    packages: &[
        "keras==3.15.1",
        "tensorflow-cpu==2.21.0",
        "tf2onnx==1.17.0",
        "onnx==1.23.2",
        "numpy==2.4.6",
        "protobuf==7.36.2",
    ],
    needs: "Python 3.11 to 3.13 on x86-64 Linux",
    size: "about 300 MB",
};
/// PyTorch.
static TORCH: Tool = Tool {
    name: "PyTorch 2.15.0",
    packages: &["torch==2.15.0", "onnx==1.23.2", "onnxscript==0.7.2", "numpy==2.4.6"],
    needs: "Python 3.11 to 3.13 on x86-64 or AArch64 Linux",
    size: "about 1 GB",
};

/// What a model is saved as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `.keras` or `.h5`.
    Keras,
    /// A folder.
    SavedModel,
    /// `.pt2`.
    ExportedProgram,
    /// `.pt` with its code.
    TorchScript,
}

impl Format {
    fn tool(self) -> &'static Tool {
        match self {
            Self::Keras | Self::SavedModel => &KERAS,
            Self::ExportedProgram | Self::TorchScript => &TORCH,
        }
    }

    /// What the script imports, the folder of the environment in the cache, and the script.
    fn means(self) -> (&'static [&'static str], &'static str, &'static str) {
        match self {
            Self::Keras => (&["keras", "tensorflow", "tf2onnx"], "keras-3.15.1", include_str!("keras.py")),
            Self::SavedModel => (&["tensorflow", "tf2onnx"], "keras-3.15.1", include_str!("keras.py")),
            Self::ExportedProgram => (&["torch", "onnxscript"], "torch-2.15.0", include_str!("torch.py")),
            Self::TorchScript => (&["torch", "onnx"], "torch-2.15.0", include_str!("torch.py")),
        }
    }
}

/// What is to be exported.
pub struct Job<'a> {
    /// The file or folder.
    pub model: &'a Path,
    /// What it is.
    pub format: Format,
    /// A file with Python classes that the model consists of.
    pub custom: Option<&'a Path>,
    /// Where the model leaves it open.
    pub size: Option<Size>,
}

/// Exports; `python` is the user's, `cache` where an environment is made. `say` is told which one exports.
pub fn export(
    job: &Job<'_>,
    python: &str,
    cache: Option<PathBuf>,
    say: impl Fn(String),
) -> Result<Vec<u8>, ToolError> {
    #[derive(Serialize)]
    struct File<'a> {
        model: String,
        format: Format,
        custom: Option<String>,
        /// Height and width.
        size: Option<[usize; 2]>,
        onnx: &'a str,
    }
    let absolute = |path: &Path| -> Result<String, ToolError> {
        let at = |source| ToolError::Io { what: path.display().to_string(), source };
        let absolute = std::path::absolute(path).map_err(at)?;
        let nameless = || at(ErrorKind::InvalidFilename.into());
        absolute.to_str().map(String::from).ok_or_else(nameless)
    };
    let file = File {
        model: absolute(job.model)?,
        format: job.format,
        custom: job.custom.map(absolute).transpose()?,
        size: job.size.map(|size| [size.height, size.width]),
        onnx: "model.onnx",
    };
    let (modules, folder, script) = job.format.means();
    let results =
        installed(job.format.tool(), modules, folder, python, cache, say)?.run(script, &file, &[])?;
    results.read(file.onnx)
}

fn installed(
    tool: &'static Tool,
    modules: &[&str],
    folder: &str,
    python: &str,
    cache: Option<PathBuf>,
    say: impl Fn(String),
) -> Result<Installed, ToolError> {
    if let Some(own) = tool.in_python(python, modules) {
        say(format!("exporting to ONNX with {} of {python}", modules[0]));
        return Ok(own);
    }
    let missing = |why: String| ToolError::Missing { tool, python: python.into(), why };
    let folder = match cache {
        Some(cache) => cache.join(folder),
        None => {
            let (first, name) = (modules[0], tool.name);
            return Err(missing(format!(
                "{python} has no {first}, and without HOME there is no place for {name}"
            )));
        }
    };
    let made = tool.open(&folder, python, &say).map_err(|error| missing(error.to_string()))?;
    say(format!("exporting to ONNX with {}, in {}", tool.name, folder.display()));
    Ok(made)
}
