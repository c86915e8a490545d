//! Writes what the tests of several ways into the engine share: networks, images, and the program's answers.
//!
//! `doors FOLDER` writes for `resnet20`, the built-in network, and `resnet50`, torchvision's with seeded weights:
//!
//! - `NAME.nnef.tgz`, whose output is plain numbers: scores are logits;
//! - `NAME.ppm`, images one after the other: CIFAR records, then photographs;
//! - `NAME.logits`, for each image a line of `runtime`'s logits, the bits of each as eight hexadecimal digits.
//!
//! It fails unless the Rust interface gives these bits. C, Python and GStreamer compare themselves in their own scripts
//! in `.ci`, which `FOLDNET_DOORS` tells the folder.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use foldnet::{Classifier, Image};
use foldnet_archive::{Activation, OutputKind};
use foldnet_image::fit;
use foldnet_tests::networks::fixtures;
use foldnet_tests::{output, program, root, shared};
use serde::Deserialize;

/// Bytes of a CIFAR record: the class, then planes of red, green and blue.
const RECORD: usize = 1 + 3 * SIDE * SIDE;
const SIDE: usize = 32;
/// Photographs that each network sees.
const PHOTOGRAPHS: usize = 20;
/// CIFAR images that the large network sees, which takes a hundred times as long for each.
const FEW: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: doors FOLDER")?);
    fs::create_dir_all(&folder)?;
    let records = fs::read(records())?;
    let photographs = photographs()?;

    let archive = folder.join("resnet20.nnef.tgz");
    output(program("converter").args(["quantize", "--quiet", "--effort", "low", "-o"]).arg(&archive));
    door(&archive, &records, &photographs)?;

    let archive = folder.join("resnet50.nnef.tgz");
    let fixture =
        fixtures().into_iter().find(|f| f.name == "resnet50-torchscript").ok_or("no such network")?;
    let model = folder.join("resnet50.onnx");
    fs::write(&model, fixture.onnx())?;
    // What it answers does not matter here: as few images and attempts as can be.
    let quick = "--quiet --preprocess torch --effort low --calibration minmax --max-images 2 --no-labels";
    let mut converter = program("converter");
    converter.arg("quantize").arg(&model).arg("--images").arg(root().join("tests/pictures"));
    output(converter.args(quick.split(' ')).arg("-o").arg(&archive));
    fs::remove_file(model)?;
    door(&archive, &records[..FEW * RECORD], &photographs)
}

/// The CIFAR test images, or those that are in the repository.
fn records() -> PathBuf {
    match shared() {
        Some(shared) => shared.join("data/cifar10/test-1017.bin"),
        None => root().join("converter/assets/calibration.bin"),
    }
}

/// Photographs, or the small images that are in the repository.
fn photographs() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let folder = shared().map_or_else(|| root().join("tests/pictures"), |shared| shared.join("data/photos"));
    let paths =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    let mut paths: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|e| e != "md")).collect();
    paths.sort();
    paths.truncate(PHOTOGRAPHS);
    if paths.len() == PHOTOGRAPHS {
        Ok(paths)
    } else {
        Err(format!("only {} photographs", paths.len()).into())
    }
}

/// Writes what belongs to one network.
fn door(archive: &Path, records: &[u8], photographs: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let (mut network, mut manifest) = foldnet_archive::read(archive)?;
    network.activation = Activation::None;
    manifest.output = Some(OutputKind::Numbers);
    foldnet_archive::write(archive, &network, &manifest)?;

    let file = archive.with_extension("").with_extension("bin");
    fs::write(&file, records)?;
    let expected = answers(archive, &file, photographs)?;
    fs::remove_file(&file)?;

    let mut classifier = Classifier::builder().threads(1).open(archive)?;
    let mut images = fs::File::create(file.with_extension("ppm"))?;
    let (mut lines, mut count) = (String::new(), 0);
    for image in
        records.chunks_exact(RECORD).map(cifar).chain(photographs.iter().map(|path| Ok(Image::open(path)?)))
    {
        let image = image?;
        write!(images, "P6\n{} {}\n255\n", image.width(), image.height())?;
        images.write_all(image.rgb())?;
        let line = bits(classifier.logits(&fit(&image, &manifest.input))?.iter().copied());
        if expected.lines().nth(count) != Some(&line) {
            return Err(
                format!("{}, image {count}: the Rust interface has other logits", archive.display()).into()
            );
        }
        lines = lines + &line + "\n";
        count += 1;
    }
    // A network that answers the same to everything would prove nothing.
    let different = lines.lines().collect::<HashSet<_>>().len();
    if lines != expected || different * 10 < count * 9 {
        return Err(format!("{different} different answers to {count} images").into());
    }
    fs::write(file.with_extension("logits"), lines)?;
    println!("{}: {count} images have the program's logits through the Rust interface", archive.display());
    Ok(())
}

fn cifar(record: &[u8]) -> Result<Image, Box<dyn Error>> {
    let rgb = (0..SIDE * SIDE).flat_map(|i| [0, 1, 2].map(|c| record[1 + c * SIDE * SIDE + i])).collect();
    Image::new(SIDE, SIDE, rgb).ok_or_else(|| "a record that is no image".into())
}

fn bits(values: impl Iterator<Item = f32>) -> String {
    let words: Vec<String> = values.map(|value| format!("{:08x}", value.to_bits())).collect();
    words.join(" ")
}

#[derive(Deserialize)]
struct Answer {
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    index: usize,
    score: f32,
}

/// What the program says of each image.
fn answers(archive: &Path, records: &Path, photographs: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut runtime = program("runtime");
    runtime.arg("classify").arg(archive).arg(records).args(photographs);
    let mut lines = String::new();
    for line in output(runtime.args(["--quiet", "--json", "--strict", "--top", "1000"])).lines() {
        let mut labels = serde_json::from_str::<Answer>(line)?.labels;
        labels.sort_by_key(|label| label.index);
        writeln!(lines, "{}", bits(labels.iter().map(|label| label.score)))?;
    }
    Ok(lines)
}
