//! The emulated boards classify as the host does, bit for bit.
//!
//! Builds the firmware with a plan, runs it in QEMU, sends it pictures over its serial line and compares
//! the logits. Prints what each board needs: instructions, memory, flash. Where QEMU or the target is
//! missing the test says so and does nothing, or fails if `FOLDNET_REQUIRE_FIRMWARE` is set.
//! `FOLDNET_FIRMWARE_IMAGES=1017` sends all pictures instead of a sample; `FOLDNET_THUMB_FROM_SOURCE`
//! builds the targets' core library with the nightly toolchain.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use foldnet_archive::testing::{manifest, resnet8};
use foldnet_kernels::dispatch;
use foldnet_runtime::Session;
use foldnet_tests::{root, shared};

struct Board {
    name: &'static str,
    machine: &'static str,
    target: &'static str,
    processor: &'static str,
    /// SysTick's rate; an instruction is a nanosecond.
    megahertz: f64,
    /// The most instructions that a ResNet-8 may take, in millions.
    limit: f64,
}

/// The most memory (arena, scratch, stack) and flash that ResNet-8's program may take, in bytes.
const RAM_LIMIT: usize = 36_000;
const FLASH_LIMIT: u32 = 95_000;

const BOARDS: [Board; 3] = [
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

/// Whether the tools are there; says what is missing.
fn available() -> bool {
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

fn from_source() -> bool {
    std::env::var_os("FOLDNET_THUMB_FROM_SOURCE").is_some()
}

/// Builds a board's program around a plan and returns its path.
fn build(board: &Board, binary: &str, features: &str, plan: Option<&Path>) -> PathBuf {
    let target_dir = root().join("target/firmware");
    let mut cargo = Command::new("cargo");
    if from_source() {
        // The cargo that runs this test chose a toolchain for its children.
        cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC").arg("+nightly");
    }
    cargo.current_dir(root().join("firmware")).env("CARGO_TARGET_DIR", &target_dir);
    cargo.args(["build", "--release", "--quiet", "--target", board.target, "--features", features]);
    cargo.args(["--bin", binary]);
    if from_source() {
        cargo.arg("-Zbuild-std=core,alloc");
    }
    if let Some(plan) = plan {
        cargo.env("FOLDNET_PLAN", plan);
    }
    assert!(cargo.status().unwrap().success(), "{binary} does not build for {}", board.name);
    target_dir.join(board.target).join("release").join(binary)
}

/// The program, running in QEMU.
struct Emulator {
    child: Child,
    line: ChildStdin,
    answers: Receiver<String>,
}

impl Emulator {
    fn start(board: &Board, program: &Path) -> Self {
        let mut child = Command::new("qemu-system-arm")
            .args(["-M", board.machine, "-display", "none", "-monitor", "none", "-serial", "stdio"])
            .args(["-icount", "shift=0,sleep=off", "-kernel"])
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, line, answers }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).unwrap();
        self.line.flush().unwrap();
    }

    fn answer(&self) -> serde_json::Value {
        // Bounds a hang; says nothing about speed.
        let line = self.answers.recv_timeout(Duration::from_secs(120)).expect("the board does not answer");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A picture as the boards' serial line wants it.
fn frame(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = pixels.to_vec();
    bytes.extend(foldnet_plan::crc32(pixels).to_le_bytes());
    let mut out = Vec::new();
    // Consistent overhead byte stuffing: blocks of up to 254 bytes that are not zero.
    let mut block = Vec::new();
    for &byte in &bytes {
        if byte != 0 {
            block.push(byte);
        }
        if byte == 0 || block.len() == 254 {
            out.push(block.len() as u8 + 1);
            out.append(&mut block);
        }
    }
    out.push(block.len() as u8 + 1);
    out.append(&mut block);
    out.push(0);
    out
}

/// CIFAR-10 test pictures (HWC), or noise where they are not at hand.
fn pictures(n: usize) -> Vec<Vec<u8>> {
    let Some(shared) = shared() else {
        return (0..n.min(4))
            .map(|seed| (0..3072).map(|i| ((i * (seed + 3) * 7919) >> 4) as u8).collect())
            .collect();
    };
    let file = std::fs::read(shared.join("data/cifar10/test-1017.bin")).unwrap();
    let hwc = |record: &[u8]| (0..3072).map(|i| record[1 + i % 3 * 1024 + i / 3]).collect();
    file.chunks_exact(3073).take(n).map(hwc).collect()
}

/// A loadable piece of a program: where it is stored, its bytes there, where it runs, its size there.
struct Segment {
    stored_at: u32,
    bytes: Vec<u8>,
    runs_at: u32,
    size: u32,
}

/// A program's pieces, from its headers.
fn segments(program: &Path) -> Vec<Segment> {
    let elf = std::fs::read(program).unwrap();
    let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().unwrap()) as usize;
    let (table, size, n) = (word(28) as usize, half(42), half(44));
    let one = |at: usize| Segment {
        stored_at: word(at + 12),
        bytes: elf[word(at + 4) as usize..][..word(at + 16) as usize].to_vec(),
        runs_at: word(at + 8),
        size: word(at + 20),
    };
    (0..n).map(|i| table + i * size).filter(|&at| word(at) == 1).map(one).collect()
}

/// What a program takes of the flash.
fn flash_bytes(program: &Path) -> u32 {
    segments(program).iter().map(|s| s.bytes.len() as u32).sum()
}

/// Runs the program `converter`; what it prints on standard output.
fn converter(arguments: &[&str]) -> serde_json::Value {
    let out = Command::new("cargo")
        .args(["run", "--release", "--quiet", "-p", "foldnet-converter", "--bin", "converter", "--"])
        .args(arguments)
        .arg("--json")
        .arg("--quiet")
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(out.status.success(), "converter {arguments:?}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// A network of ResNet-8's shapes.
fn made_up(path: &Path) {
    let mut manifest = manifest();
    (manifest.input.height, manifest.input.width) = (32, 32);
    manifest.labels = (0..10).map(|class| format!("class {class}")).collect();
    foldnet_archive::write(path, &resnet8(), &manifest).unwrap();
}

/// MLPerf Tiny's ResNet-8 as `converter quantize` makes it, or, where it is not at hand, a network of its
/// shapes.
fn archive(folder: &Path) -> PathBuf {
    let path = folder.join("resnet8.nnef.tgz");
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
}

fn check(board: &Board, archive: &Path, n: usize, folder: &Path) {
    let path = folder.join(format!("{}.plan", board.name));
    let paths = [archive, &path].map(|p| p.to_str().unwrap());
    let sizes = converter(&["export", "--plan", board.processor, paths[0], "-o", paths[1]]);
    let size = |key: &str| sizes[key].as_u64().unwrap() as usize;
    let memory = size("arena_bytes");
    let (network, _) = foldnet_archive::read(archive).unwrap();
    let program = build(board, board.name, board.name, Some(&path));
    let names = std::fs::read(&program).unwrap();
    let has = |name: &str| names.windows(name.len()).any(|w| w == name.as_bytes());
    assert!(!has("panicking"), "{}: the program can panic", board.name);

    let mut session = Session::new(&network, dispatch::best(), 1).unwrap();
    let mut emulator = Emulator::start(board, &program);
    assert_eq!(emulator.answer()["board"], board.name);
    let (mut ticks, mut stack, mut loop_ticks) = (0, 0, 0);
    for (i, picture) in pictures(n).iter().enumerate() {
        let expected: String = session.run(picture).iter().map(|v| format!("{:08x}", v.to_bits())).collect();
        let sent = frame(picture);
        if i % 16 == 1 {
            // A frame cut short, and noise: reported, and the next frame arrives.
            emulator.send(&sent[..sent.len() / 2]);
            emulator.send(&[0]);
            assert_eq!(emulator.answer()["error"], "damaged");
        }
        emulator.send(&sent);
        let answer = emulator.answer();
        assert_eq!(answer["logits"], expected.as_str(), "{}, picture {i}", board.name);
        ticks = ticks.max(answer["ticks"].as_u64().unwrap());
        stack = stack.max(answer["stack"].as_u64().unwrap());
        loop_ticks = answer["loop_ticks"].as_u64().unwrap();
    }
    // The clock counts instructions: the board's loop of four million must take as many.
    let per_tick = 1000.0 / board.megahertz;
    assert!((loop_ticks as f64 * per_tick / 4e6 - 1.0).abs() < 0.01, "{loop_ticks} ticks");
    let instructions = ticks as f64 * per_tick / 1e6;
    let flash = flash_bytes(&program);
    writeln!(
        std::io::stderr(),
        "{:16} {instructions:6.2} M instructions · RAM {:5} B (arena and scratch {memory}, stack {stack}) · flash {flash} B (plan {})",
        board.name,
        memory + stack as usize,
        size("bytes"),
    )
    .expect("standard error");
    assert!(instructions <= board.limit, "{instructions} M instructions");
    assert!(
        memory + stack as usize <= RAM_LIMIT && flash <= FLASH_LIMIT,
        "{stack} B of stack, {flash} of flash"
    );
    // What `converter export` says of the program beside the plan.
    assert!(flash as usize <= size("flash_needed"), "{flash} B of flash");
    assert!(memory + stack as usize <= size("ram_needed"), "{stack} B of stack");
}

fn sample() -> usize {
    std::env::var("FOLDNET_FIRMWARE_IMAGES").map_or(50, |n| n.parse().expect("a number of images"))
}

#[test]
fn kernels_pass_the_shared_tests_on_emulated_processors() {
    if !available() {
        return;
    }
    for board in BOARDS.iter().filter(|b| b.name != "qemu-mps2-an500") {
        let program = build(board, "kernel-tests", &format!("kernel-tests,{}", board.name), None);
        let mut emulator = Command::new("qemu-system-arm");
        emulator.args(["-M", board.machine, "-display", "none", "-monitor", "none"]);
        emulator.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(&program);
        let out = emulator.output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
        write!(std::io::stderr(), "{}:\n{said}", board.name).expect("standard error");
        assert!(out.status.success() && said.contains("passed, 0 failed"), "{}", board.name);
    }
}

#[test]
fn boards_give_the_hosts_bits() {
    if !available() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    for board in &BOARDS {
        check(board, &archive, sample(), folder.path());
    }
}

/// Boards that no emulator has: their programs link, within the part's memories, and start where the part
/// looks for them.
#[test]
fn real_boards_link() {
    if !available() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [archive, plan] = ["resnet8.nnef.tgz", "pico2.plan"].map(|name| folder.path().join(name));
    made_up(&archive);
    let paths = [&archive, &plan].map(|p| p.to_str().unwrap());
    converter(&[
        "export",
        "--plan",
        "cortex-m33",
        "--flash",
        "4096",
        "--ram",
        "512",
        paths[0],
        "-o",
        paths[1],
    ]);
    let pico = Board {
        name: "rp2350-pico2",
        machine: "",
        target: "thumbv8m.main-none-eabihf",
        processor: "cortex-m33",
        megahertz: 0.0,
        limit: 0.0,
    };
    let segments = segments(&build(&pico, pico.name, pico.name, Some(&plan)));
    let (flash, ram) = (0x1000_0000..0x1040_0000, 0x2000_0000..0x2008_0000);
    for s in &segments {
        assert!(s.bytes.is_empty() || flash.contains(&(s.stored_at + s.bytes.len() as u32 - 1)));
        let end = s.runs_at + s.size.max(1) - 1;
        assert!(flash.contains(&end) || ram.contains(&end), "{:x}…{end:x}", s.runs_at);
    }
    // The RP2350's boot ROM wants an image definition, which starts with this word, in the first 4 kB.
    let mut start: Vec<_> = segments.iter().filter(|s| s.stored_at < flash.start + 4096).collect();
    start.sort_by_key(|s| s.stored_at);
    assert_eq!(start[0].stored_at, flash.start, "no vectors");
    let marker = 0xffff_ded3_u32.to_le_bytes();
    let found = start.iter().any(|s| {
        let reach = (flash.start + 4096 - s.stored_at) as usize;
        s.bytes[..s.bytes.len().min(reach)].chunks(4).any(|word| word == marker)
    });
    assert!(found, "no image definition");
}
