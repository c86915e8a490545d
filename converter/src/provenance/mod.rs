//! What an archive was made from: the member `provenance.toml`, from which `converter reproduce` makes it again.
//!
//! It contains hashes, counts and flags. It contains no path, no time and nothing about the machine, so that equal inputs
//! give equal archives wherever they lie. The names of files are left out, too, where they do not influence the archive.

mod compare;
mod images;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use compare::differences;
pub use images::{ImageHash, ImageSet, classes_hash};

/// The inputs of a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The version of the converter.
    pub converter: String,
    /// The flags that influence the archive, without their dashes. Flags with a default are always listed. A flag without
    /// a value has the value `true`. Flags that name files are in `file` instead.
    pub flags: BTreeMap<String, String>,
    /// The float model.
    pub model: ModelSource,
    /// The images for calibration and check.
    pub images: ImageSet,
    /// Further files, in a fixed order.
    #[serde(default, rename = "file", skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

/// Where the float model comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSource {
    /// Whether it is a file, a published network or built in.
    pub from: From,
    /// The file's name, or the published network with its publisher (`keras:ResNet50V2`).
    pub name: String,
    /// The hexadecimal SHA-256 of the file. For a published network or a folder, of the ONNX file exported from it.
    pub sha256: String,
    /// For a model that its framework exports, the hexadecimal SHA-256 of the exported ONNX file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
}

/// The origin of the model or of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// A file or folder.
    File,
    /// A publisher, by the network's name.
    Publisher,
    /// The converter itself.
    BuiltIn,
    /// Generated noise (`--synthetic`).
    Noise,
}

/// A file beside the model and the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The flag that names the file, or `external` for the model's external data.
    pub role: String,
    /// The hexadecimal SHA-256 of its content.
    pub sha256: String,
}

/// The role of the files with a model's external data.
pub const EXTERNAL: &str = "external";

/// Flags and files, as they are recorded.
#[derive(Default)]
pub struct Recorder {
    /// See [`Provenance::flags`].
    pub flags: BTreeMap<String, String>,
    /// See [`Provenance::files`].
    pub files: Vec<File>,
}

impl Recorder {
    /// Records a flag that has a value.
    pub fn value(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.flags.insert(name.into(), value.to_string());
        }
    }

    /// Records a flag without a value, if it was given.
    pub fn switch(&mut self, name: &str, given: bool) {
        self.value(name, given.then_some(true));
    }

    /// Records a file, if it was given. An error names the file that cannot be read.
    pub fn file(&mut self, role: &str, path: Option<&Path>) -> anyhow::Result<()> {
        if let Some(path) = path {
            self.files.push(File { role: role.into(), sha256: file_hash(path)? });
        }
        Ok(())
    }
}

/// Returns the hexadecimal SHA-256 of a regular file, which is read piece by piece.
pub fn file_hash(path: &Path) -> anyhow::Result<String> {
    let mut file = foldnet_archive::open_file(path).with_context(|| path.display().to_string())?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut piece).with_context(|| path.display().to_string())? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&piece[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Provenance {
    /// Parses the text of `provenance.toml`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        toml::from_str(text)
            .context("provenance.toml is not understood; was the archive made by another release?")
    }

    /// Returns the text of `provenance.toml`.
    pub fn text(&self) -> String {
        toml::to_string(self).expect("strings, numbers and tables of them")
    }
}

#[cfg(test)]
pub(crate) fn sample() -> Provenance {
    let mut recorder = Recorder::default();
    recorder.value("effort", Some("normal"));
    recorder.switch("per-class", true);
    Provenance {
        converter: "0.1.0".into(),
        flags: recorder.flags,
        model: ModelSource {
            from: From::File,
            name: "model.onnx".into(),
            sha256: foldnet_archive::digest(b"model"),
            exported: None,
        },
        images: ImageSet::of(
            From::File,
            1,
            &[ImageHash::of("a.png", None, b"a"), ImageHash::of("b.png", None, b"b")],
        ),
        files: vec![File { role: "labels".into(), sha256: foldnet_archive::digest(b"labels") }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_as_it_was_written() {
        let text = sample().text();
        assert_eq!(Provenance::parse(&text).unwrap(), sample(), "{text}");
        assert!(text.contains("per-class = \"true\"") && text.contains("[[file]]"), "{text}");
        let newer = Provenance::parse(&text.replace("converter =", "later = 1\nconverter =")).unwrap_err();
        assert!(format!("{newer:#}").contains("another release"), "{newer:#}");
    }

    #[test]
    fn only_what_was_given_is_recorded() {
        let mut recorder = Recorder::default();
        recorder.switch("no-labels", false);
        recorder.value("max-drop", None::<f64>);
        recorder.value("threshold", Some(0.5));
        recorder.file("labels", None).unwrap();
        assert_eq!(recorder.flags.into_iter().collect::<Vec<_>>(), [("threshold".into(), "0.5".into())]);
        assert!(recorder.files.is_empty());
        let missing = Recorder::default().file("labels", Some(Path::new("/no/such/labels.txt"))).unwrap_err();
        assert!(format!("{missing:#}").contains("/no/such/labels.txt"));
    }

    #[test]
    fn a_file_has_the_hash_of_its_content() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("labels.txt");
        std::fs::write(&path, b"ant\nbee\n").unwrap();
        assert_eq!(file_hash(&path).unwrap(), foldnet_archive::digest(b"ant\nbee\n"));
    }
}
