//! Files of other kinds that are given in place of an ONNX model, recognized by their content.

use std::path::Path;

/// What a file is, and what to do with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ONNX model but {what}; {advice}")]
pub struct Foreign {
    what: &'static str,
    advice: String,
}

/// How the names inside a zip file or the first bytes of a file tell its kind.
enum Mark {
    /// The file begins so.
    Start(&'static [u8]),
    /// From this byte on.
    At(usize, &'static [u8]),
    /// A zip file that holds a file of this name.
    Zip(&'static [u8]),
}

/// In the order in which they are tried. `FILE` in the advice stands for the file's name.
const KINDS: [(Mark, &str, &str); 23] = [
    (Mark::Zip(b"model.weights.h5"), "a Keras model (.keras)", KERAS),
    (Mark::Start(b"\x89HDF\r\n\x1a\n"), "an HDF5 file, as Keras writes .h5", KERAS),
    (Mark::Zip(b"data.pkl"), "a PyTorch file (.pt, .pth)", TORCH),
    (Mark::Zip(b"models/model.json"), "a program exported by PyTorch (.pt2)", TORCH),
    (Mark::Start(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."), "a PyTorch file of the old kind", TORCH),
    (
        Mark::At(4, b"TFL3"),
        "a TensorFlow Lite model",
        "export the float model that it was made from, or run: python -m tf2onnx.convert --tflite FILE --output model.onnx --opset 17",
    ),
    (
        Mark::At(4, b"ORTM"),
        "a model in ONNX Runtime's own format (.ort)",
        "give the .onnx file that it was made from",
    ),
    (
        Mark::Start(b"GGUF"),
        "a GGUF file, a language model's weights",
        "Foldnet converts image networks in ONNX",
    ),
    (Mark::Start(b"RKNN"), "a model built for Rockchip's NPU", "give the ONNX model that it was made from"),
    (
        Mark::Start(b"version https://git-lfs.github.com/spec/"),
        "a Git LFS pointer, which stands for the model",
        "run: git lfs pull",
    ),
    (Mark::Zip(b"[Content_Types].xml"), "an office document", GIVE),
    (Mark::Start(b"PK\x03\x04"), "a zip file", "unpack it and give the .onnx file inside"),
    (
        Mark::Start(b"\x1f\x8b"),
        "a gzip file",
        "if `converter quantize` wrote it, it is int8 already: look at it with `converter inspect FILE`, run it with `runtime classify FILE IMAGE`; else unpack it",
    ),
    (Mark::At(257, b"ustar"), "a tar file", "unpack it and give the .onnx file inside"),
    (Mark::Start(b"%PDF-"), "a PDF document", GIVE),
    (Mark::Start(b"<!doctype html"), "a web page", WEB),
    (Mark::Start(b"<html"), "a web page", WEB),
    (
        Mark::Start(b"<?xml"),
        "an XML file, as OpenVINO writes its models",
        "give the ONNX model that it was made from",
    ),
    (Mark::Start(b"\x93NUMPY"), "a NumPy array", "--images takes those; the model is an .onnx file"),
    (Mark::Start(b"\xff\xd8\xff"), "an image (JPEG)", "--images takes images; the model is an .onnx file"),
    (Mark::Start(b"\x89PNG"), "an image (PNG)", "--images takes images; the model is an .onnx file"),
    (Mark::Start(b"\x7fELF"), "a program", GIVE),
    (Mark::Start(b"{"), "a JSON file", "give the ONNX model"),
];

const KERAS: &str = "export it: python -c \"import keras; keras.models.load_model('FILE').export('model.onnx', format='onnx')\"";
const TORCH: &str = "it holds weights, the network itself is Python: load them into your network there and export it with torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), \"model.onnx\")";
const GIVE: &str = "give the .onnx file";
const WEB: &str =
    "the download gave a page instead of the file: on GitHub and Hugging Face take the raw file's address";

/// What the file is, if it is known and no ONNX model. `bytes` are its content.
pub fn recognize(bytes: &[u8], path: &Path) -> Option<Foreign> {
    let name = path.display().to_string();
    let text_start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    // A byte order mark may stand before text.
    let text = bytes[text_start..].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes[text_start..]);
    let fits = |mark: &Mark| match mark {
        Mark::Start(start) => {
            bytes.starts_with(start)
                || (start[0] == b'<' && begins(text, start))
                || (*start == b"{" && begins(text, start))
        }
        Mark::At(at, word) => bytes.get(*at..at + word.len()) == Some(*word),
        Mark::Zip(inside) => bytes.starts_with(b"PK\x03\x04") && holds(bytes, inside),
    };
    let tell = |what, advice: &str| Foreign { what, advice: advice.replace("FILE", &name) };
    if is_safetensors(bytes) {
        return Some(tell("a safetensors file", TORCH));
    }
    KINDS.iter().find(|(mark, ..)| fits(mark)).map(|(_, what, advice)| tell(what, advice))
}

/// What a folder is that is given as a model.
pub fn recognize_folder(path: &Path) -> Option<Foreign> {
    path.join("saved_model.pb").is_file().then(|| Foreign {
        what: "a TensorFlow SavedModel",
        advice: format!(
            "export it: python -m tf2onnx.convert --saved-model {} --output model.onnx --opset 17",
            path.display()
        ),
    })
}

/// Without regard to case.
fn begins(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|t| t.eq_ignore_ascii_case(start))
}

/// Whether the word occurs in a zip file's directory, which lies at its end, or in its first entry's name.
fn holds(zip: &[u8], word: &[u8]) -> bool {
    const DIRECTORY: usize = 1 << 20;
    let end = &zip[zip.len().saturating_sub(DIRECTORY)..];
    let start = &zip[..zip.len().min(512)];
    [start, end].iter().any(|part| part.windows(word.len()).any(|w| w == word))
}

/// Eight bytes of length, then a JSON object of that length.
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
            (&zip(b"model.weights.h5"), "Keras", "load_model('dir/net.onnx').export"),
            (b"\x89HDF\r\n\x1a\n....", "HDF5", "format='onnx'"),
            (&zip(b"net/data.pkl"), "PyTorch", "torch.onnx.export"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", "PyTorch", "torch.onnx.export"),
            (&safetensors, "safetensors", "torch.onnx.export"),
            (b"\x1c\0\0\0TFL3....", "TensorFlow Lite", "tf2onnx.convert --tflite dir/net.onnx"),
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
            assert!(words.starts_with("not an ONNX model but") && words.contains(what), "{words}");
            assert!(words.contains(advice), "{words}");
        }
    }

    #[test]
    fn onnx_models_and_unknown_bytes_are_nothing_foreign() {
        let built_in = include_bytes!("../assets/resnet20-v1-cifar10.onnx");
        assert_eq!(told(built_in), None);
        assert_eq!(told(b""), None);
        assert_eq!(told(b"these are notes, not a network"), None);
        assert_eq!(told(&[8, 9, 18, 0]), None);
    }
}
