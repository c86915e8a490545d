//! Plans that must not run: refused when a program is built around them, or, when flash holds another plan
//! than the program was built around, at its start.

use std::path::{Path, PathBuf};

use crate::boards::{BOARDS, available, build, folder, refusal};
use crate::emulator::Emulator;
use crate::network::built;

/// Where things stand in a plan's header, and the first step's kind behind it.
const VERSION_AT: usize = 4;
const CRC_AT: usize = 8;
const ARENA_AT: usize = 20;
const SET_AT: usize = 48;
const STEP_AT: usize = 128;

/// More than any board's memory.
const TOO_LARGE: [u8; 4] = (8_u32 << 20).to_le_bytes();

/// The checksum of what the plan has become, as a tool that writes such a plan would give it.
fn sum(plan: &mut [u8]) {
    let crc = foldnet_plan::crc32(&plan[CRC_AT + 4..]);
    plan[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Changes of a plan, and what the board says of each.
type Change = (&'static str, fn(&mut [u8]));

const CHANGES: [Change; 7] = [
    ("damaged", |plan| plan[plan.len() / 2] ^= 4),
    // As a flash that was written by halves.
    ("damaged", |plan| plan.iter_mut().rev().take(999).for_each(|byte| *byte = 0xff)),
    ("damaged", |plan| plan[CRC_AT] ^= 1),
    ("plan version", |plan| plan[VERSION_AT] += 1),
    ("plan for other processor", |plan| {
        plan[SET_AT..SET_AT + 6].copy_from_slice(b"helium");
        sum(plan);
    }),
    ("plan too large", |plan| {
        plan[ARENA_AT..ARENA_AT + 4].copy_from_slice(&TOO_LARGE);
        sum(plan);
    }),
    ("plan not valid", |plan| {
        plan[STEP_AT] = 0x7f;
        sum(plan);
    }),
];

/// The program with its plan changed in place.
fn with(name: &str, program: &Path, plan: &[u8], change: fn(&mut [u8])) -> PathBuf {
    let mut elf = std::fs::read(program).unwrap();
    let at = elf.windows(plan.len()).position(|w| w == plan).expect("the plan stands in the program");
    change(&mut elf[at..at + plan.len()]);
    let path = folder().join(format!("{name}.elf"));
    std::fs::write(&path, elf).unwrap();
    path
}

#[test]
fn a_board_refuses_a_plan_that_it_cannot_run_and_says_why() {
    if !available() {
        return;
    }
    let board = &BOARDS[0];
    let built = built(board);
    let plan = std::fs::read(&built.plan).unwrap();
    for (i, (why, change)) in CHANGES.into_iter().enumerate() {
        let emulator = Emulator::start(board, &with(&format!("changed-{i}"), &built.program, &plan, change));
        assert_eq!(emulator.answer()["error"], why, "change {i}");
    }
    // A watchdog that nobody feeds starts the board again, and it says so again.
    let watched = build(board, "qemu-camera", "qemu-mps2-an386,simulated", Some(&built.plan));
    let (why, change) = CHANGES[0];
    let emulator = Emulator::start(board, &with("watched", &watched, &plan, change));
    for _ in 0..2 {
        assert_eq!(emulator.answer()["error"], why);
    }
}

#[test]
fn no_program_is_built_around_a_plan_that_its_board_cannot_run() {
    if !available() {
        return;
    }
    let board = &BOARDS[0];
    let plan = std::fs::read(&built(board).plan).unwrap();
    let refused = |name: &str, plan: &[u8]| {
        let path = folder().join(format!("{name}.plan"));
        std::fs::write(&path, plan).unwrap();
        refusal(board, &path)
    };
    let says = [
        "is damaged",
        "is damaged",
        "is damaged",
        "this build reads version",
        "the plan is for `helium`, but QEMU mps2-an386 needs `dsp`",
        "kB RAM, QEMU mps2-an386 has 4096 kB",
    ];
    for (i, (says, (_, change))) in says.into_iter().zip(CHANGES).enumerate() {
        let mut changed = plan.clone();
        change(&mut changed);
        let said = refused(&format!("changed-{i}"), &changed);
        assert!(said.contains(says), "change {i}: {said}");
    }
    let said = refused("cut", &plan[..plan.len() / 2]);
    assert!(said.contains("length does not match its header"), "{said}");
}
