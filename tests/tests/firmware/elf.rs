//! What a linked program consists of.

use std::path::Path;

/// A loadable piece of a program: where it is stored, its bytes there, where it runs, its size there.
pub struct Segment {
    pub stored_at: u32,
    pub bytes: Vec<u8>,
    pub runs_at: u32,
    pub size: u32,
}

/// A program's pieces, from its headers.
pub fn segments(program: &Path) -> Vec<Segment> {
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
pub fn flash_bytes(program: &Path) -> u32 {
    segments(program).iter().map(|s| s.bytes.len() as u32).sum()
}
