//! From an archive to microcontrollers: emulated ones classify as the host does, a Pico 2 gets its UF2
//! file, and probe-rs gets its arguments.
//!
//! Where QEMU or the targets are missing the test says so and does nothing, or fails if
//! `FOLDNET_REQUIRE_FIRMWARE` is set. `FOLDNET_EMULATED=later` leaves them to another run.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::Outcome;
use foldnet::Session;
use foldnet_archive::testing::{manifest, resnet8};
use foldnet_image::{Image, fit};
use foldnet_kernels::dispatch;

/// One of each target; that all of them give the host's bits is tested in `tests/`.
const EMULATED: [&str; 2] = ["qemu-mps2-an386", "qemu-mps3-an547"];
const PICTURES: [&str; 4] = ["airplane_1.png", "bird_1.png", "cat_1.png", "truck_1.png"];

/// Whether the tools are there; says what is missing, or that somebody runs these tests later.
fn available() -> bool {
    if std::env::var_os("FOLDNET_EMULATED").is_some_and(|when| when == "later") {
        writeln!(std::io::stderr(), "LATER, as FOLDNET_EMULATED says").expect("standard error");
        return false;
    }
    let mut missing = Vec::new();
    let mut qemu = Command::new("qemu-system-arm");
    if !qemu.arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success()) {
        missing.push("qemu-system-arm");
    }
    for target in ["thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"] {
        let out = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
        let folder = out.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default();
        if !Path::new(&folder).is_dir() {
            missing.push(target);
        }
    }
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("FOLDNET_REQUIRE_FIRMWARE").is_none(), "missing: {missing:?}");
    writeln!(std::io::stderr(), "SKIPPED: no {}", missing.join(", no ")).expect("standard error");
    false
}

/// A ResNet-8 in an archive.
fn archive(folder: &Path) -> PathBuf {
    let path = folder.join("resnet8.nnef.tgz");
    let mut manifest = manifest();
    (manifest.input.height, manifest.input.width) = (32, 32);
    manifest.labels = (0..10).map(|i| format!("label {i}")).collect();
    foldnet_archive::write(&path, &resnet8(), &manifest).unwrap();
    path
}

fn boards() -> Command {
    let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
    boards.arg("--json");
    boards
}

fn pictures() -> impl Iterator<Item = PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pictures");
    PICTURES.iter().map(move |name| folder.join(name))
}

#[test]
fn emulated_ones_classify_as_the_host_does() {
    if !available() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let (network, manifest) = foldnet_archive::read(&archive).unwrap();
    let mut session = Session::new(&network, dispatch::best(), 1).unwrap();
    let mut here = |path: &PathBuf| {
        session.run(&fit(&Image::open(path).unwrap(), &manifest.input)).iter().map(|v| v.to_bits()).collect()
    };
    let expected: Vec<Vec<u32>> = pictures().map(|p| here(&p)).collect();
    assert_ne!(expected[0], expected[1], "the pictures must differ");
    for name in EMULATED {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut run = boards();
        run.args(["run", name]).arg(&archive).args(["--serial-port", &port]).stdout(Stdio::piped());
        let mut run = run.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let mut classify = boards();
        classify.arg("classify").args(pictures()).args(["--wait", "120", "--port"]);
        let out = Outcome::of({
            classify.arg(ready["port"].as_str().unwrap());
            classify
        });
        let mut bench = boards();
        bench.args(["bench", "--runs", "1", "--wait", "120", "--port"]).arg(ready["port"].as_str().unwrap());
        let bench = Outcome::of(bench);
        run.kill().unwrap();
        run.wait().unwrap();
        out.done();
        for (answer, expected) in out.json.iter().zip(&expected) {
            let bits = |v: &serde_json::Value| (v.as_f64().unwrap() as f32).to_bits();
            let logits: Vec<u32> = answer["logits"].as_array().unwrap().iter().map(bits).collect();
            assert_eq!(&logits, expected, "{name}: {answer}");
        }
        assert_eq!(out.json.len(), PICTURES.len());
        assert!(bench.done()["ticks_median"].as_u64().unwrap() > 0);
    }
}

#[test]
fn a_pico_gets_its_file_or_its_probe() {
    if !available() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = archive(folder.path());
    let drive = folder.path().join("RP2350");
    fs::create_dir(&drive).unwrap();
    let flash = |arguments: &[&str]| {
        let mut boards = boards();
        boards.args(["flash", "rp2350-pico2"]).arg(&archive).args(arguments);
        // What probe-rs is called with, in place of a probe.
        boards.env("PATH", format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap()));
        Outcome::of(boards)
    };
    let to_drive = ["--drive", drive.to_str().unwrap()];
    assert_eq!(flash(&to_drive).code, 2, "a folder is no drive");
    fs::write(drive.join("INFO_UF2.TXT"), "UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\n").unwrap();
    let out = flash(&to_drive);
    assert_eq!(out.done()["by"], "uf2");
    let file = fs::read(drive.join("foldnet.uf2")).unwrap();
    assert!(file.len().is_multiple_of(512) && file.len() > 512 * 256, "{} bytes", file.len());
    // Put together again, the blocks are the program's loaded segments, which begin where the flash does.
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let mut flash_bytes = std::collections::BTreeMap::new();
    let count = file.len() / 512;
    for block in 0..count {
        let at = 512 * block;
        assert_eq!([word(at), word(at + 4), word(at + 508)], [0x0a32_4655, 0x9e5d_5157, 0x0ab1_6f30]);
        // A family is named, and it is the RP2350's Arm side in its secure state.
        assert_eq!([word(at + 8), word(at + 28)], [0x2000, 0xe48b_ff59]);
        assert_eq!([word(at + 16), word(at + 20), word(at + 24)], [256, block as u32, count as u32]);
        assert_eq!(word(at + 12) % 256, 0);
        let page = (0..256).map(|i| (word(at + 12) + i, file[at + 32 + i as usize]));
        flash_bytes.extend(page);
    }
    assert_eq!(flash_bytes.keys().next(), Some(&0x1000_0000));
    assert!(flash_bytes.keys().all(|&at| at < 0x1000_0000 + (4096 << 10)), "beyond the flash");
    let program = out.done()["program"].as_str().unwrap().to_owned();
    // A program that is built already goes as it is.
    let mut again = boards();
    again.args(["flash", "rp2350-pico2", &program]).args(to_drive);
    assert_eq!(Outcome::of(again).done()["program"], program.as_str());
    assert_eq!(fs::read(drive.join("foldnet.uf2")).unwrap(), file);
    let program = fs::read(program).unwrap();
    for (address, bytes) in foldnet_boards::uf2::segments(&program).unwrap() {
        assert!(bytes.iter().enumerate().all(|(i, byte)| flash_bytes[&(address + i as u32)] == *byte));
    }
    // The vector table: the stack lies in RAM, the first instruction in flash, in Thumb.
    let vector = |n: u32| u32::from_le_bytes([0, 1, 2, 3].map(|i| flash_bytes[&(0x1000_0000 + 4 * n + i)]));
    assert!((0x2000_0000..=0x2008_2000).contains(&vector(0)), "{:x}", vector(0));
    assert!((0x1000_0000..0x1040_0000).contains(&vector(1)) && vector(1) & 1 == 1, "{:x}", vector(1));

    let probe = folder.path().join("probe-rs");
    let calls = folder.path().join("calls");
    fs::write(&probe, format!("#!/bin/sh\necho \"$@\" >>{}\n", calls.display())).unwrap();
    fs::set_permissions(&probe, fs::Permissions::from_mode(0o755)).unwrap();
    let out = flash(&[]);
    assert_eq!(out.done()["by"], "probe-rs");
    let program = out.done()["program"].as_str().unwrap();
    let expected = format!("download --chip RP235x {program}\nreset --chip RP235x\n");
    assert_eq!(fs::read_to_string(&calls).unwrap(), expected);
    fs::write(&probe, "#!/bin/sh\necho no probe >&2; exit 1\n").unwrap();
    assert_eq!(flash(&[]).code, 4);
}
