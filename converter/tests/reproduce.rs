//! `converter reproduce`: an archive is made again to the same bytes, and an input that differs is named.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::small_classifier;
use serde_json::Value;

fn run(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
    command.args(words.split_whitespace()).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// Standard output and standard error, after an exit with this code.
fn said(folder: &Path, words: &str, code: i32) -> String {
    let output = run(folder, words);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{words}: {text}");
    text
}

/// A folder with a model, images and class names; the images below `photos`.
fn inputs(photos: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::write(at("net.onnx"), small_classifier(3).bytes()).unwrap();
    fs::write(at("names.txt"), "ant\nbee\ncow\n").unwrap();
    for i in 0..12u32 {
        let class = at(photos).join(["ant", "bee", "cow"][i as usize % 3]);
        fs::create_dir_all(&class).unwrap();
        let pixel =
            |x: u32, y: u32| image::Rgb([(x * 29 + i * 31) as u8, (y * 23) as u8, (x * y + i * 7) as u8]);
        image::RgbImage::from_fn(10, 12, pixel).save(class.join(format!("{i}.png"))).unwrap();
    }
    place
}

#[test]
fn equal_inputs_give_equal_archives_wherever_they_lie() {
    let (here, there) = (inputs("photos"), inputs("pictures"));
    said(here.path(), "quantize net.onnx --images photos --labels names.txt -o a.nnef.tgz", 0);
    fs::rename(there.path().join("names.txt"), there.path().join("classes.txt")).unwrap();
    let images = there.path().join("pictures");
    // A default that is stated, an absolute path, and options that change nothing.
    let words = format!(
        "quantize net.onnx --images {} --labels classes.txt --effort normal --strict --report r.json -o b.nnef.tgz",
        images.display()
    );
    said(there.path(), &words, 0);
    let bytes = fs::read(here.path().join("a.nnef.tgz")).unwrap();
    assert_eq!(bytes, fs::read(there.path().join("b.nnef.tgz")).unwrap());
    let (_, manifest) = foldnet_archive::unpack(&bytes[..], Path::new("a")).unwrap();
    let text = manifest.provenance.unwrap();
    for private in ["photos", "pictures", "names.txt", "tmp", "202"] {
        assert!(!text.contains(&format!("{private}/")) && !text.contains(&format!("\"{private}")), "{text}");
    }
}

#[test]
fn an_archive_is_made_again_and_inputs_that_differ_are_named() {
    let place = inputs("photos");
    let folder = place.path();
    let at = |name: &str| folder.join(name);
    said(folder, "quantize net.onnx --images photos --labels names.txt --effort low -o a.nnef.tgz", 0);
    let reproduce = "reproduce a.nnef.tgz --model net.onnx --images photos --labels names.txt";
    assert!(said(folder, &format!("{reproduce} -o b.nnef.tgz"), 0).contains("made again, the same bytes"));
    assert_eq!(fs::read(at("a.nnef.tgz")).unwrap(), fs::read(at("b.nnef.tgz")).unwrap());
    let json: Value = serde_json::from_str(&said(folder, &format!("{reproduce} --quiet --json"), 0)).unwrap();
    assert_eq!((&json["same"], &json["made"]), (&true.into(), &json["sha256"]));

    // What is missing is asked for.
    assert!(said(folder, "reproduce a.nnef.tgz", 2).contains("from net.onnx (SHA-256"));
    assert!(said(folder, "reproduce a.nnef.tgz --model net.onnx", 2).contains("--images"));
    let without = "reproduce a.nnef.tgz --model net.onnx --images photos";
    assert!(said(folder, without, 3).contains("--labels: recorded, but not given now"));
    assert!(said(folder, &format!("{reproduce} -o a.nnef.tgz"), 2).contains("a.nnef.tgz"));

    // Each input that is changed is named.
    fs::write(at("names.txt"), "ant\nbee\ncat\n").unwrap();
    assert!(said(folder, reproduce, 3).contains("--labels: the SHA-256 is"));
    fs::write(at("names.txt"), "ant\nbee\ncow\n").unwrap();
    let image = fs::read(at("photos/ant/0.png")).unwrap();
    fs::copy(at("photos/bee/1.png"), at("photos/ant/0.png")).unwrap();
    let text = said(folder, reproduce, 3);
    assert!(text.contains("changed, renamed or new: ant/0.png"), "{text}");
    assert!(text.contains("1 of the 12 recorded are not there"), "{text}");
    fs::write(at("photos/ant/0.png"), image).unwrap();
    fs::create_dir(at("photos/dog")).unwrap();
    assert_ne!(run(folder, reproduce).status.code(), Some(0));
    fs::remove_dir(at("photos/dog")).unwrap();
    fs::write(at("net.onnx"), small_classifier(3).says("note", "another").bytes()).unwrap();
    assert!(said(folder, reproduce, 3).contains("model: net.onnx has the SHA-256"));
    fs::write(at("net.onnx"), small_classifier(3).bytes()).unwrap();
    said(folder, reproduce, 0);
}

#[test]
fn another_network_under_the_same_record_is_noticed() {
    let place = inputs("photos");
    let folder = place.path();
    said(folder, "quantize net.onnx --images photos --effort low -o a.nnef.tgz", 0);
    said(folder, "quantize net.onnx --images photos --effort low --max-images 5 -o b.nnef.tgz", 0);
    let path = |name: &str| folder.join(name);
    let (_, manifest) = foldnet_archive::read(&path("a.nnef.tgz")).unwrap();
    let (network, other) = foldnet_archive::read(&path("b.nnef.tgz")).unwrap();
    foldnet_archive::write(&path("c.nnef.tgz"), &network, &manifest).unwrap();
    let text = said(folder, "reproduce c.nnef.tgz --model net.onnx --images photos", 3);
    assert!(text.contains("differs: the network"), "{text}");
    // An archive of an earlier release.
    let earlier = foldnet_archive::Manifest { provenance: None, ..other };
    foldnet_archive::write(&path("d.nnef.tgz"), &network, &earlier).unwrap();
    assert!(said(folder, "reproduce d.nnef.tgz", 2).contains("an earlier release made it"));
    // Another version of the converter may have made the same.
    let provenance = manifest.provenance.as_deref().unwrap().replacen(env!("CARGO_PKG_VERSION"), "0.0.1", 1);
    let other = foldnet_archive::Manifest { provenance: Some(provenance), ..manifest };
    let (network, _) = foldnet_archive::read(&path("a.nnef.tgz")).unwrap();
    foldnet_archive::write(&path("e.nnef.tgz"), &network, &other).unwrap();
    let text = said(folder, "reproduce e.nnef.tgz --model net.onnx --images photos", 3);
    assert!(text.contains("version 0.0.1 of the converter") && !text.contains("the network"), "{text}");
}
