//! Detects a JPEG that ends before its image does. The decoder would fill the rest with grey.
//!
//! ITU-T T.81, annex B: markers are `FF xx`; a length (big endian, including itself) follows most of them. After a
//! start of scan (`FF DA`) and its header come entropy-coded bytes, in which `00` or a restart marker (`D0…D7`)
//! follows each `FF`; any other marker ends them. A complete image ends with `FF D9`.

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;

/// Returns whether `bytes` start as a JPEG but lack its end.
pub fn is_cut(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, START_OF_IMAGE]) && find_end(bytes).is_none()
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        let marker = next_marker(bytes, &mut at)?;
        match marker {
            END_OF_IMAGE => return Some(at),
            // These markers have no segment, or they separate entropy-coded bytes.
            0x00 | 0x01 | 0xd0..=START_OF_IMAGE => {}
            _ => {
                let length = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
                // The decoder reports lengths below 2.
                at += usize::from(length.max(2));
                if marker == START_OF_SCAN && at > bytes.len() {
                    return None;
                }
            }
        }
    }
}

/// Returns the byte after the next `FF` that is not itself `FF`; moves `at` past it.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    let start = *at + bytes.get(*at..)?.iter().position(|&b| b == 0xff)?;
    let code = start + bytes[start..].iter().position(|&b| b != 0xff)?;
    *at = code + 1;
    Some(bytes[code])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_found_where_they_are() {
        let whole =
            b"\xff\xd8\xff\xe1\x00\x06\xff\xd9ab\xff\xda\x00\x03\x01data\xff\x00\xff\xd3more\xff\xd9tail";
        assert!(!is_cut(whole));
        // Not the end marker inside the application segment (a thumbnail's).
        for keep in 2..whole.len() - 4 {
            assert!(is_cut(&whole[..keep]), "{keep}");
        }
        assert!(!is_cut(b"BM"));
        assert!(is_cut(b"\xff\xd8"));
    }
}
