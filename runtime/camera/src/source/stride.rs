//! Whether the rows of raw video are padded, told by its content.
//!
//! `rpicam-vid` pads rows to 64 bytes and says so nowhere. Read without the padding, such frames are sheared
//! and their colours are wrong, and nothing fails. Two things tell the right row length `s` from others:
//! ```text
//! rows(s)   = mean |a − b| over pixels a, b one below the other, in all planes
//! frames(s) = mean |a − b| over the same pixel of two frames, frame_bytes(s) apart
//! ```
//! Both are small for the right one only. A first frame whose rows fit best as they were asked for is
//! taken at once. Where padded ones fit better, a second frame must not say otherwise (slanted stripes look
//! padded by their rows alone), or the stream must end with a whole frame of that size.

use std::io::Read;

use super::{SourceError, fill};
use foldnet_image::frame::{Format, Frame};

/// Rows are padded to a multiple of one of these.
const ALIGNMENTS: [usize; 4] = [16, 32, 64, 128];
/// So much smaller a difference must be to count.
const CLEARLY: f64 = 0.7;

/// Raw frames of one size.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Their pixels.
    pub format: Format,
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Where a plane lies in a frame: its first byte, bytes from row to row, rows, and bytes of a row that count.
type Plane = (usize, usize, usize, usize);

impl Shape {
    /// Bytes of a row without padding.
    pub fn row(&self) -> usize {
        self.format.row_bytes(self.width)
    }

    /// Bytes of a frame with rows of this length.
    pub fn bytes(&self, stride: usize) -> usize {
        self.format.frame_bytes(self.width, self.height, stride)
    }

    /// Longer rows that programs make, as far as their frames are not too large.
    fn padded(&self) -> Vec<usize> {
        let row = self.row();
        let mut all: Vec<usize> = ALIGNMENTS.iter().map(|&to| row.next_multiple_of(to)).collect();
        all.dedup();
        all.retain(|&stride| {
            stride > row && Frame::padded_bytes(self.format, self.width, self.height, stride).is_ok()
        });
        all
    }

    /// The row lengths with which so many bytes are whole frames.
    pub fn dividing(&self, bytes: u64) -> Vec<usize> {
        let mut all = self.padded();
        all.retain(|&stride| bytes.is_multiple_of(self.bytes(stride) as u64));
        all
    }

    fn planes(&self, stride: usize) -> Vec<Plane> {
        let (h, row) = (self.height, self.row());
        let (half, rows) = (stride.div_ceil(2), h.div_ceil(2));
        let whole = (0, stride, h, row);
        match self.format {
            Format::Nv12 => vec![whole, (stride * h, stride, rows, row)],
            Format::I420 | Format::I422 => {
                let rows = if self.format == Format::I420 { rows } else { h };
                // Without padding, planes of an odd width are as close as they can be.
                let u = stride * h;
                let visible = self.width.div_ceil(2);
                vec![whole, (u, half, rows, visible), (u + half * rows, half, rows, visible)]
            }
            Format::I444 => (0..3).map(|plane| (plane * stride * h, stride, h, row)).collect(),
            _ => vec![whole],
        }
    }

    /// The mean difference of pixels one below the other, in the first frame as far as it is there.
    fn rows(&self, stride: usize, bytes: &[u8]) -> f64 {
        let mut mean = Mean::default();
        for (start, stride, rows, visible) in self.planes(stride) {
            for y in 1..rows {
                let at = start + y * stride;
                if let (Some(above), Some(below)) =
                    (bytes.get(at - stride..at - stride + visible), bytes.get(at..at + visible))
                {
                    mean.add(above, below);
                }
            }
        }
        mean.value()
    }

    /// The mean difference of the first frame and the second, as far as it is there.
    fn frames(&self, stride: usize, bytes: &[u8]) -> f64 {
        let mut mean = Mean::default();
        let frame = self.bytes(stride);
        for (start, stride, rows, visible) in self.planes(stride) {
            for y in 0..rows {
                let at = start + y * stride;
                if let (Some(first), Some(second)) =
                    (bytes.get(at..at + visible), bytes.get(at + frame..at + frame + visible))
                {
                    mean.add(first, second);
                }
            }
        }
        mean.value()
    }

    /// The padding that this start of a stream seems to have by its rows alone.
    fn suspect(&self, start: &[u8]) -> Option<usize> {
        let as_asked = self.rows(self.row(), start);
        let others = self.padded().into_iter().map(|stride| (stride, self.rows(stride, start)));
        let (stride, rows) = others.min_by(|a, b| a.1.total_cmp(&b.1))?;
        (rows < CLEARLY * as_asked).then_some(stride)
    }

    /// Reads as much of a stream as is needed to tell how long its rows are: what was read, and the length.
    pub fn detect(&self, from: &mut impl Read) -> Result<(Vec<u8>, usize), SourceError> {
        let row = self.row();
        let mut start = vec![0; self.bytes(row)];
        let have = fill(from, &mut start)?;
        start.truncate(have);
        let Some(padded) = self.suspect(&start).filter(|_| have == self.bytes(row)) else {
            return Ok((start, row));
        };
        let two = 2 * self.bytes(padded);
        start.resize(two, 0);
        let have = have + fill(from, &mut start[have..])?;
        start.truncate(have);
        let whole = |stride| have.is_multiple_of(self.bytes(stride));
        let is_padded = if have < two {
            whole(padded) && !whole(row)
        } else {
            self.frames(row, &start) >= CLEARLY * self.frames(padded, &start)
        };
        Ok((start, if is_padded { padded } else { row }))
    }
}

#[derive(Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Mean {
    fn add(&mut self, a: &[u8], b: &[u8]) {
        self.sum += a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum::<u64>();
        self.count += a.len() as u64;
    }

    fn value(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}

#[cfg(test)]
pub mod testing {
    //! Raw video as programs write it.

    use super::Shape;

    /// Frames whose visible bytes are given by plane, column, row and frame, and whose padding is `margin`.
    pub fn video(
        shape: Shape,
        stride: usize,
        frames: usize,
        margin: u8,
        byte: impl Fn(usize, usize, usize, usize) -> u8,
    ) -> Vec<u8> {
        let mut all = Vec::new();
        for n in 0..frames {
            let mut frame = vec![margin; shape.bytes(stride)];
            for (plane, (start, stride, rows, visible)) in shape.planes(stride).into_iter().enumerate() {
                for y in 0..rows {
                    for x in 0..visible {
                        frame[start + y * stride + x] = byte(plane, x, y, n);
                    }
                }
            }
            all.extend(frame);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::testing::video;
    use super::*;

    const SIZES: [(usize, usize); 5] = [(224, 224), (80, 60), (780, 360), (100, 50), (66, 48)];
    const FORMATS: [Format; 7] =
        [Format::I420, Format::Nv12, Format::Yuyv, Format::I422, Format::I444, Format::Rgb, Format::Grey];

    /// The length that is found, of every size and format at each padding that it can have.
    fn each(byte: impl Fn(usize, usize, usize, usize) -> u8 + Copy, frames: usize, margin: u8) {
        for (width, height) in SIZES {
            for format in FORMATS {
                let shape = Shape { format, width, height };
                for stride in [vec![shape.row()], shape.padded()].concat() {
                    let bytes = video(shape, stride, frames, margin, byte);
                    let (start, found) = shape.detect(&mut &bytes[..]).unwrap();
                    assert_eq!(found, stride, "{format:?} {width}×{height} margin {margin}, {frames} frames");
                    assert_eq!(start, bytes[..start.len()]);
                }
            }
        }
    }

    #[test]
    fn one_colour_tells_by_its_margin() {
        each(|plane, _, _, _| [81, 90, 240][plane], 6, 16);
        each(|plane, _, _, _| [81, 90, 240][plane], 1, 0);
    }

    #[test]
    fn a_scene_tells_by_itself() {
        // Edges, slopes and a little noise; it moves.
        let scene = |plane: usize, x: usize, y: usize, n: usize| {
            let noise = (x * 7919 + y * 104_729 + n * 31 + plane) * 40_503 / 128 % 8;
            let edge = if ((x + n) / 40).is_multiple_of(2) { 60 } else { 0 };
            (50 + x / 8 + y / 6 + edge + noise).min(255) as u8
        };
        each(scene, 4, 0);
        each(scene, 4, 128);
    }

    #[test]
    fn slanted_stripes_are_no_padding() {
        // Each row is the one above moved by 16: the rows alone look like those of 96 bytes.
        let shape = Shape { format: Format::Grey, width: 80, height: 61 };
        let stripes = |_, x: usize, y: usize, _| if ((x + 16 * y) / 24).is_multiple_of(2) { 220 } else { 20 };
        for frames in [1, 2, 5] {
            let bytes = video(shape, 80, frames, 0, stripes);
            assert_eq!(shape.detect(&mut &bytes[..]).unwrap().1, 80, "{frames} frames");
        }
    }

    #[test]
    fn nothing_is_waited_for_when_rows_fit() {
        let shape = Shape { format: Format::I420, width: 80, height: 60 };
        let bytes = video(shape, 80, 3, 0, |plane, x, y, _| (plane * 50 + x + y) as u8);
        assert_eq!(shape.detect(&mut &bytes[..]).unwrap().0.len(), shape.bytes(80));
    }

    #[test]
    fn whole_frames_name_their_row_length() {
        let shape = Shape { format: Format::I420, width: 224, height: 224 };
        let six = 6 * shape.bytes(256) as u64;
        assert_eq!((shape.dividing(six), shape.dividing(six + 1)), (vec![256], vec![]));
    }
}
