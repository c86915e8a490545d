//! Boards that no emulator has: their programs link, within the part's memories.

use std::io::Write;
use std::ops::Range;

use foldnet_catalogue::find;

use crate::boards::{Board, available, build, folder};
use crate::elf::{Segment, segments};
use crate::network::{converter, made_up};

/// A part, and its programs.
struct Part {
    board: Board,
    /// Binaries and what they want beside the board's feature.
    programs: &'static [(&'static str, &'static str)],
}

const fn board(name: &'static str, target: &'static str, processor: &'static str) -> Board {
    Board { name, machine: "", target, processor, megahertz: 0.0, limit: 0.0 }
}

const PARTS: [Part; 3] = [
    Part {
        board: board("rp2350-pico2", "thumbv8m.main-none-eabihf", "cortex-m33"),
        programs: &[("rp2350-pico2", ""), ("rp2350-pico2-camera", ",camera,defmt")],
    },
    Part {
        board: board("stm32f746g-disco", "thumbv7em-none-eabihf", "cortex-m7"),
        programs: &[("stm32f746g-disco", "")],
    },
    Part {
        board: board("nrf52840-dk", "thumbv7em-none-eabihf", "cortex-m4"),
        programs: &[("nrf52840-dk", "")],
    },
];

/// The least stack that a program must have left: many times what the emulated ones use.
const STACK: u32 = 16 << 10;

/// Boards that no emulator has: their programs link, within the part's memories, with room for a stack, and
/// start where the part looks for them.
#[test]
fn real_boards_link() {
    if !available() {
        return;
    }
    let archive = folder().join("made-up.nnef.tgz");
    made_up(&archive);
    for part in &PARTS {
        let plan = folder().join(format!("{}.plan", part.board.name));
        let paths = [&archive, &plan].map(|p| p.to_str().unwrap());
        let name = part.board.name;
        let sizes = converter(&["export", "--board", name, paths[0], "-o", paths[1]]);
        let memories = find(name).unwrap().mcu.unwrap().memories().expect("it has firmware");
        let [flash, ram]: [Range<u32>; 2] = memories.map(|m| m.at..m.at + m.bytes);
        for (binary, features) in part.programs {
            let program = build(&part.board, binary, &format!("{name}{features}"), Some(&plan));
            let segments = segments(&program);
            let (mut statics, mut stored) = (ram.start, 0);
            for s in &segments {
                let end = s.stored_at + s.bytes.len() as u32;
                assert!(s.bytes.is_empty() || flash.contains(&(end - 1)), "{binary}: {end:x} in flash");
                stored += s.bytes.len();
                let end = s.runs_at + s.size;
                assert!(s.size == 0 || flash.contains(&(end - 1)) || ram.contains(&(end - 1)));
                if ram.contains(&s.runs_at) {
                    statics = statics.max(end);
                }
            }
            let stack = ram.end - statics;
            let memory = statics - ram.start;
            if *binary == name {
                is_in_the_catalogue(name, &sizes, stored, memory);
            }
            writeln!(
                std::io::stderr(),
                "{binary:20} flash {stored:6} B · statics {memory:6} B · stack {stack:6} B"
            )
            .expect("standard error");
            assert!(stack >= STACK, "{binary}: {stack} B left for the stack");
            let first = segments.iter().filter(|s| !s.bytes.is_empty()).map(|s| s.stored_at).min();
            assert_eq!(first, Some(flash.start), "{binary}: no vectors");
            if name.starts_with("rp2350") {
                has_an_image_definition(&segments, flash.start);
            }
        }
    }
}

/// What the catalogue says that a board's firmware takes beside plan and arena, which `boards fit` goes by.
fn is_in_the_catalogue(name: &str, sizes: &serde_json::Value, flash: usize, statics: u32) {
    let firmware = find(name).unwrap().mcu.unwrap().firmware.unwrap();
    let size = |key: &str| sizes[key].as_u64().unwrap() as usize;
    let own = [flash - size("bytes"), statics as usize - size("arena_bytes")];
    for (said, own) in [firmware.flash_kb, firmware.ram_kb].into_iter().zip(own) {
        let said = said.expect("a measured size") as usize;
        // A little is left to compilers.
        let right = own.div_ceil(1024)..=own.div_ceil(1024) + 1;
        assert!(right.contains(&said), "{name}: {said} kB in the catalogue, {own} B in the program");
    }
}

/// The RP2350's boot ROM wants an image definition, which starts with this word, in the first 4 kB.
fn has_an_image_definition(segments: &[Segment], flash: u32) {
    let marker = 0xffff_ded3_u32.to_le_bytes();
    let found = segments.iter().filter(|s| s.stored_at < flash + 4096).any(|s| {
        let reach = (flash + 4096 - s.stored_at) as usize;
        s.bytes[..s.bytes.len().min(reach)].chunks(4).any(|word| word == marker)
    });
    assert!(found, "no image definition");
}
