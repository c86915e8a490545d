//! `converter doctor` on CIFAR-10 test images with labels that were changed on purpose, and on small folders.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::small_classifier;
use serde_json::Value;

const RECORD: usize = 3073;

fn run(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_converter"));
    command.args(words.split(' ')).current_dir(folder).output().unwrap()
}

fn json(folder: &Path, words: &str) -> Value {
    let output = run(folder, &format!("{words} --json"));
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Test images of CIFAR-10, if they are beside the repository.
fn cifar() -> Option<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cifar10/test-1017.bin");
    let bytes = fs::read(&file).ok();
    if bytes.is_none() {
        eprintln!("NOT TESTED: {} is missing, and with it labels changed on purpose", file.display());
    }
    bytes
}

/// Every twentieth label becomes another.
fn swap(records: &mut [u8]) -> Vec<usize> {
    let swapped: Vec<usize> = (0..records.len() / RECORD).step_by(20).collect();
    for (n, &i) in swapped.iter().enumerate() {
        records[i * RECORD] = (records[i * RECORD] + 1 + (n % 9) as u8) % 10;
    }
    swapped
}

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/resnet20-v1-cifar10.onnx")
}

#[test]
fn changed_labels_copies_and_their_pairs_are_found() {
    let Some(mut records) = cifar() else { return };
    let place = tempfile::tempdir().unwrap();
    let swapped = swap(&mut records);
    // Five images again, each with a changed pixel, under another label.
    let count = records.len() / RECORD;
    let copied: Vec<usize> = (0..5).map(|n| 3 + 40 * n).collect();
    for &i in &copied {
        let mut copy = records[i * RECORD..][..RECORD].to_vec();
        copy[0] = (copy[0] + 5) % 10;
        copy[1] ^= 1;
        records.extend(copy);
    }
    fs::write(place.path().join("set.bin"), &records).unwrap();
    fs::copy(model(), place.path().join("net.onnx")).unwrap();
    run(place.path(), "quantize -o net.nnef.tgz");
    for network in ["net.onnx", "net.nnef.tgz"] {
        let found = json(place.path(), &format!("doctor {network} --images set.bin"));
        let images: Vec<usize> = found["suspects"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["image"].as_u64().unwrap() as usize)
            .filter(|&i| i < count && !copied.contains(&i))
            .collect();
        let right = images.iter().filter(|i| swapped.contains(i)).count();
        let first = images.iter().take(swapped.len()).filter(|i| swapped.contains(i)).count();
        let (recall, precision) = (right as f64 / swapped.len() as f64, right as f64 / images.len() as f64);
        println!(
            "{network}: {} labels changed, {} reported, {right} of them changed: recall {:.1} %, precision {:.1} %; \
             {first} among the first {}",
            swapped.len(),
            images.len(),
            100.0 * recall,
            100.0 * precision,
            swapped.len()
        );
        assert!(recall > 0.75, "recall {recall}");
        assert!(precision > 0.3, "precision {precision}");
        let contradictions: Vec<u64> = found["duplicates"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|p| p["contradictory"] == true)
            .map(|p| p["images"][0].as_u64().unwrap())
            .collect();
        for &i in &copied {
            assert!(contradictions.contains(&(i as u64)), "{network}: {i} is not in {contradictions:?}");
        }
    }
}

#[test]
fn folders_with_a_copy_in_the_test_images_are_examined_and_written_down() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::write(path("net.onnx"), small_classifier(3).bytes()).unwrap();
    for folder in ["photos/ant", "photos/bee", "test/ant", "test/bee"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    for i in 0..24u32 {
        let class = ["ant", "bee"][i as usize % 2];
        let pixel = |x: u32, y: u32| {
            image::Rgb([(x * 29 + i * 31) as u8, (y * 23 + x * i) as u8, (x * y + i * 7) as u8])
        };
        image::RgbImage::from_fn(10, 12, pixel).save(path(&format!("photos/{class}/{i}.png"))).unwrap();
    }
    fs::copy(path("photos/bee/5.png"), path("test/bee/five.png")).unwrap();
    fs::copy(path("photos/bee/7.png"), path("test/ant/seven.png")).unwrap();
    fs::write(path("photos/ant/broken.png"), b"no image").unwrap();

    let words = "doctor net.onnx --images photos --test test --report out.html --csv out.csv";
    let output = run(place.path(), words);
    let (printed, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{said}");
    assert!(printed.contains("bee/5.png and test: bee/five.png, in training and test images\n"), "{printed}");
    let both = "in training and test images, with different labels";
    assert!(printed.contains(&format!("bee/7.png and test: ant/seven.png, {both}")), "{printed}");
    assert!(
        printed.contains("ant: few images (13 images)") && said.contains("broken.png"),
        "{printed}{said}"
    );
    let table = fs::read_to_string(path("out.csv")).unwrap();
    assert!(
        table.starts_with("finding,image,label,suggestion,score,other image,set\r\n")
            && table.contains("leak,bee/5.png,bee,bee,0.0000,bee/five.png,train\r\n")
            && table.contains("leak,bee/7.png,bee,ant,0.0000,ant/seven.png,train\r\n"),
        "{table}"
    );
    let page = fs::read_to_string(path("out.html")).unwrap();
    assert!(page.contains(both) && page.contains("test: ant/seven.png"));
    assert!(page.contains("in training and test images<") && page.contains("data:image/png"));

    for (words, expected) in [
        ("doctor net.onnx --images photos --strict", "1 image cannot be read"),
        ("doctor net.onnx --images photos --report out.json", "--report out.json"),
        ("doctor net.onnx --images photos --report out.txt", "out.txt: the name must end in .html;"),
        ("doctor net.onnx --images photos --csv net.onnx", "overwrite"),
        ("doctor net.onnx --images photos --csv x --report x", "--report x"),
        ("doctor net.onnx --images photos --max-images 0", "--max-images"),
    ] {
        let output = run(place.path(), words);
        assert_eq!(output.status.code(), Some(2), "{words}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{words} does not say {expected}: {said}");
    }
}
