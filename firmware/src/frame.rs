//! The sources of images.

use embedded_io::Read;
use foldnet_plan::crc32;

use crate::cobs::{Decoded, Decoder};

/// The reason why an image did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FrameError {
    /// The source's bus or line failed.
    Bus,
    /// Nothing arrived in time.
    Timeout,
    /// The source is absent, or is another part.
    Absent,
    /// A frame was truncated, too long or too short, or its checksum did not match.
    Damaged,
}

/// The progress of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The image is complete.
    Complete,
    /// The image is not complete yet; poll again. The caller feeds its watchdog meanwhile.
    Waiting,
}

/// Fills a buffer with u8 pixels (RGB, row by row), a little at a time. Implementations **must** return after a
/// bounded time, whatever the hardware does, and start over after an error.
pub trait FrameSource {
    /// Continues to fill `pixels`, which is the same buffer until it returns `Complete` or an error.
    fn poll(&mut self, pixels: &mut [u8]) -> Result<Progress, FrameError>;
}

/// Receives images from a computer: COBS frames of the pixels and their CRC-32, little-endian. A damaged frame is
/// reported once, and the next one is found by its delimiter.
pub struct Line<R> {
    line: R,
    decoder: Decoder,
    /// The number of bytes of this frame received so far.
    received: usize,
    /// The frame's last four bytes, which are the checksum once it is complete.
    tail: [u8; 4],
}

impl<R: Read> Line<R> {
    /// Reads from this byte stream, whose `read` waits a bounded time and then returns 0 bytes.
    pub fn new(line: R) -> Self {
        Self { line, decoder: Decoder::new(), received: 0, tail: [0; 4] }
    }

    /// Returns the stream.
    pub fn line(&mut self) -> &mut R {
        &mut self.line
    }

    fn push(&mut self, byte: u8, pixels: &mut [u8]) {
        // The last four bytes are not pixels; bytes that leave the tail are.
        if let Some(place) = self.received.checked_sub(4)
            && let Some(pixel) = pixels.get_mut(place)
        {
            *pixel = self.tail[0];
        }
        self.tail = [self.tail[1], self.tail[2], self.tail[3], byte];
        self.received = self.received.saturating_add(1);
    }
}

impl<R: Read> FrameSource for Line<R> {
    fn poll(&mut self, pixels: &mut [u8]) -> Result<Progress, FrameError> {
        let mut bytes = [0; 32];
        let n = self.line.read(&mut bytes).map_err(|_| FrameError::Bus)?;
        // A frame is answered before the next one is sent, so bytes after a delimiter here are noise, which the
        // checksum of the next frame detects.
        for &byte in bytes.iter().take(n) {
            match self.decoder.push(byte) {
                Decoded::Nothing => {}
                Decoded::Byte(byte) => self.push(byte, pixels),
                end @ (Decoded::End | Decoded::Cut) => {
                    let received = core::mem::take(&mut self.received);
                    let whole = end == Decoded::End && received == pixels.len() + 4;
                    if !whole || crc32(pixels) != u32::from_le_bytes(self.tail) {
                        return Err(FrameError::Damaged);
                    }
                    return Ok(Progress::Complete);
                }
            }
        }
        Ok(Progress::Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cobs::encode;

    fn send(pixels: &[u8]) -> Vec<u8> {
        let mut frame = pixels.to_vec();
        frame.extend(crc32(pixels).to_le_bytes());
        encode(&frame)
    }

    /// Returns all results from the line until it is empty.
    fn receive(line: &[u8], len: usize) -> Vec<Result<Vec<u8>, FrameError>> {
        let (mut source, mut pixels, mut all) = (Line::new(line), vec![0; len], vec![]);
        loop {
            match source.poll(&mut pixels) {
                Ok(Progress::Complete) => all.push(Ok(pixels.clone())),
                Ok(Progress::Waiting) if source.line().is_empty() => return all,
                Ok(Progress::Waiting) => {}
                Err(e) => all.push(Err(e)),
            }
        }
    }

    fn picture(seed: usize) -> Vec<u8> {
        (0..60).map(|i| (i * seed) as u8).collect()
    }

    /// Returns frames padded to the reader's piece, as from a sender that waits for the answer.
    fn apart(frames: &[Vec<u8>]) -> Vec<u8> {
        frames
            .iter()
            .flat_map(|f| {
                let mut f = f.clone();
                f.resize(f.len().next_multiple_of(32), 0);
                f
            })
            .collect()
    }

    #[test]
    fn whole_frames_arrive() {
        let line = apart(&[send(&picture(3)), send(&picture(5))]);
        assert_eq!(receive(&line, 60), [Ok(picture(3)), Ok(picture(5))]);
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_reported_and_the_next_frame_arrives() {
        let frame = send(&picture(7));
        for at in 0..frame.len() - 1 {
            let mut cut = frame[..at].to_vec();
            cut.push(0);
            let mut flipped = frame.clone();
            flipped[at] ^= 0x41;
            for bad in [cut, flipped] {
                let got = receive(&apart(&[bad, send(&picture(2))]), 60);
                assert_eq!(got.last(), Some(&Ok(picture(2))), "{at}");
                assert!(got[..got.len() - 1].iter().all(|r| *r == Err(FrameError::Damaged)), "{at}");
            }
        }
    }

    #[test]
    fn an_endless_frame_is_survived() {
        let mut line = vec![1; 10_000];
        line.push(0);
        assert_eq!(
            receive(&apart(&[line, send(&picture(9))]), 60),
            [Err(FrameError::Damaged), Ok(picture(9))]
        );
    }
}
