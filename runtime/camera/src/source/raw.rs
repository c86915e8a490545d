//! Frames one behind the other, without headers: `rpicam-vid --codec yuv420 -o -`,
//! `ffmpeg … -f rawvideo -`. Size and format must be told.

use std::io::Read;
use std::time::Instant;

use super::{Source, SourceError, Wishes, fill};
use foldnet_image::frame::{Colors, Format, Frame};

/// See the module.
pub struct Raw<R> {
    from: R,
    format: Format,
    size: (usize, usize),
    colors: Colors,
}

impl<R: Read> Raw<R> {
    /// Frames of this format.
    pub fn new(from: R, format: Format, wishes: &Wishes) -> Result<Self, SourceError> {
        let size = wishes.size.ok_or_else(|| SourceError::unusable("raw video needs --size"))?;
        Frame::bytes_for(format, size.0, size.1).map_err(SourceError::unusable)?;
        Ok(Self { from, format, size, colors: wishes.colors(Colors::default()) })
    }
}

impl<R: Read + Send> Source for Raw<R> {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        let (width, height) = self.size;
        let bytes = frame.shape(self.format, width, height, self.colors)?;
        if !fill(&mut self.from, bytes)? {
            return Err(SourceError::End);
        }
        frame.captured = Instant::now();
        frame.number += 1;
        Ok(())
    }

    fn describe(&self) -> String {
        format!("raw {} {}×{}", self.format.name(), self.size.0, self.size.1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream;
    use super::*;

    #[test]
    fn frames_come_whole_or_not_at_all() {
        let wishes = Wishes { size: Some((3, 2)), format: Some(Format::I420), ..Wishes::default() };
        // 6 bytes of Y, 2 of U, 2 of V.
        let video: Vec<u8> = (0..25).collect();
        let mut source = stream(std::io::Cursor::new(video), &wishes).unwrap();
        let mut frame = Frame::default();
        for n in 0..2 {
            source.next(&mut frame).unwrap();
            assert_eq!(frame.bytes, (10 * n..10 * n + 10).collect::<Vec<u8>>());
            frame.develop().unwrap();
        }
        let end = source.next(&mut frame).unwrap_err().to_string();
        assert!(end.contains("5 bytes before its end"), "{end}");
    }

    #[test]
    fn size_must_be_told_and_possible() {
        let open = |size| {
            let wishes = Wishes { size, format: Some(Format::Rgb), ..Wishes::default() };
            stream(std::io::empty(), &wishes).map(|_| ()).unwrap_err().to_string()
        };
        assert!(open(None).contains("--size"));
        assert!(open(Some((0, 4))).contains("0×4"));
        assert!(open(Some((8192, 8192))).contains("8192×8192"));
    }
}
