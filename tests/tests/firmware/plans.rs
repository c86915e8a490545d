//! Plans that must not run: damaged in flash. What the header says of version, processor and memory is
//! known when the program is linked around the plan, so the compiler decides it; `foldnet-plan` tests it.

use std::path::PathBuf;

use crate::boards::{BOARDS, available, folder};
use crate::emulator::Emulator;
use crate::network::{Built, built};

/// Where the checksum stands in a plan's header.
const CRC_AT: usize = 8;

/// The program with its plan changed in place, as flash that has lost bits, or was written by halves.
fn with(name: &str, built: &Built, change: impl Fn(&mut [u8])) -> PathBuf {
    let (mut elf, plan) = (std::fs::read(&built.program).unwrap(), std::fs::read(&built.plan).unwrap());
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
    let last = std::fs::read(&built.plan).unwrap().len() - 1;
    let programs = [
        ("damaged", with("bit", built, |plan| plan[last / 2] ^= 4)),
        ("damaged", with("erased", built, |plan| plan[last - 999..].fill(0xff))),
        ("damaged", with("sum", built, |plan| plan[CRC_AT] ^= 1)),
    ];
    for (why, program) in programs {
        let emulator = Emulator::start(board, &program);
        assert_eq!(emulator.answer()["error"], why, "{}", program.display());
    }
}
