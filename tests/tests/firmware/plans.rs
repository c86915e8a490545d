//! Plans that must not run: damaged, of another version, for another processor, too large.

use std::path::PathBuf;

use foldnet_plan::crc32;

use crate::boards::{BOARDS, available, folder};
use crate::emulator::Emulator;
use crate::network::{Built, built};

/// Where things stand in a plan's header.
const VERSION_AT: usize = 4;
const CRC_AT: usize = 8;
const ARENA_AT: usize = 20;
const SET_AT: usize = 48;

/// The program with its plan changed in place, as flash that has lost bits, or was written by halves.
fn with(name: &str, built: &Built, change: impl Fn(&mut [u8])) -> PathBuf {
    let (mut elf, plan) = (std::fs::read(&built.program).unwrap(), std::fs::read(&built.plan).unwrap());
    let at = elf.windows(plan.len()).position(|w| w == plan).expect("the plan stands in the program");
    change(&mut elf[at..at + plan.len()]);
    let path = folder().join(format!("{name}.elf"));
    std::fs::write(&path, elf).unwrap();
    path
}

/// The same with a checksum that fits.
fn sealed(change: impl Fn(&mut [u8])) -> impl Fn(&mut [u8]) {
    move |plan| {
        change(plan);
        let sum = crc32(&plan[CRC_AT + 4..]);
        plan[CRC_AT..CRC_AT + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

#[test]
fn a_board_refuses_a_plan_that_it_cannot_run_and_says_why() {
    if !available() {
        return;
    }
    let board = &BOARDS[0];
    let built = built(board);
    let last = std::fs::read(&built.plan).unwrap().len() - 1;
    let programs = [
        ("damaged", with("bit", built, |plan| plan[last / 2] ^= 4)),
        ("damaged", with("erased", built, |plan| plan[last - 999..].fill(0xff))),
        ("damaged", with("sum", built, |plan| plan[CRC_AT] ^= 1)),
        ("plan version", with("version", built, sealed(|plan| plan[VERSION_AT] += 1))),
        ("plan for other processor", with("set", built, sealed(|plan| plan[SET_AT] ^= 1))),
        ("plan too large", with("arena", built, sealed(|plan| plan[ARENA_AT + 2] += 1))),
    ];
    for (why, program) in programs {
        let emulator = Emulator::start(board, &program);
        assert_eq!(emulator.answer()["error"], why, "{}", program.display());
    }
}
