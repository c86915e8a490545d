//! No command overwrites its inputs, nor a file that it did not write under a name that nobody gave.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::small_classifier;

/// A folder with a model, its archive, images and a key.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("net.onnx"), small_classifier(3).bytes()).unwrap();
        fs::write(place.path("three.txt"), b"ant\nbee\ncow\n").unwrap();
        fs::create_dir(place.path("photos")).unwrap();
        for i in 0..6u32 {
            let pixel =
                |x: u32, y: u32| image::Rgb([(x * 29 + i * 31) as u8, (y * 23 + x * i) as u8, i as u8]);
            image::RgbImage::from_fn(10, 12, pixel).save(place.path(&format!("photos/{i}.png"))).unwrap();
        }
        foldnet_sign::keygen(&place.path("fleet"), false).unwrap();
        place.succeeds("quantize net.onnx --images photos --labels three.txt -o a.nnef.tgz");
        fs::hard_link(place.path("a.nnef.tgz"), place.path("hard")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("a.nnef.tgz", place.path("soft")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    fn succeeds(&self, words: &str) {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {}", stderr(&output));
    }

    /// Runs what must say this, with exit code 2, and change no file.
    fn refuses(&self, words: &str, says: &[&str]) {
        let before = contents(self.0.path());
        let output = self.run(words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        for word in says {
            assert!(said.contains(word), "`converter {words}` does not say {word:?}:\n{said}");
        }
        assert!(before == contents(self.0.path()), "`converter {words}` changed a file");
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The files below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn inputs_are_not_overwritten() {
    let place = Place::new();
    for words in [
        "sign a.nnef.tgz --key fleet.key -o fleet.key",
        "sign a.nnef.tgz --key fleet.key -o a.nnef.tgz",
        "sign a.nnef.tgz --key fleet.key -o hard",
        "export --qdq a.nnef.tgz -o a.nnef.tgz",
        "export --qdq a.nnef.tgz -o hard",
        "export --plan cortex-m4 a.nnef.tgz -o hard",
        "export --board rp2350-pico2 a.nnef.tgz -o photos/../a.nnef.tgz",
        "export --tflite a.nnef.tgz --images photos -o photos/1.png",
        "export --tflite a.nnef.tgz --images photos/0.png --calibrate photos -o photos/1.png",
        "export --ethos-u ethos-u55-128 a.nnef.tgz --images photos -o photos/1.png",
        "export --rknn rk3588 a.nnef.tgz --images photos -o photos/1.png",
        "eval a.nnef.tgz --images photos --labels three.txt --logits three.txt",
        "eval net.onnx --images photos --logits net.onnx",
    ] {
        place.refuses(words, &["overwrite"]);
    }
    if cfg!(unix) {
        place.refuses("export --qdq a.nnef.tgz -o soft", &["overwrite"]);
        place.refuses("sign soft --key fleet.key -o a.nnef.tgz", &["overwrite"]);
    }
}

#[test]
fn a_name_that_nobody_gave_replaces_no_file_of_others() {
    let place = Place::new();
    for (ending, words) in [
        ("tflite", "export --tflite a.nnef.tgz --images photos"),
        ("tflite", "export --ethos-u ethos-u55-128 a.nnef.tgz --images photos"),
        ("qdq.onnx", "export --qdq a.nnef.tgz"),
        ("plan", "export --plan cortex-m4 a.nnef.tgz"),
        ("nnef.tgz.minisig", "sign a.nnef.tgz --key fleet.key"),
    ] {
        let name = format!("a.{ending}");
        fs::write(place.path(&name), b"of somebody").unwrap();
        place.refuses(words, &[&format!("{name} exists; give a name with -o")]);
        fs::remove_file(place.path(&name)).unwrap();
    }
    fs::write(place.path("a.qdq.onnx"), b"of somebody").unwrap();
    place.succeeds("export --qdq a.nnef.tgz -o a.qdq.onnx");
    // Signatures and archives are recognized.
    place.succeeds("sign a.nnef.tgz --key fleet.key");
    place.succeeds("sign a.nnef.tgz --key fleet.key");
    fs::write(place.path("net.nnef.tgz"), b"of somebody").unwrap();
    let quantize = "quantize net.onnx --images photos --effort low";
    place.refuses(quantize, &["net.nnef.tgz exists; give a name with -o"]);
    fs::remove_file(place.path("net.nnef.tgz")).unwrap();
    place.succeeds(quantize);
    place.succeeds(quantize);
}

#[test]
fn labels_beside_an_export_replace_no_other_content() {
    let place = Place::new();
    let (plan, tflite) = (
        "export --plan cortex-m4 a.nnef.tgz -o b.plan",
        "export --tflite a.nnef.tgz --images photos --min-agreement 0 -o b.tflite",
    );
    fs::write(place.path("b.labels.txt"), b"notes").unwrap();
    place.refuses(plan, &["b.labels.txt", "overwrite"]);
    place.refuses(tflite, &["b.labels.txt", "overwrite"]);
    fs::write(place.path("b.labels.txt"), b"ant\nbee\ncow").unwrap();
    place.succeeds(plan);
    place.succeeds(tflite);
    assert_eq!(fs::read(place.path("b.labels.txt")).unwrap(), b"ant\nbee\ncow");
    // Where the export fails, nothing is left.
    place.refuses("export --tflite a.nnef.tgz --images absent -o c.tflite", &["absent"]);
    if cfg!(target_os = "linux") {
        place.refuses("export --plan cortex-m4 a.nnef.tgz -o /dev/full", &["/dev/full"]);
        assert!(!Path::new("/dev/full.labels.txt").exists());
    }
}

#[test]
fn a_folder_that_is_missing_is_named() {
    let place = Place::new();
    for words in ["export --qdq a.nnef.tgz -o nodir/x", "sign a.nnef.tgz --key fleet.key -o nodir/x"] {
        place.refuses(words, &["nodir/x: cannot be written: the folder nodir does not exist"]);
    }
}
