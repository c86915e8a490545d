//! YUV4MPEG2, as `ffmpeg … -f yuv4mpegpipe -` writes it.
//!
//! ```text
//! YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n
//! FRAME\n <bytes of Y, U, V>  FRAME\n …
//! ```
//! Headers have no length and frames no checksum: where `FRAME` does not stand, where a frame should
//! begin, there is no way back into step, and the stream is at its end.

use std::io::{BufRead, Read};
use std::time::Instant;

use super::{Source, SourceError, Wishes, fill};
use foldnet_image::frame::{Colors, Format, Frame, Range};

/// The longest header line.
const MAX_LINE: u64 = 4096;

/// See the module.
pub struct Y4m<R> {
    from: R,
    format: Format,
    size: (usize, usize),
    colors: Colors,
    /// Bytes of an alpha plane behind each frame.
    alpha: usize,
}

fn line(from: &mut impl BufRead) -> Result<String, SourceError> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line).map_err(SourceError::lost)?;
    match line.pop() {
        None => Err(SourceError::End),
        Some(b'\n') => {
            String::from_utf8(line).map_err(|_| SourceError::unusable("Y4M: a header that is no text"))
        }
        Some(_) => Err(SourceError::unusable("Y4M: a header line without an end")),
    }
}

impl<R: BufRead> Y4m<R> {
    /// Reads the header.
    pub fn new(mut from: R, wishes: &Wishes) -> Result<Self, SourceError> {
        let header = line(&mut from)?;
        let mut words = header.split_ascii_whitespace();
        if words.next() != Some("YUV4MPEG2") {
            return Err(SourceError::unusable("not Y4M"));
        }
        let (mut width, mut height) = (0, 0);
        let (mut chroma, mut range) = ("420jpeg", Range::Limited);
        for word in words {
            let number =
                || word[1..].parse().map_err(|_| SourceError::unusable(format!("Y4M: {word} is no number")));
            match word.as_bytes()[0] {
                b'W' => width = number()?,
                b'H' => height = number()?,
                b'C' => chroma = &word[1..],
                _ if word == "XCOLORRANGE=FULL" => range = Range::Full,
                _ => {}
            }
        }
        let (format, has_alpha) = match chroma {
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => (Format::I420, false),
            "422" => (Format::I422, false),
            "444" => (Format::I444, false),
            "444alpha" => (Format::I444, true),
            "mono" => (Format::Grey, false),
            other => {
                return Err(SourceError::unusable(format!(
                    "Y4M: colour {other} is not understood (420, 422, 444 and mono of 8 bits are)"
                )));
            }
        };
        Frame::bytes_for(format, width, height).map_err(SourceError::unusable)?;
        let colors = wishes.colors(Colors { range, ..Colors::default() });
        let alpha = if has_alpha { width * height } else { 0 };
        Ok(Self { from, format, size: (width, height), colors, alpha })
    }
}

impl<R: BufRead + Send> Source for Y4m<R> {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        let header = line(&mut self.from)?;
        if header.split_ascii_whitespace().next() != Some("FRAME") {
            return Err(SourceError::unusable("Y4M: out of step, no FRAME where one should begin"));
        }
        let (width, height) = self.size;
        let bytes = frame.shape(self.format, width, height, self.colors)?;
        let (have, need) = (fill(&mut self.from, bytes)?, bytes.len());
        if have < need {
            let missing = need - have;
            return Err(SourceError::unusable(format!(
                "the input ends within a frame, {missing} bytes before its end"
            )));
        }
        let alpha = std::io::copy(&mut (&mut self.from).take(self.alpha as u64), &mut std::io::sink());
        if alpha.map_err(SourceError::lost)? != self.alpha as u64 {
            return Err(SourceError::unusable("the input ends within a frame, in its alpha plane"));
        }
        frame.captured = Instant::now();
        frame.number += 1;
        Ok(())
    }

    fn describe(&self) -> String {
        format!("Y4M {} {}×{}", self.format.name(), self.size.0, self.size.1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream;
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    fn open(bytes: &[u8]) -> Result<Box<dyn Source>, SourceError> {
        stream(Cursor::new(bytes.to_vec()), &Wishes::default())
    }

    fn video() -> Vec<u8> {
        let mut bytes = b"YUV4MPEG2 W4 H2 F30:1 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL\n".to_vec();
        for n in 0..3 {
            bytes.extend(b"FRAME\n");
            bytes.extend([n * 10 + 100; 8]);
            bytes.extend([128; 4]);
        }
        bytes
    }

    #[test]
    fn frames_follow_the_header() {
        let mut source = open(&video()).unwrap();
        let mut frame = Frame::default();
        for n in 0..3 {
            source.next(&mut frame).unwrap();
            frame.develop().unwrap();
            // Full range, no colour: grey is Y.
            assert_eq!(frame.picture().unwrap().rgb(), [n * 10 + 100; 24]);
        }
        assert!(matches!(source.next(&mut frame), Err(SourceError::End)));
    }

    #[test]
    fn alpha_is_skipped_and_grey_is_grey() {
        let mut bytes = b"YUV4MPEG2 W2 H1 C444alpha\n".to_vec();
        bytes.extend(b"FRAME Ip\n\x01\x02\x80\x80\x80\x80\xff\xff");
        bytes.extend(b"FRAME\n\x03\x04\x80\x80\x80\x80\xff\xff");
        let mut source = open(&bytes).unwrap();
        let mut frame = Frame::default();
        for first in [1, 3] {
            source.next(&mut frame).unwrap();
            assert_eq!((frame.format, frame.bytes[0]), (Format::I444, first));
        }
        let mut source = open(b"YUV4MPEG2 H2 W1 Cmono\nFRAME\n\x07\x09").unwrap();
        source.next(&mut frame).unwrap();
        assert_eq!(frame.picture().unwrap().rgb(), [7, 7, 7, 9, 9, 9]);
    }

    #[test]
    fn bad_headers_are_refused_by_what_is_wrong() {
        for (header, word) in [
            ("YUV4MPEG2 W4 H2 C420p10\n", "420p10"),
            ("YUV4MPEG2 W4 H0\n", "4×0"),
            ("YUV4MPEG2 W99999 H99999\n", "99999"),
            ("YUV4MPEG2 W99999999999999999999999 H2\n", "no number"),
            ("YUV4MPEG2 W-4 H2\n", "no number"),
            ("YUV4MPEG2 W4 H", "without an end"),
            ("YUV4MPEG3 W4 H2\n", "not Y4M"),
            ("RIFF", "--format"),
        ] {
            let error = open(header.as_bytes()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(word), "{header:?}: {error}");
        }
        assert!(matches!(open(b""), Err(SourceError::End)));
        let long = [b"YUV4MPEG2 X".to_vec(), vec![b'a'; 1 << 20]].concat();
        assert!(open(&long).is_err());
    }

    #[test]
    fn out_of_step_is_an_end_that_says_so() {
        let mut bytes = video();
        let second = 71 + 6 + 12;
        bytes[second] = b'f';
        let mut source = open(&bytes).unwrap();
        let mut frame = Frame::default();
        source.next(&mut frame).unwrap();
        assert!(source.next(&mut frame).unwrap_err().to_string().contains("out of step"));
    }

    proptest! {
        #[test]
        fn no_bytes_crash_or_hang_the_parser(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            keep in any::<prop::sample::Index>(),
        ) {
            let mut bytes = video();
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(keep.index(bytes.len() + 1));
            if let Ok(mut source) = open(&bytes) {
                let mut frame = Frame::default();
                // Each frame takes a byte at least, and each end is final.
                let frames = (0..=bytes.len()).take_while(|_| source.next(&mut frame).is_ok()).count();
                prop_assert!(frames < bytes.len());
            }
        }
    }
}
