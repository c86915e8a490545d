//! A program as a UF2 file, which the boot loader of a Pico 2 takes by copying.
//!
//! Blocks of 512 bytes: a header of eight words, 256 bytes of the program, zeros, and a closing word. The
//! magic numbers and the layout are those of Microsoft's UF2 specification.

const MAGIC: [u32; 2] = [0x0a32_4655, 0x9e5d_5157];
const MAGIC_END: u32 = 0x0ab1_6f30;
const HAS_FAMILY: u32 = 0x2000;
const PAYLOAD: usize = 256;
/// ELF's number for the processors.
const ARM: usize = 40;

/// Why a program cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Uf2Error {
    /// Not a 32-bit little-endian ELF program for Arm.
    #[error("not a 32-bit ELF program for Arm")]
    NotElf,
    /// Its headers point outside of it.
    #[error("the program file is incomplete")]
    Cut,
    /// Nothing in it is to be stored.
    #[error("the program contains nothing to store")]
    Empty,
}

/// The pieces of an ELF program that are stored: address in flash, and bytes.
pub fn segments(elf: &[u8]) -> Result<Vec<(u32, &[u8])>, Uf2Error> {
    let half = |at: usize| u16::from_le_bytes([elf[at], elf[at + 1]]) as usize;
    if elf.len() < 52 || !elf.starts_with(b"\x7fELF\x01\x01") || half(18) != ARM {
        return Err(Uf2Error::NotElf);
    }
    let word = |at: usize| elf.get(at..at + 4).map(|b| u32::from_le_bytes(b.try_into().expect("four bytes")));
    let (table, size, count) = (word(28).ok_or(Uf2Error::Cut)? as usize, half(42), half(44));
    let mut segments = Vec::new();
    for i in 0..count {
        let at = table.checked_add(i * size).ok_or(Uf2Error::Cut)?;
        let get = |n: usize| word(at + 4 * n).ok_or(Uf2Error::Cut);
        // Type 1 is loaded; words: offset 1, physical address 3, bytes in the file 4.
        if get(0)? == 1 && get(4)? > 0 {
            let start = get(1)? as usize;
            let end = start.checked_add(get(4)? as usize).ok_or(Uf2Error::Cut)?;
            segments.push((get(3)?, elf.get(start..end).ok_or(Uf2Error::Cut)?));
        }
    }
    segments.sort_by_key(|s| s.0);
    if segments.is_empty() { Err(Uf2Error::Empty) } else { Ok(segments) }
}

/// The file for this family of chips.
pub fn uf2(elf: &[u8], family: u32) -> Result<Vec<u8>, Uf2Error> {
    // Whole pages, since the boot loader erases and writes them so; two segments may share one.
    let mut pages = std::collections::BTreeMap::<u32, [u8; PAYLOAD]>::new();
    for (address, bytes) in segments(elf)? {
        for (i, &byte) in bytes.iter().enumerate() {
            let at = address.checked_add(i as u32).ok_or(Uf2Error::Cut)?;
            let page = pages.entry(at & !(PAYLOAD as u32 - 1)).or_insert([0; PAYLOAD]);
            page[at as usize % PAYLOAD] = byte;
        }
    }
    let count = pages.len() as u32;
    let mut file = Vec::with_capacity(512 * pages.len());
    for (number, (address, page)) in (0..).zip(pages) {
        let header = [MAGIC[0], MAGIC[1], HAS_FAMILY, address, PAYLOAD as u32, number, count, family];
        header.iter().for_each(|w| file.extend(w.to_le_bytes()));
        file.extend(page);
        file.resize(file.len() + 476 - PAYLOAD, 0);
        file.extend(MAGIC_END.to_le_bytes());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of these segments: file offset is where they are put.
    fn elf(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut elf = b"\x7fELF\x01\x01".to_vec();
        elf.resize(52, 0);
        elf[18] = ARM as u8;
        elf[28..32].copy_from_slice(&52u32.to_le_bytes());
        elf[42..44].copy_from_slice(&32u16.to_le_bytes());
        elf[44..46].copy_from_slice(&(segments.len() as u16).to_le_bytes());
        let mut at = 52 + 32 * segments.len() as u32;
        for (address, bytes) in segments {
            let n = bytes.len() as u32;
            [1, at, 0x2000_0000, *address, n, n, 5, 4].iter().for_each(|w: &u32| elf.extend(w.to_le_bytes()));
            at += n;
        }
        segments.iter().for_each(|(_, bytes)| elf.extend(*bytes));
        elf
    }

    #[test]
    fn pages_are_whole_and_in_order() {
        let long: Vec<u8> = (0..300).map(|i| i as u8).collect();
        // The second segment begins in the page in which the first ends.
        let program = elf(&[(0x1000_0140, &[7, 8]), (0x1000_0000, &long)]);
        let file = uf2(&program, 0xe48b_ff59).unwrap();
        assert_eq!(file.len(), 2 * 512);
        let word =
            |block: usize, n: usize| u32::from_le_bytes(file[512 * block + 4 * n..][..4].try_into().unwrap());
        for block in 0..2 {
            assert_eq!([word(block, 0), word(block, 1), word(block, 127)], [MAGIC[0], MAGIC[1], MAGIC_END]);
            assert_eq!([word(block, 5), word(block, 6), word(block, 7)], [block as u32, 2, 0xe48b_ff59]);
            assert_eq!(word(block, 3), 0x1000_0000 + 256 * block as u32);
        }
        assert_eq!(file[32..288], long[..256]);
        assert_eq!(file[512 + 32..][..44], long[256..]);
        assert_eq!(file[512 + 32 + 0x40..][..3], [7, 8, 0]);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert_eq!(uf2(b"nonsense", 1), Err(Uf2Error::NotElf));
        assert_eq!(uf2(&elf(&[]), 1), Err(Uf2Error::Empty));
        let whole = elf(&[(0x1000_0000, &[1; 64])]);
        for cut in 52..whole.len() {
            assert_eq!(uf2(&whole[..cut], 1), Err(Uf2Error::Cut), "{cut}");
        }
    }
}
