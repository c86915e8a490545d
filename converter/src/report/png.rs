//! Small images for the report: PNG as a data URI.
//!
//! The blocks are stored without compression: a thumbnail has a few kilobytes, and an encoder of forty lines needs
//! no further dependency. W3C, *Portable Network Graphics (Second edition)*, 2003; RFC 1950 and 1951.

use foldnet_kernels::Shape;

use crate::image::Pixels;

/// The largest width and height of a thumbnail.
const SIDE: usize = 64;

/// Encodes an image of 1, 3 or 4 channels (the fourth is left out), reduced if necessary, as
/// `data:image/png;base64,…`.
pub fn thumbnail(image: &Pixels) -> String {
    let (Shape { h: height, w: width, c: channels }, pixels) = (image.shape(), image.values());
    let step = height.max(width).div_ceil(SIDE).max(1);
    let (h, w) = (height.div_ceil(step), width.div_ceil(step));
    let kept = if channels < 3 { 1 } else { 3 };
    let mut rows = Vec::with_capacity(h * (1 + w * kept));
    for y in 0..h {
        rows.push(0); // no filter
        for x in 0..w {
            let from = (y * step * width + x * step) * channels;
            rows.extend_from_slice(&pixels[from..from + kept]);
        }
    }
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = |n: usize| (n as u32).to_be_bytes();
    let colour = if kept == 1 { 0 } else { 2 };
    chunk(&mut png, b"IHDR", &[&size(w)[..], &size(h), &[8, colour, 0, 0, 0]].concat());
    chunk(&mut png, b"IDAT", &zlib(&rows));
    chunk(&mut png, b"IEND", &[]);
    format!("data:image/png;base64,{}", base64(&png))
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc(&png[start..]);
    png.extend(sum.to_be_bytes());
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, &b| {
        crc ^= u32::from(b);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1));
        }
        crc
    })
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = data.chunks(65_535);
    let last = blocks.len().saturating_sub(1);
    for (i, block) in blocks.enumerate() {
        let n = block.len() as u16;
        out.push(u8::from(i == last));
        out.extend(n.to_le_bytes());
        out.extend((!n).to_le_bytes());
        out.extend(block);
    }
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), &v| {
        let a = (a + u32::from(v)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let word = part.iter().chain([0, 0].iter()).take(3).fold(0u32, |w, &b| (w << 8) | u32::from(b));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i)) as usize & 63] as char;
            text.push(if i <= part.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_and_digits_as_published() {
        // The check values of RFC 4648, of CRC-32/ISO-HDLC, and zlib's stream for "a".
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
        assert_eq!((base64(b"f"), base64(b"fo")), ("Zg==".into(), "Zm8=".into()));
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(zlib(b"a"), [0x78, 1, 1, 1, 0, 0xfe, 0xff, b'a', 0, 0x62, 0, 0x62]);
    }

    #[test]
    fn a_large_image_becomes_small_and_keeps_its_colours() {
        let pixels: Vec<u8> = [7, 8, 9].repeat(224 * 200);
        let uri = thumbnail(&Pixels::new(Shape::new(200, 224, 3), pixels).unwrap());
        // 50 rows of 56 pixels: signature, IHDR, IDAT with one stored block, IEND.
        let bytes = 8 + 25 + (12 + 2 + 5 + 50 * (1 + 56 * 3) + 4) + 12_usize;
        assert_eq!(uri.len(), "data:image/png;base64,".len() + bytes.div_ceil(3) * 4);
        assert!(uri.contains("BwgJBwgJ"), "the pixels, three bytes to four digits");
    }
}
