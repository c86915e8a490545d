//! NumPy's `.npy` files: images as one array, `[n, h, w, c]` with 3 channels (RGB) or 1 (grey), C order, of u8 or
//! little-endian f32.
//!
//! ```text
//! \x93NUMPY  major minor  header length (u16, from version 2 on u32, little endian)
//! {'descr': '|u1', 'fortran_order': False, 'shape': (2, 32, 32, 3), }   padded, ends with \n
//! the elements
//! ```
//! The header is read strictly: it must contain these three keys once each and nothing else, and the file must
//! have exactly the length that follows from them. f32 values are pixels, 0…255, and are rounded to nearest, ties
//! to even. An image is refused if it has values outside this range, or fractions and only values between 0 and 1:
//! some preprocessing was already applied to it, and the network would apply it again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::{DatasetError, Source};
use foldnet_image::{Image, ImageError, MAX_SIDE};

/// The first bytes of every such file.
pub(super) const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read.
const MAX_HEADER: usize = 1 << 16;
/// The largest size of one image in bytes.
const MAX_PICTURE: usize = 1 << 29;

pub(super) struct Npy {
    name: String,
    file: Mutex<File>,
    start: u64,
    array: Array,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    U8,
    F32,
}

/// The content of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Array {
    element: Element,
    pictures: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Array {
    fn picture_bytes(&self) -> usize {
        let element = match self.element {
            Element::U8 => 1,
            Element::F32 => 4,
        };
        self.height * self.width * self.channels * element
    }
}

impl Npy {
    pub(super) fn open(path: &Path) -> Result<Self, DatasetError> {
        let io = |source| DatasetError::Io { path: path.into(), source };
        let bad = |message| DatasetError::Format { path: path.into(), message };
        let mut file = foldnet_archive::open_file(path).map_err(io)?;
        let (header, start) = read_header(&mut file).map_err(bad)?;
        let array = parse(&header).map_err(bad)?;
        let length = file.metadata().map_err(io)?.len();
        let expected = (array.picture_bytes() as u64).checked_mul(array.pictures as u64);
        if expected.and_then(|bytes| bytes.checked_add(start)) != Some(length) {
            return Err(bad(format!(
                "the header says {} images of {}×{}×{}, but {} bytes follow it",
                array.pictures,
                array.height,
                array.width,
                array.channels,
                length - start
            )));
        }
        Ok(Self { name: super::file_name(path), file: Mutex::new(file), start, array })
    }
}

impl Source for Npy {
    fn len(&self) -> usize {
        self.array.pictures
    }

    fn name(&self, i: usize) -> String {
        format!("{}[{i}]", self.name)
    }

    fn read(&self, i: usize) -> Result<(Image, Option<usize>), ImageError> {
        let mut bytes = vec![0; self.array.picture_bytes()];
        {
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(self.start + i as u64 * bytes.len() as u64))?;
            file.read_exact(&mut bytes)?;
        }
        let samples = match self.array.element {
            Element::U8 => bytes,
            Element::F32 => to_pixels(&bytes)?,
        };
        let rgb = match self.array.channels {
            1 => samples.into_iter().flat_map(|grey| [grey; 3]).collect(),
            _ => samples,
        };
        Ok((Image::new(self.array.width, self.array.height, rgb).ok_or(ImageError::Empty)?, None))
    }
}

fn to_pixels(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut fractions = false;
    let mut highest = 0.0_f32;
    let mut pixels = Vec::with_capacity(bytes.len() / 4);
    for raw in bytes.chunks_exact(4) {
        let value = f32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
        if !(0.0..=255.0).contains(&value) {
            return Err(ImageError::Damaged(format!("{value} is no pixel value; 0…255 are wanted")));
        }
        fractions |= value.fract() != 0.0;
        highest = highest.max(value);
        pixels.push(value.round_ties_even() as u8);
    }
    if fractions && highest <= 1.0 {
        let message = "its values are 0…1; pixel values, 0…255, are wanted".to_owned();
        return Err(ImageError::Damaged(message));
    }
    Ok(pixels)
}

/// Reads the header's text, and the position at which the elements start.
fn read_header(from: &mut impl Read) -> Result<(String, u64), String> {
    let mut bytes = |n: usize| {
        let mut buffer = vec![0; n];
        from.read_exact(&mut buffer).map(|()| buffer).map_err(|_| "cut within the header".to_owned())
    };
    if bytes(MAGIC.len())? != MAGIC {
        return Err("not a NumPy file".into());
    }
    let version = bytes(2)?;
    let (length, field) = match version[0] {
        1 => (bytes(2)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)), 2),
        2 | 3 => (bytes(4)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)), 4),
        other => return Err(format!("NumPy format {other}; 1 to 3 are understood")),
    };
    if length > MAX_HEADER {
        return Err(format!("a header of {length} bytes"));
    }
    let text = String::from_utf8(bytes(length)?).map_err(|_| "the header is not text")?;
    Ok((text, (MAGIC.len() + 2 + field + length) as u64))
}

fn parse(header: &str) -> Result<Array, String> {
    let (mut element, mut shape, mut ordered) = (None, None, false);
    let mut text = Text(header.trim_end());
    text.expect("{")?;
    while !text.skip("}") {
        let key = text.quoted()?;
        text.expect(":")?;
        match key {
            "descr" if element.is_none() => element = Some(parse_element(text.quoted()?)?),
            "fortran_order" if !ordered => {
                if !text.skip("False") {
                    return Err("the array is in Fortran order; np.ascontiguousarray makes it C".into());
                }
                ordered = true;
            }
            "shape" if shape.is_none() => shape = Some(text.tuple()?),
            other => return Err(format!("the header says {other:?} twice, or should not at all")),
        }
        if !text.skip(",") {
            text.expect("}")?;
            break;
        }
    }
    if !text.0.trim().is_empty() {
        return Err(format!("{:?} behind the header", text.0));
    }
    let (Some(element), Some(shape), true) = (element, shape, ordered) else {
        return Err("the header lacks descr, fortran_order or shape".into());
    };
    let &[pictures, height, width, channels] = shape.as_slice() else {
        return Err(format!("an array of {} dimensions; expected [n, height, width, channels]", shape.len()));
    };
    let side = 1..=MAX_SIDE;
    if !side.contains(&height) || !side.contains(&width) || !matches!(channels, 1 | 3) {
        return Err(format!(
            "images of {height}×{width}×{channels}; expected [n, height, width, channels] with 3 channels or 1"
        ));
    }
    let array = Array { element, pictures, height, width, channels };
    if array.picture_bytes() > MAX_PICTURE {
        return Err(format!("images of {height}×{width}×{channels} are too large"));
    }
    Ok(array)
}

fn parse_element(descr: &str) -> Result<Element, String> {
    match descr {
        "|u1" => Ok(Element::U8),
        "<f4" => Ok(Element::F32),
        other => Err(format!("elements of type {other:?}; u8 ('|u1') and f32 ('<f4') are understood")),
    }
}

/// The unread rest of a Python literal.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn skip(&mut self, word: &str) -> bool {
        match self.0.trim_start_matches(' ').strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.skip(word) {
            return Ok(());
        }
        let here: String = self.0.chars().take(20).collect();
        Err(format!("the header has {here:?} instead of {word:?}"))
    }

    fn quoted(&mut self) -> Result<&'a str, String> {
        let quote = if self.skip("\"") { '"' } else { self.expect("'").map(|()| '\'')? };
        let (word, rest) = self.0.split_once(quote).ok_or("a quote without its end")?;
        self.0 = rest;
        Ok(word)
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut numbers = Vec::new();
        self.expect("(")?;
        while !self.skip(")") {
            self.0 = self.0.trim_start_matches(' ');
            let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = self.0.split_at(digits);
            numbers.push(number.parse().map_err(|_| "the shape is not a tuple of numbers")?);
            self.0 = rest;
            if !self.skip(",") {
                self.expect(")")?;
                break;
            }
            if numbers.len() > 8 {
                return Err("a shape of more than 8 dimensions".into());
            }
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    fn open(bytes: &[u8]) -> Result<Npy, DatasetError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Npy::open(file.path())
    }

    const HEADER: &str = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1, 2, 3), }  \n";

    #[test]
    fn u8_and_f32_and_grey() {
        let file = open(&npy(HEADER, &(0..12).collect::<Vec<u8>>())).unwrap();
        assert_eq!(file.len(), 2);
        assert_eq!(file.read(1).unwrap().0.rgb(), [6, 7, 8, 9, 10, 11]);
        let grey = HEADER.replace("2, 3)", "2, 1)");
        assert_eq!(open(&npy(&grey, &[1, 2, 3, 4])).unwrap().read(1).unwrap().0.rgb(), [3, 3, 3, 4, 4, 4]);
        let floats = HEADER.replace("|u1", "<f4").replace("(2, 1, 2, 3)", "(1, 1, 1, 3)");
        let pixels = |values: [f32; 3]| {
            let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            open(&npy(&floats, &data)).unwrap().read(0).map(|(picture, _)| picture.rgb().to_vec())
        };
        assert_eq!(pixels([0.5, 1.5, 255.0]).unwrap(), [0, 2, 255]);
        assert_eq!(pixels([0.0, 1.0, 1.0]).unwrap(), [0, 1, 1]);
        for refused in [[0.1, 0.9, 1.0], [-1.0, 3.0, 4.0], [256.0, 0.0, 0.0], [f32::NAN, 0.0, 0.0]] {
            assert!(pixels(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let cases = [
            (HEADER.replace("|u1", ">f4"), "type"),
            (HEADER.replace("False", "True"), "Fortran"),
            (HEADER.replace("(2, 1, 2, 3)", "(2, 3, 1, 2)"), "channels"),
            (HEADER.replace("(2, 1, 2, 3)", "(12,)"), "dimensions"),
            (HEADER.replace("(2, 1, 2, 3)", "(3, 1, 2, 3)"), "bytes follow"),
            (HEADER.replace("(2, 1, 2, 3)", "(18446744073709551615, 32768, 2, 3)"), "bytes follow"),
            (HEADER.replace("(2, 1, 2, 3)", "(1, 32768, 32768, 3)"), "too large"),
            (HEADER.replace("(2, 1, 2, 3)", "(2, 1, -2, 3)"), "numbers"),
            (HEADER.replace("(2, 1, 2, 3)", "(99999999999999999999, 1, 2, 3)"), "numbers"),
            (HEADER.replace(", 'shape'", ", 'descr': '|u1', 'shape'"), "twice"),
            (HEADER.replace("'fortran_order': False,", ""), "lacks"),
            (HEADER.replace("}", "} trailing"), "behind"),
            ("import os".into(), "instead of"),
        ];
        for (header, reason) in cases {
            let error = open(&npy(&header, &[0; 12])).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(reason), "{header}: {error}");
        }
        let whole = npy(HEADER, &[0; 12]);
        for keep in 0..whole.len() {
            assert!(open(&whole[..keep]).is_err(), "cut at {keep}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_crash_the_parser(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let mut bytes = npy(HEADER, &[7; 12]);
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(file) = open(&bytes) {
                for i in 0..file.len().min(20) {
                    let _ = file.read(i);
                }
            }
        }

        #[test]
        fn no_text_crashes_the_header_parser(text in "[{}'(),: 0-9a-zé|<]{0,60}") {
            let _ = parse(&text);
        }
    }
}
