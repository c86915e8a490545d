//! Models of Keras, TensorFlow and PyTorch, exported to ONNX by their own framework.
//!
//! Such files contain Python objects or name Python classes, so none of them is opened in this process. The
//! framework runs in the user's Python if it is installed there, otherwise in an environment that is created once
//! in the user's cache. A published network needs no file: `keras:ResNet50V2` names one of Keras Applications;
//! torchvision's and timm's are named likewise.

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

/// PyTorch with the networks of torchvision and timm.
static ZOO: Tool = Tool {
    name: "PyTorch 2.15.0, torchvision 0.29.2 and timm 1.0.31",
    packages: &[
        "torch==2.15.0",
        "torchvision==0.29.2",
        "timm==1.0.31",
        "onnx==1.23.2",
        "onnxscript==0.7.2",
        "numpy==2.4.6",
    ],
    ..TORCH
};

/// The format of a saved model, or the publisher of a named network.
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
    /// A network of `keras.applications`.
    KerasApplication,
    /// A network of `torchvision.models`.
    Torchvision,
    /// A network of timm.
    Timm,
}

impl Format {
    /// Parses `keras:NAME`, `torchvision:NAME` or `timm:NAME` into the publisher and the network's name.
    pub fn named(text: &str) -> Option<(Self, &str)> {
        let (framework, name) = text.split_once(':')?;
        let format = match framework {
            "keras" => Self::KerasApplication,
            "torchvision" => Self::Torchvision,
            "timm" => Self::Timm,
            _ => return None,
        };
        (!name.is_empty()).then_some((format, name))
    }

    fn tool(self) -> &'static Tool {
        match self {
            Self::Keras | Self::SavedModel | Self::KerasApplication => &KERAS,
            Self::ExportedProgram | Self::TorchScript => &TORCH,
            Self::Torchvision | Self::Timm => &ZOO,
        }
    }

    /// Returns the modules that the script imports, the folder of the environment in the cache, and the script.
    fn means(self) -> (&'static [&'static str], &'static str, &'static str) {
        const ZOO: &str = "torch-2.15.0-zoo";
        match self {
            Self::Keras | Self::KerasApplication => {
                (&["keras", "tensorflow", "tf2onnx"], "keras-3.15.1", include_str!("keras.py"))
            }
            Self::SavedModel => (&["tensorflow", "tf2onnx"], "keras-3.15.1", include_str!("keras.py")),
            Self::ExportedProgram => (&["torch", "onnxscript"], "torch-2.15.0", include_str!("torch.py")),
            Self::TorchScript => (&["torch", "onnx"], "torch-2.15.0", include_str!("torch.py")),
            Self::Torchvision => (&["torch", "onnxscript", "torchvision"], ZOO, include_str!("zoo.py")),
            Self::Timm => (&["torch", "onnxscript", "timm"], ZOO, include_str!("zoo.py")),
        }
    }
}

/// The model to export.
pub struct Job<'a> {
    /// The file or folder, or the name of a published network.
    pub model: &'a Path,
    /// The model's format.
    pub format: Format,
    /// The weights of a published network; the default is the published ones.
    pub weights: Option<&'a Path>,
    /// A file with Python classes that the model uses.
    pub custom: Option<&'a Path>,
    /// The input size, if the model leaves it open.
    pub size: Option<Size>,
}

/// Exports a model; `python` is the user's, and an environment is created in `cache`. `say` receives the name of
/// the Python that exports.
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
        weights: Option<String>,
        custom: Option<String>,
        /// The height and width.
        size: Option<[usize; 2]>,
        onnx: &'a str,
    }
    let absolute = |path: &Path| -> Result<String, ToolError> {
        let at = |source| ToolError::Io { what: path.display().to_string(), source };
        let absolute = std::path::absolute(path).map_err(at)?;
        let nameless = || at(ErrorKind::InvalidFilename.into());
        absolute.to_str().map(String::from).ok_or_else(nameless)
    };
    let named = matches!(job.format, Format::KerasApplication | Format::Torchvision | Format::Timm);
    let file = File {
        model: if named { job.model.display().to_string() } else { absolute(job.model)? },
        format: job.format,
        weights: job.weights.map(absolute).transpose()?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_networks_are_named_with_their_framework() {
        assert_eq!(Format::named("keras:ResNet50V2"), Some((Format::KerasApplication, "ResNet50V2")));
        assert_eq!(Format::named("torchvision:resnet18"), Some((Format::Torchvision, "resnet18")));
        assert_eq!(Format::named("timm:resnet50.a1_in1k"), Some((Format::Timm, "resnet50.a1_in1k")));
        for other in ["resnet50", "keras:", "c:model.onnx", "KERAS:ResNet50", ":x", ""] {
            assert_eq!(Format::named(other), None, "{other}");
        }
    }
}
