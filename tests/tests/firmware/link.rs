//! `boards` at one end of a serial line, an emulated board at the other.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use foldnet_image::Image;
use foldnet_tests::root;

use crate::boards::{BOARDS, available};
use crate::emulator::qemu;
use crate::network::{built, host, run};

/// A board that runs until this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A board on a terminal of the host, as a serial adapter makes one; the terminal's name.
fn on_a_terminal() -> (Running, String) {
    let board = &BOARDS[0];
    let mut child = qemu(board, &built(board).program)
        .args(["-monitor", "none", "-serial", "pty"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // "char device redirected to /dev/pts/3 (label serial0)"
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let name = line.split_whitespace().find(|word| word.starts_with("/dev/")).expect(&line).to_owned();
    (Running(child), name)
}

#[test]
fn boards_classify_and_bench_over_a_serial_line() {
    if !available() {
        return;
    }
    let (_board, port) = on_a_terminal();
    let names = ["bird_1.png", "frog_1.png", "truck_1.png"];
    let images: Vec<_> = names.iter().map(|n| root().join("tests/pictures").join(n)).collect();
    let labels = crate::boards::folder().join("labels.txt");
    std::fs::write(&labels, (0..10).map(|i| format!("label {i}\n")).collect::<String>()).unwrap();
    let mut arguments =
        vec!["classify", "--port", &port, "--wait", "300", "--labels", labels.to_str().unwrap()];
    arguments.extend(images.iter().map(|i| i.to_str().unwrap()));
    let said = run("boards", &arguments);
    let mut host = host();
    assert_eq!(said.lines().count(), images.len(), "{said}");
    for (line, image) in said.lines().zip(&images) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let logits = host.run(Image::open(image).unwrap().rgb());
        let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        assert_eq!(line["index"], best, "{line}");
        assert_eq!(line["label"], format!("label {best}"), "{line}");
    }

    let said: serde_json::Value =
        serde_json::from_str(&run("boards", &["bench", "--port", &port, "--wait", "300"])).unwrap();
    assert_eq!((&said["runs"], &said["lost"]), (&5.into(), &0.into()), "{said}");
    // 40 instructions to a tick; the network has twelve million products, two to an instruction at best.
    assert!(said["ticks_median"].as_u64().unwrap() > 6_000_000 / 40, "{said}");
}
