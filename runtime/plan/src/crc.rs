//! The checksum of plans and frames: CRC-32/ISO-HDLC.

/// Returns the checksum of `bytes`.
///
/// ```
/// assert_eq!(foldnet_plan::crc32(b"123456789"), 0xcbf4_3926);
/// ```
pub fn crc32(bytes: &[u8]) -> u32 {
    #[cfg(feature = "alloc")]
    return crc32fast::hash(bytes);
    #[cfg(not(feature = "alloc"))]
    return small(bytes);
}

/// Processes half bytes with a table of 64 bytes: firmware has no room for the fast tables (16 kB).
#[cfg(any(test, not(feature = "alloc")))]
fn small(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let mut crc = i as u32;
            let mut bit = 0;
            while bit < 4 {
                crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    let step = |crc: u32, nibble: u32| (crc >> 4) ^ TABLE[((crc ^ nibble) & 15) as usize];
    !bytes.iter().fold(!0, |crc, &b| step(step(crc, b.into()), u32::from(b) >> 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn small_and_fast_agree(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(small(&bytes), crc32fast::hash(&bytes));
        }
    }
}
