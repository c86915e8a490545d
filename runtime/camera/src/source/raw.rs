//! Frames one after the other, without headers: `rpicam-vid --codec yuv420 -o -`,
//! `ffmpeg … -f rawvideo -`. Size and format must be told; whether rows are padded is told by `--stride`, or
//! else by the content, see [`super::stride`].

use std::io::{Cursor, Read};
use std::time::Instant;

use super::stride::Shape;
use super::{Source, SourceError, Wishes, fill};
use foldnet_image::frame::{Colors, Format, Frame};

/// See the module.
pub struct Raw<R> {
    from: R,
    /// What was read ahead to tell how long rows are.
    ahead: Cursor<Vec<u8>>,
    shape: Shape,
    stride: Option<usize>,
    colors: Colors,
    /// Bytes read so far.
    bytes: u64,
}

impl<R: Read> Raw<R> {
    /// Frames of this format.
    pub fn new(from: R, format: Format, wishes: &Wishes) -> Result<Self, SourceError> {
        let (width, height) = wishes.size.ok_or_else(|| SourceError::unusable("raw video needs --size"))?;
        Frame::bytes_for(format, width, height).map_err(SourceError::unusable)?;
        let shape = Shape { format, width, height };
        if let Some(stride) = wishes.stride {
            if stride < shape.row() {
                let (row, name) = (shape.row(), format.name());
                return Err(SourceError::unusable(format!(
                    "--stride {stride}: a row of {width} pixels in {name} has {row} bytes at least"
                )));
            }
            Frame::padded_bytes(format, width, height, stride).map_err(SourceError::unusable)?;
        }
        let colors = wishes.colors(Colors::default());
        Ok(Self { from, ahead: Cursor::default(), shape, stride: wishes.stride, colors, bytes: 0 })
    }

    /// How long rows are; the first time it is found out and, where it is not as expected, told.
    fn stride(&mut self) -> Result<usize, SourceError> {
        if let Some(stride) = self.stride {
            return Ok(stride);
        }
        let (ahead, stride) = self.shape.detect(&mut self.from)?;
        self.ahead = Cursor::new(ahead);
        let row = self.shape.row();
        if stride != row {
            tracing::warn!(
                "the rows look padded from {row} to {stride} bytes, and are read so: --stride {stride} confirms it, \
                 --stride {row} reads them without padding"
            );
        }
        self.stride = Some(stride);
        Ok(stride)
    }

    /// What to say of a stream that ends within a frame.
    fn cut(&self, stride: usize, missing: usize) -> SourceError {
        let Shape { format, width, height } = self.shape;
        let (frame, total, name) = (self.shape.bytes(stride), self.bytes, format.name());
        let padded = self.shape.dividing(total);
        let hint = match padded[..] {
            [only] if only != stride => {
                let frames = total / self.shape.bytes(only) as u64;
                format!("they are {frames} frames of padded rows: try --stride {only}")
            }
            _ => "check --size, --format and --stride".into(),
        };
        SourceError::unusable(format!(
            "the input ends within a frame, {missing} bytes before its end: {total} bytes are no multiple of the \
             {frame} of a frame of {width}×{height} in {name}; {hint}"
        ))
    }
}

impl<R: Read + Send> Source for Raw<R> {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        let stride = self.stride()?;
        let Shape { format, width, height } = self.shape;
        let buffer = frame.shape_padded(format, width, height, stride, self.colors)?;
        let have = fill(&mut Read::chain(&mut self.ahead, &mut self.from), buffer)?;
        let missing = buffer.len() - have;
        self.bytes += have as u64;
        if have == 0 {
            return Err(SourceError::End);
        }
        if missing > 0 {
            return Err(self.cut(stride, missing));
        }
        frame.captured = Instant::now();
        frame.number += 1;
        Ok(())
    }

    fn describe(&self) -> String {
        let Shape { format, width, height } = self.shape;
        let stride = self.stride.map_or(String::new(), |stride| format!(", rows of {stride} bytes"));
        format!("raw {} {width}×{height}{stride}", format.name())
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream;
    use super::super::stride::testing::video;
    use super::*;

    fn open(bytes: Vec<u8>, size: (usize, usize), stride: Option<usize>) -> Box<dyn Source> {
        let wishes = Wishes { size: Some(size), format: Some(Format::I420), stride, ..Wishes::default() };
        stream(Cursor::new(bytes), &wishes).unwrap()
    }

    #[test]
    fn frames_come_whole_or_not_at_all() {
        // 6 bytes of Y, 2 of U, 2 of V.
        let mut source = open((0..25).collect(), (3, 2), None);
        let mut frame = Frame::default();
        for n in 0..2 {
            source.next(&mut frame).unwrap();
            assert_eq!(frame.bytes, (10 * n..10 * n + 10).collect::<Vec<u8>>());
            frame.develop().unwrap();
        }
        let end = source.next(&mut frame).unwrap_err().to_string();
        assert!(end.contains("5 bytes before its end") && end.contains("25 bytes are no multiple"), "{end}");
    }

    #[test]
    fn red_is_red_however_rows_are_padded() {
        for (size, padded) in [((128, 96), 128), ((224, 224), 256), ((80, 60), 128), ((780, 360), 832)] {
            let shape = Shape { format: Format::I420, width: size.0, height: size.1 };
            let red = |plane: usize, _: usize, _: usize, _: usize| [81, 90, 240][plane];
            let bytes = video(shape, padded, 3, 16, red);
            for stride in [None, Some(padded)] {
                let mut source = open(bytes.clone(), size, stride);
                let mut frame = Frame::default();
                for _ in 0..3 {
                    source.next(&mut frame).unwrap();
                    frame.develop().unwrap();
                    let picture = frame.picture().unwrap();
                    assert!(
                        picture.rgb().chunks(3).all(|p| p[0] > 240 && p[1] < 10 && p[2] < 10),
                        "{size:?}"
                    );
                }
                assert!(matches!(source.next(&mut frame), Err(SourceError::End)));
            }
        }
    }

    #[test]
    fn a_wrong_stride_is_named_with_the_right_one() {
        let shape = Shape { format: Format::I420, width: 224, height: 224 };
        let bytes = video(shape, 256, 6, 16, |plane, _, _, _| [81, 90, 240][plane]);
        let mut source = open(bytes, (224, 224), Some(224));
        let mut frame = Frame::default();
        let end = std::iter::repeat_with(|| source.next(&mut frame)).find_map(Result::err).unwrap();
        assert!(end.to_string().contains("6 frames of padded rows: try --stride 256"), "{end}");
    }

    #[test]
    fn size_and_stride_must_be_possible() {
        let open = |size, stride| {
            let wishes = Wishes { size, format: Some(Format::Rgb), stride, ..Wishes::default() };
            stream(std::io::empty(), &wishes).map(|_| ()).unwrap_err().to_string()
        };
        assert!(open(None, None).contains("--size"));
        assert!(open(Some((0, 4)), None).contains("0×4"));
        assert!(open(Some((8192, 8192)), None).contains("8192×8192"));
        assert!(open(Some((10, 4)), Some(29)).contains("30 bytes at least"));
        assert!(open(Some((10, 4)), Some(usize::MAX / 2)).contains("10×4"));
    }
}
