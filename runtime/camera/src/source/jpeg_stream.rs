//! JPEG files one behind the other, with or without something between them: motion JPEG on standard
//! input (`rpicam-vid --codec mjpeg -o -`) and in `multipart/x-mixed-replace`.
//!
//! Part headers lie often enough (missing or wrong lengths, boundaries that differ from the announced
//! one), while a JPEG says itself where it ends. So only the pictures are looked at:
//! ```text
//! FF D8  (FF marker, length, segment)…  FF DA, length, segment, scan data, …  FF D9
//! ```
//! Segments are skipped by their length, so a thumbnail within one does not count. A new `FF D8` in
//! scan data means that the picture before was cut: it is dropped, and the new one taken.

use std::io::BufRead;
use std::time::Instant;

use super::{Source, SourceError};
use foldnet_image::ImageError;
use foldnet_image::frame::Frame;

/// The longest JPEG.
pub const MAX_JPEG: usize = 16 << 20;
/// The most bytes between two.
const MAX_GAP: usize = 1 << 20;

/// Where in a JPEG the reader is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Before one; the last byte was FF.
    Gap {
        ff: bool,
    },
    /// A marker is next.
    Marker,
    /// FF was read, its code is next.
    Code,
    /// The two bytes of a segment's length are next; `scan`: scan data follow it.
    High {
        scan: bool,
    },
    Low {
        scan: bool,
        high: u8,
    },
    /// So many bytes of a segment are left.
    Segment {
        scan: bool,
        left: usize,
    },
    /// In scan data.
    Scan,
    /// In scan data, behind FF.
    ScanFf,
}

/// What a byte did.
#[derive(Debug, PartialEq)]
enum Event {
    More,
    /// The picture is whole.
    Whole,
    /// The picture was none, or cut.
    Broken,
}

/// Cuts a byte stream into JPEGs.
pub struct Splitter {
    state: State,
    gap: usize,
    jpeg: Vec<u8>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { state: State::Gap { ff: false }, gap: 0, jpeg: Vec::new() }
    }
}

impl Splitter {
    /// Takes bytes until something happens; how many it took, and what happened.
    fn take(&mut self, bytes: &[u8]) -> (usize, Event) {
        for (i, &byte) in bytes.iter().enumerate() {
            match self.byte(byte) {
                Event::More => {}
                event => return (i + 1, event),
            }
        }
        (bytes.len(), Event::More)
    }

    fn begin(&mut self) {
        self.jpeg.clear();
        self.jpeg.extend([0xff, 0xd8]);
        (self.state, self.gap) = (State::Marker, 0);
    }

    fn byte(&mut self, byte: u8) -> Event {
        if let State::Gap { ff } = self.state {
            if ff && byte == 0xd8 {
                self.begin();
                return Event::More;
            }
            self.state = State::Gap { ff: byte == 0xff };
            self.gap += 1;
            return Event::More;
        }
        self.jpeg.push(byte);
        let lost = |s: &mut Self| {
            s.state = State::Gap { ff: byte == 0xff };
            Event::Broken
        };
        self.state = match (self.state, byte) {
            _ if self.jpeg.len() > MAX_JPEG => return lost(self),
            (State::Marker, 0xff) | (State::Code, 0xff) => State::Code,
            (State::Marker, _) => return lost(self),
            (State::Code, 0xd8) => {
                self.begin();
                return Event::Broken;
            }
            (State::Code | State::ScanFf, 0xd9) => {
                self.state = State::Gap { ff: false };
                return Event::Whole;
            }
            (State::Code, 0x00) => return lost(self),
            // Restart markers and TEM have no length.
            (State::Code, 0x01 | 0xd0..=0xd7) => State::Marker,
            (State::Code, code) => State::High { scan: code == 0xda },
            (State::High { scan }, high) => State::Low { scan, high },
            (State::Low { scan, high }, low) => match usize::from(u16::from_be_bytes([high, low])) {
                0 | 1 => return lost(self),
                2 => after(scan),
                n => State::Segment { scan, left: n - 2 },
            },
            (State::Segment { scan, left: 1 }, _) => after(scan),
            (State::Segment { scan, left }, _) => State::Segment { scan, left: left - 1 },
            (State::Scan, 0xff) | (State::ScanFf, 0xff) => State::ScanFf,
            (State::Scan, _) => State::Scan,
            (State::ScanFf, 0xd8) => {
                self.begin();
                return Event::Broken;
            }
            (State::ScanFf, 0x00 | 0xd0..=0xd7) => State::Scan,
            (State::ScanFf, code) => State::High { scan: code == 0xda },
            (State::Gap { .. }, _) => self.state,
        };
        Event::More
    }

    /// Reads until there is a picture in `frame`.
    pub fn next(&mut self, from: &mut impl BufRead, frame: &mut Frame) -> Result<(), SourceError> {
        loop {
            let bytes = match from.fill_buf() {
                Ok([]) if self.state == (State::Gap { ff: false }) => return Err(SourceError::End),
                Ok([]) => {
                    self.state = State::Gap { ff: false };
                    return Err(SourceError::Frame(ImageError::Cut.into()));
                }
                Ok(bytes) => bytes,
                Err(e) => match e.kind() {
                    std::io::ErrorKind::Interrupted => continue,
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                        return Err(SourceError::Nothing);
                    }
                    _ => return Err(SourceError::lost(e)),
                },
            };
            let (taken, event) = self.take(bytes);
            from.consume(taken);
            match event {
                Event::More if self.gap > MAX_GAP => {
                    self.gap = 0;
                    return Err(SourceError::unusable(format!(
                        "no JPEG in {} kB of the stream",
                        MAX_GAP >> 10
                    )));
                }
                Event::More => {}
                Event::Broken => return Err(SourceError::Frame(ImageError::Cut.into())),
                Event::Whole => {
                    frame.is_jpeg();
                    std::mem::swap(&mut frame.bytes, &mut self.jpeg);
                    frame.captured = Instant::now();
                    frame.number += 1;
                    return Ok(());
                }
            }
        }
    }
}

fn after(scan: bool) -> State {
    if scan { State::Scan } else { State::Marker }
}

/// JPEGs in a byte stream.
pub struct Jpegs<R> {
    from: R,
    splitter: Splitter,
}

impl<R: BufRead> Jpegs<R> {
    /// See the module.
    pub fn new(from: R) -> Self {
        Self { from, splitter: Splitter::default() }
    }
}

impl<R: BufRead + Send> Source for Jpegs<R> {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        self.splitter.next(&mut self.from, frame)
    }

    fn describe(&self) -> String {
        "motion JPEG".into()
    }
}

/// Test pictures for the sources' tests.
#[cfg(test)]
pub mod testing {
    use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

    /// A JPEG of one colour.
    pub fn jpeg(width: u32, height: u32, grey: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let rgb = vec![grey; (3 * width * height) as usize];
        JpegEncoder::new(&mut bytes).write_image(&rgb, width, height, ExtendedColorType::Rgb8).unwrap();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::testing::jpeg;
    use super::*;
    use proptest::prelude::*;

    /// Grey values of the frames in a stream, and how many were broken.
    fn read(bytes: &[u8]) -> (Vec<u8>, usize) {
        let mut source = Jpegs::new(bytes);
        let (mut frame, mut greys, mut broken) = (Frame::default(), Vec::new(), 0);
        loop {
            match source.next(&mut frame) {
                Ok(()) if frame.develop().is_ok() => greys.push(frame.bytes[0]),
                Ok(()) | Err(SourceError::Frame(_)) => broken += 1,
                Err(_) => return (greys, broken),
            }
        }
    }

    #[test]
    fn pictures_are_found_whatever_stands_between() {
        let (a, b) = (jpeg(9, 7, 40), jpeg(16, 16, 200));
        assert_eq!(read(&[a.clone(), b.clone()].concat()), (vec![40, 200], 0));
        let part = |jpeg: &[u8], length: &str| {
            [b"\r\n--nonsense\r\nContent-Length: ", length.as_bytes(), b"\r\n\r\n", jpeg].concat()
        };
        assert_eq!(read(&[part(&a, "3"), part(&b, "99999999")].concat()), (vec![40, 200], 0));
    }

    #[test]
    fn a_thumbnail_does_not_end_the_picture() {
        let inner = jpeg(8, 8, 1);
        let length = (inner.len() as u16 + 2).to_be_bytes();
        let outer = jpeg(8, 8, 90);
        let bytes = [&outer[..2], &[0xff, 0xe1], &length, &inner, &outer[2..]].concat();
        assert_eq!(read(&bytes), (vec![90], 0));
    }

    #[test]
    fn a_cut_picture_is_dropped_and_the_next_taken() {
        let (a, b) = (jpeg(32, 32, 40), jpeg(8, 8, 200));
        for keep in 3..a.len() - 1 {
            // Where the cut falls upon a length, up to 64 KiB of what follows are swallowed.
            let enough = (1 << 16) / b.len() + 3;
            let (greys, _) = read(&[a[..keep].to_vec(), b.repeat(enough)].concat());
            assert!(greys.iter().all(|&g| g == 200) && greys.len() > 1, "cut at {keep}: {greys:?}");
        }
    }

    #[test]
    fn tables_that_motion_jpeg_leaves_out_are_supplied() {
        // Without its DHT segments, as many USB cameras deliver.
        let whole = jpeg(16, 16, 77);
        let mut bytes = whole[..2].to_vec();
        let mut at = 2;
        while whole[at + 1] != 0xda {
            let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
            if whole[at + 1] != 0xc4 {
                bytes.extend(&whole[at..end]);
            }
            at = end;
        }
        bytes.extend(&whole[at..]);
        assert!(bytes.len() < whole.len() - 200);
        assert_eq!(read(&bytes), (vec![77], 0));
    }

    proptest! {
        #[test]
        fn no_bytes_crash_or_hang_the_splitter(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            keep in any::<prop::sample::Index>(),
        ) {
            let mut bytes = [jpeg(24, 24, 40), jpeg(8, 8, 200)].concat();
            for (at, value) in edits {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(keep.index(bytes.len() + 1));
            let (greys, broken) = read(&bytes);
            prop_assert!(greys.len() + broken <= bytes.len());
        }
    }
}
