//! The boards, and how their programs are built.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use foldnet_tests::root;

/// A board, emulated unless `machine` is empty.
pub struct Board {
    pub name: &'static str,
    pub machine: &'static str,
    pub target: &'static str,
    pub processor: &'static str,
    /// SysTick's rate; an instruction is a nanosecond.
    pub megahertz: f64,
    /// The most instructions that a ResNet-8 may take, in millions.
    pub limit: f64,
}

pub const BOARDS: [Board; 3] = [
    Board {
        name: "qemu-mps2-an386",
        machine: "mps2-an386",
        target: "thumbv7em-none-eabihf",
        processor: "cortex-m4",
        megahertz: 25.0,
        limit: 22.4,
    },
    Board {
        name: "qemu-mps2-an500",
        machine: "mps2-an500",
        target: "thumbv7em-none-eabihf",
        processor: "cortex-m7",
        megahertz: 25.0,
        limit: 22.4,
    },
    Board {
        name: "qemu-mps3-an547",
        machine: "mps3-an547",
        target: "thumbv8m.main-none-eabihf",
        processor: "cortex-m55",
        megahertz: 32.0,
        limit: 3.4,
    },
];

/// Whether the tools are there; says what is missing, or that somebody runs these tests later.
pub fn available() -> bool {
    if std::env::var_os("FOLDNET_EMULATED").is_some_and(|when| when == "later") {
        writeln!(std::io::stderr(), "LATER, as FOLDNET_EMULATED says").expect("standard error");
        return false;
    }
    let mut missing = Vec::new();
    let runs =
        |c: &mut Command| c.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !runs(Command::new("qemu-system-arm").arg("--version")) {
        missing.push("qemu-system-arm");
    }
    for board in BOARDS.iter().filter(|_| !from_source()) {
        let out = Command::new("rustc").args(["--print", "target-libdir", "--target", board.target]).output();
        let folder = out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
        if !Path::new(&folder).is_dir() && !missing.contains(&board.target) {
            missing.push(board.target);
        }
    }
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("FOLDNET_REQUIRE_FIRMWARE").is_none(), "missing: {missing:?}");
    writeln!(std::io::stderr(), "SKIPPED: no {}", missing.join(", no ")).expect("standard error");
    false
}

pub fn from_source() -> bool {
    std::env::var_os("FOLDNET_THUMB_FROM_SOURCE").is_some()
}

/// Where the tests leave their files.
pub fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Builds a board's program around a plan and returns where it is: a copy, since the next build may be
/// around another plan.
pub fn build(board: &Board, binary: &str, features: &str, plan: Option<&Path>) -> PathBuf {
    let mut cargo = cargo(board, binary, features, plan);
    let _one = BUILDING.lock().unwrap();
    assert!(cargo.status().unwrap().success(), "{binary} does not build for {}", board.name);
    let program = folder().join(format!("{binary}-{}.elf", board.name));
    let built = root().join("target/firmware").join(board.target).join("release").join(binary);
    std::fs::copy(built, &program).unwrap();
    program
}

/// Why a board's program cannot be built around a plan.
pub fn refusal(board: &Board, plan: &Path) -> String {
    let mut cargo = cargo(board, board.name, board.name, Some(plan));
    let _one = BUILDING.lock().unwrap();
    let out = cargo.output().unwrap();
    assert!(!out.status.success(), "{} is built around {}", board.name, plan.display());
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// One build at a time, until its program is copied.
static BUILDING: Mutex<()> = Mutex::new(());

fn cargo(board: &Board, binary: &str, features: &str, plan: Option<&Path>) -> Command {
    let mut cargo = Command::new("cargo");
    if from_source() {
        // The cargo that runs this test chose a toolchain for its children.
        cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC").arg("+nightly");
    }
    cargo.current_dir(root().join("firmware")).env("CARGO_TARGET_DIR", root().join("target/firmware"));
    cargo.args(["build", "--release", "--quiet", "--target", board.target, "--features", features]);
    cargo.args(["--bin", binary]);
    if from_source() {
        cargo.arg("-Zbuild-std=core,alloc");
    }
    if let Some(plan) = plan {
        cargo.env("FOLDNET_PLAN", plan);
    }
    cargo
}
