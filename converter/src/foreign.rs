//! Recognizes, by their content, files of other kinds that are given in place of a model.

use std::path::Path;

use crate::frameworks::Format;

/// The kind of a file, and advice on what to do with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ONNX or TFLite model but {what}; {advice}")]
pub struct Foreign {
    what: &'static str,
    advice: String,
}

/// A mark by which names inside a zip file, or the first bytes of a file, identify its kind.
enum Mark {
    /// The file starts with these bytes.
    Start(&'static [u8]),
    /// The file has these bytes at this position.
    At(usize, &'static [u8]),
    /// The file is a zip file that contains a file of this name.
    Zip(&'static [u8]),
    /// The file starts with the first bytes, and contains the second ones.
    Contains(&'static [u8], &'static [u8]),
    /// The file is one of PyTorch's that names classes of layers, not only tensors. Nothing of it is loaded.
    TorchModule,
}

impl Mark {
    fn fits(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Start(start) => bytes.starts_with(start),
            Self::At(at, word) => bytes.get(*at..at + word.len()) == Some(*word),
            Self::Zip(inside) => bytes.starts_with(ZIP) && holds(bytes, inside),
            Self::Contains(start, word) => bytes.starts_with(start) && contains(bytes, word),
            Self::TorchModule => {
                let pickle = bytes.starts_with(OLD_TORCH) || Self::Zip(b"data.pkl").fits(bytes);
                // The pickle, which is not compressed, is in front of the tensors.
                pickle && contains(&bytes[..bytes.len().min(PICKLE)], b"torch.nn.modules.")
            }
        }
    }
}

const ZIP: &[u8] = b"PK\x03\x04";
const HDF: &[u8] = b"\x89HDF\r\n\x1a\n";
const OLD_TORCH: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
/// The part of a PyTorch file in which its pickle is looked for.
const PICKLE: usize = 1 << 22;

/// The kinds in the order in which they are tried. `FILE` in the advice is replaced by the file's name.
const KINDS: [(Mark, &str, &str); 21] = [
    (Mark::TorchModule, "a whole PyTorch module, saved with torch.save", MODULE),
    (Mark::Start(HDF), "weights without their network (HDF5)", HDF_WEIGHTS),
    (Mark::Zip(b"data.pkl"), "a PyTorch file (.pt, .pth)", TORCH),
    (Mark::Start(OLD_TORCH), "a PyTorch file of the old kind", TORCH),
    (
        Mark::At(4, b"ORTM"),
        "a model in ONNX Runtime's own format (.ort)",
        "give the .onnx file that it was made from",
    ),
    (
        Mark::Start(b"GGUF"),
        "a GGUF file, a language model's weights",
        "Foldnet converts image networks in ONNX or TFLite",
    ),
    (Mark::Start(b"RKNN"), "a model built for Rockchip's NPU", "give the ONNX model that it was made from"),
    (
        Mark::Start(b"version https://git-lfs.github.com/spec/"),
        "a Git LFS pointer, which stands for the model",
        "run: git lfs pull",
    ),
    (Mark::Zip(b"[Content_Types].xml"), "an office document", GIVE),
    (Mark::Start(ZIP), "a zip file", "unpack it and give the model inside"),
    (
        Mark::Start(b"\x1f\x8b"),
        "a gzip file",
        "if `converter quantize` wrote it, it is int8 already: look at it with `converter inspect FILE`, run it with `runtime classify FILE IMAGE`; else unpack it",
    ),
    (Mark::At(257, b"ustar"), "a tar file", "unpack it and give the model inside"),
    (Mark::Start(b"%PDF-"), "a PDF document", GIVE),
    (Mark::Start(b"<!doctype html"), "a web page", WEB),
    (Mark::Start(b"<html"), "a web page", WEB),
    (
        Mark::Start(b"<?xml"),
        "an XML file, as OpenVINO writes its models",
        "give the ONNX model that it was made from",
    ),
    (
        Mark::Start(b"\x93NUMPY"),
        "a NumPy array",
        "--images takes those; the model is an .onnx or .tflite file",
    ),
    (
        Mark::Start(b"\xff\xd8\xff"),
        "an image (JPEG)",
        "--images takes images; the model is an .onnx or .tflite file",
    ),
    (
        Mark::Start(b"\x89PNG"),
        "an image (PNG)",
        "--images takes images; the model is an .onnx or .tflite file",
    ),
    (Mark::Start(b"\x7fELF"), "a program", GIVE),
    (Mark::Start(b"{"), "a JSON file", "give the ONNX or TFLite model"),
];

/// The formats that a framework can export, in the order in which they are tried.
const EXPORTED: [(Mark, Format); 5] = [
    (Mark::Zip(b"model.weights.h5"), Format::Keras),
    // Keras' attribute that describes the layers; files of weights do not have it.
    (Mark::Contains(HDF, b"model_config"), Format::Keras),
    (Mark::Zip(b"models/model.json"), Format::ExportedProgram),
    (Mark::Zip(b"serialized_exported_program.json"), Format::ExportedProgram),
    (Mark::Zip(b"constants.pkl"), Format::TorchScript),
];

const TORCH: &str = "it holds weights, the network itself is Python: load them into your network there and export it with torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), \"model.onnx\"); if they are a torchvision or timm network's, name it: torchvision:resnet50 --weights FILE";
const MODULE: &str = "reading it would run code from the file. Where its class is defined, these lines export it: model = torch.load(\"FILE\", weights_only=False).eval(); program = torch.export.export(model, (torch.zeros(1, 3, 224, 224),)); torch.export.save(program, \"model.pt2\")";
const HDF_WEIGHTS: &str = "load them into the network in Keras and save all of it: model.load_weights(\"FILE\"); model.save(\"model.keras\"); if they are of a network of Keras Applications, name it: keras:ResNet50V2 --weights FILE";
const GIVE: &str = "give the .onnx or .tflite file";
const WEB: &str =
    "the download gave a page instead of the file: on GitHub and Hugging Face take the raw file's address";

/// Returns the kind of a file that is known and not a model. `bytes` are its content.
pub fn recognize(bytes: &[u8], path: &Path) -> Option<Foreign> {
    let name = path.display().to_string();
    let text_start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    // A byte order mark may precede the text.
    let text = bytes[text_start..].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes[text_start..]);
    let fits = |mark: &Mark| match mark {
        Mark::Start(start @ ([b'<', ..] | b"{")) => bytes.starts_with(start) || begins(text, start),
        mark => mark.fits(bytes),
    };
    let tell = |what, advice: &str| Foreign { what, advice: advice.replace("FILE", &name) };
    if is_safetensors(bytes) {
        return Some(tell("a safetensors file", TORCH));
    }
    KINDS.iter().find(|(mark, ..)| fits(mark)).map(|(_, what, advice)| tell(what, advice))
}

/// Returns the framework's format of a file, if it can be exported.
pub fn exported(bytes: &[u8]) -> Option<Format> {
    EXPORTED.iter().find(|(mark, _)| mark.fits(bytes)).map(|(_, format)| *format)
}

/// Returns the framework's format of a folder.
pub fn exported_folder(path: &Path) -> Option<Format> {
    path.join("saved_model.pb").is_file().then_some(Format::SavedModel)
}

/// Compares without regard to case.
fn begins(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|t| t.eq_ignore_ascii_case(start))
}

/// Returns whether the word occurs in a zip file's directory, which is at its end, or in its first entry's name.
fn holds(zip: &[u8], word: &[u8]) -> bool {
    const DIRECTORY: usize = 1 << 20;
    let end = &zip[zip.len().saturating_sub(DIRECTORY)..];
    let start = &zip[..zip.len().min(512)];
    [start, end].iter().any(|part| contains(part, word))
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|w| w == word)
}

/// Returns whether the file is eight bytes of length, followed by a JSON object of that length.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let length = u64::from_le_bytes(*length);
    rest.starts_with(b"{\"") && (2..=rest.len() as u64).contains(&length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Option<String> {
        recognize(bytes, Path::new("dir/net.onnx")).map(|f| f.to_string())
    }

    #[test]
    fn each_kind_is_named_with_advice() {
        let zip = |name: &[u8]| [b"PK\x03\x04................", name, b"...PK\x01\x02..", name].concat();
        let safetensors = [&20u64.to_le_bytes()[..], b"{\"weight\":{\"x\":[1]}}", &[0; 64]].concat();
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: &[(&[u8], &str, &str)] = &[
            (&zip(b"net/data.pkl"), "PyTorch", "torch.onnx.export"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", "PyTorch", "torch.onnx.export"),
            (
                &zip(b"net/data.pkl\x80\x02ctorch.nn.modules.conv\nConv2d"),
                "whole PyTorch module",
                "torch.export.save",
            ),
            (
                b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02ctorch.nn.modules.conv",
                "whole PyTorch module",
                "torch.load(\"dir/net.onnx\"",
            ),
            (b"\x89HDF\r\n\x1a\n..layers..vars", "weights without", "--weights dir/net.onnx"),
            (&safetensors, "safetensors", "torch.onnx.export"),
            (b"GGUF\x03\0\0\0", "GGUF", "image networks"),
            (&zip(b"[Content_Types].xml"), "office", ".onnx"),
            (&zip(b"model.onnx"), "a zip file", "unpack"),
            (b"\x1f\x8b\x08\0", "gzip", "converter inspect dir/net.onnx"),
            (&tar, "tar", "unpack"),
            (b"%PDF-1.7", "PDF", ".onnx"),
            (b"\n  <!DOCTYPE html><html>", "web page", "raw file"),
            (b"\xef\xbb\xbf<HTML>", "web page", "raw file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS", "git lfs pull"),
            (b"\xff\xd8\xff\xe0", "JPEG", "--images"),
            (b"  {\"format\": \"layers-model\"}", "JSON", "ONNX"),
        ];
        for (bytes, what, advice) in cases {
            let words = told(bytes).unwrap_or_else(|| panic!("{what} is not recognized"));
            assert!(words.starts_with("not an ONNX or TFLite model but") && words.contains(what), "{words}");
            assert!(words.contains(advice), "{words}");
        }
    }

    #[test]
    fn what_a_framework_can_export_is_told_apart() {
        let zip = |names: &[&[u8]]| [b"PK\x03\x04....", &names.concat()[..], b"...PK\x01\x02.."].concat();
        let cases: &[(&[u8], Option<Format>)] = &[
            (&zip(&[b"config.json", b"model.weights.h5"]), Some(Format::Keras)),
            (b"\x89HDF\r\n\x1a\n..model_config..", Some(Format::Keras)),
            (b"\x89HDF\r\n\x1a\n..layers..vars..", None),
            (&zip(&[b"net/models/model.json", b"net/data.pkl"]), Some(Format::ExportedProgram)),
            (
                &zip(&[b"net/data.pkl", b"net/code/__torch__.py", b"net/constants.pkl"]),
                Some(Format::TorchScript),
            ),
            // Weights alone are not a network.
            (&zip(&[b"net/data.pkl", b"net/data/0"]), None),
            (b"\x1c\0\0\0TFL3....", None),
        ];
        for (bytes, format) in cases {
            assert_eq!(exported(bytes), *format);
        }
    }

    #[test]
    fn models_and_unknown_bytes_are_nothing_foreign() {
        let built_in = include_bytes!("../assets/resnet20-v1-cifar10.onnx");
        assert_eq!(told(built_in), None);
        assert_eq!(told(b"\x1c\0\0\0TFL3...."), None);
        assert_eq!(told(b""), None);
        assert_eq!(told(b"these are notes, not a network"), None);
        assert_eq!(told(&[8, 9, 18, 0]), None);
    }
}
