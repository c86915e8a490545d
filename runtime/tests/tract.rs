//! The backends of stock tract, which only a build with the feature `tract` has.
#![allow(missing_docs)]

use std::path::Path;
use std::process::{Command, Stdio};

use foldnet_archive::testing::{every_step, manifest};
use serde_json::Value;

fn run(folder: &Path, words: &str) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
    command.args(words.split(' ')).current_dir(folder).stdin(Stdio::null());
    command.env("XDG_CACHE_HOME", folder.join("cache")).output().unwrap()
}

fn json(folder: &Path, words: &str) -> Value {
    let output = run(folder, words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(output.stdout.split(|&b| b == b'\n').next().unwrap()).unwrap()
}

#[test]
fn tract_gives_our_order_and_the_float_baseline_is_timed() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    foldnet_archive::write(&at.join("net.nnef.tgz"), &every_step(), &manifest()).unwrap();
    image::RgbImage::from_pixel(20, 30, image::Rgb([10, 0, 245])).save(at.join("a.png")).unwrap();
    let order = |options: &str| -> Vec<u64> {
        let answer = json(at, &format!("classify net.nnef.tgz a.png --json --top 9{options}"));
        answer["labels"].as_array().unwrap().iter().map(|l| l["index"].as_u64().unwrap()).collect()
    };
    // The logits are the same; the softmax may differ in its last bit.
    assert_eq!(order(" --backend tract"), order(""));
    assert_eq!(order(" --backend float").len(), order("").len());

    let figures = json(at, "bench net.nnef.tgz --iterations 3 --float --json");
    assert!(figures["float_median_ms"].as_f64().unwrap() > 0.0);
    let table = run(at, "bench net.nnef.tgz --iterations 3 --float");
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("times as fast") && table.contains("in/conv:0"), "{table}");

    let taught = run(at, "classify net.nnef.tgz a.png --teach a.teach --backend tract");
    assert_eq!(taught.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taught.stderr).contains("--backend cpu"));
}
