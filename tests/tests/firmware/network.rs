//! The network that the boards run, its plans, and images for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, OnceLock};

use foldnet::Session;
use foldnet_archive::testing::{manifest_stretched, resnet8};
use foldnet_kernels::dispatch;
use foldnet_tests::{root, shared};

use crate::boards::{BOARDS, Board, build, folder};

/// CIFAR-10 test images (HWC), or noise where they are not at hand.
pub fn pictures(n: usize) -> Vec<Vec<u8>> {
    let Some(shared) = shared() else {
        return (0..n.min(4))
            .map(|seed| (0..3072).map(|i| ((i * (seed + 3) * 7919) >> 4) as u8).collect())
            .collect();
    };
    let file = std::fs::read(shared.join("data/cifar10/test-1017.bin")).unwrap();
    let hwc = |record: &[u8]| (0..3072).map(|i| record[1 + i % 3 * 1024 + i / 3]).collect();
    file.chunks_exact(3073).take(n).map(hwc).collect()
}

/// Runs the program `converter`; what it prints on standard output.
pub fn converter(arguments: &[&str]) -> serde_json::Value {
    let out = run("converter", arguments);
    serde_json::from_str(&out).unwrap()
}

/// Runs a program of the workspace that must succeed; what it prints with `--json`.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let out = Command::new("cargo")
        .args(["run", "--release", "--quiet", "--bin", program, "--"])
        .args(arguments)
        .arg("--json")
        .arg("--quiet")
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(out.status.success(), "{program} {arguments:?}");
    String::from_utf8(out.stdout).unwrap()
}

/// A network of ResNet-8's shapes.
pub fn made_up(path: &Path) {
    let network = resnet8();
    // Stretched, as firmware fits its frames.
    let mut manifest = manifest_stretched(&network);
    manifest.labels = (0..10).map(|class| format!("class {class}")).collect();
    foldnet_archive::write(path, &network, &manifest).unwrap();
}

/// MLPerf Tiny's ResNet-8 as `converter quantize` makes it, or, where it is not at hand, a network of its
/// shapes. Made once.
pub fn archive() -> &'static Path {
    static ARCHIVE: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = folder().join("resnet8.nnef.tgz");
        match shared() {
            Some(shared) => {
                let file = |name: &str| shared.join(name).to_str().unwrap().to_owned();
                let (model, images) =
                    (file("models/resnet8-mlperf-tiny.onnx"), file("data/cifar10/train-1000.bin"));
                converter(&["quantize", &model, "--images", &images, "-o", path.to_str().unwrap()]);
            }
            None => made_up(&path),
        }
        path
    });
    &ARCHIVE
}

/// A board's program around [`archive`]'s plan.
pub struct Built {
    pub program: PathBuf,
    pub plan: PathBuf,
    /// What `converter export` says of the plan.
    pub sizes: serde_json::Value,
}

/// The program of a board of [`BOARDS`], made once.
pub fn built(board: &Board) -> &'static Built {
    static BUILT: [OnceLock<Built>; BOARDS.len()] = [const { OnceLock::new() }; BOARDS.len()];
    let at = BOARDS.iter().position(|b| b.name == board.name).unwrap();
    BUILT[at].get_or_init(|| {
        let plan = folder().join(format!("{}.plan", board.name));
        let paths = [archive(), &plan].map(|p| p.to_str().unwrap());
        let sizes = converter(&["export", "--plan", board.processor, paths[0], "-o", paths[1]]);
        Built { program: build(board, board.name, board.name, Some(&plan)), plan, sizes }
    })
}

/// The host, with the same network.
pub fn host() -> Session {
    let (network, _) = foldnet_archive::read(archive()).unwrap();
    Session::new(&network, dispatch::best(), 1).unwrap()
}

/// The host's logits, as the boards print theirs.
pub fn logits(host: &mut Session, pixels: &[u8]) -> String {
    host.run(pixels).iter().map(|v| format!("{:08x}", v.to_bits())).collect()
}
