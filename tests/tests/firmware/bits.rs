//! The emulated boards have the host's kernels and give the host's answers, bit for bit.

use std::io::Write;
use std::process::Command;

use crate::boards::{BOARDS, Board, available, build};
use crate::elf::flash_bytes;
use crate::emulator::{Emulator, frame};
use crate::network::{Built, built, host, logits, pictures};

/// The most memory (arena, scratch, stack) and flash that ResNet-8's program may take, in bytes.
const RAM_LIMIT: usize = 36_000;
const FLASH_LIMIT: u32 = 95_000;

fn check(board: &Board, n: usize) {
    let Built { program, sizes, .. } = built(board);
    let size = |key: &str| sizes[key].as_u64().unwrap() as usize;
    let memory = size("arena_bytes");
    let names = std::fs::read(program).unwrap();
    let has = |name: &str| names.windows(name.len()).any(|w| w == name.as_bytes());
    assert!(!has("panicking"), "{}: the program can panic", board.name);

    let (mut host, mut emulator) = (host(), Emulator::start(board, program));
    assert_eq!(emulator.answer()["board"], board.name);
    let (mut ticks, mut stack, mut loop_ticks, mut lost) = (0, 0, 0, 0);
    for (i, picture) in pictures(n).iter().enumerate() {
        let expected = logits(&mut host, picture);
        let sent = frame(picture);
        if i % 16 == 1 {
            // A frame cut short, and one with a byte changed: told and counted, and the next one arrives.
            let mut changed = sent.clone();
            changed[100] ^= if changed[100] == 1 { 2 } else { 1 };
            for bad in [[&sent[..sent.len() / 2], &[0]].concat(), changed] {
                emulator.send(&bad);
                let mut answer = emulator.answer();
                lost += 1;
                while answer["lost"] != lost {
                    // A changed length byte may have split the frame.
                    assert_eq!(answer["error"], "damaged");
                    lost += 1;
                    answer = emulator.answer();
                }
                assert_eq!(answer["error"], "damaged");
            }
        }
        emulator.send(&sent);
        let answer = emulator.answer();
        assert_eq!(answer["logits"], expected.as_str(), "{}, picture {i}", board.name);
        assert_eq!(answer["lost"], lost, "{}, picture {i}", board.name);
        ticks = ticks.max(answer["ticks"].as_u64().unwrap());
        stack = stack.max(answer["stack"].as_u64().unwrap());
        loop_ticks = answer["loop_ticks"].as_u64().unwrap();
    }
    // The clock counts instructions: the board's loop of four million must take as many.
    let per_tick = 1000.0 / board.megahertz;
    assert!((loop_ticks as f64 * per_tick / 4e6 - 1.0).abs() < 0.01, "{loop_ticks} ticks");
    let instructions = ticks as f64 * per_tick / 1e6;
    let flash = flash_bytes(program);
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
    std::thread::scope(|scope| {
        for board in BOARDS.iter().filter(|b| b.name != "qemu-mps2-an500") {
            let program = build(board, "kernel-tests", &format!("kernel-tests,{}", board.name), None);
            scope.spawn(move || {
                let mut emulator = Command::new("qemu-system-arm");
                emulator.args(["-M", board.machine, "-display", "none", "-monitor", "none"]);
                emulator.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(&program);
                let out = emulator.output().unwrap();
                let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
                write!(std::io::stderr(), "{}:\n{said}", board.name).expect("standard error");
                assert!(out.status.success() && said.contains("passed, 0 failed"), "{}", board.name);
            });
        }
    });
}

#[test]
fn boards_give_the_hosts_bits() {
    if !available() {
        return;
    }
    std::thread::scope(|scope| {
        for board in &BOARDS {
            scope.spawn(|| check(board, sample()));
        }
    });
}
