//! Consistent overhead byte stuffing: frames on a byte stream, each closed by a zero byte.
//!
//! A frame is sent as blocks: a length byte `n`, then `n − 1` bytes that are not zero. A zero follows implicitly
//! after each block except the last and those of 255. So zero occurs only between frames, and a receiver that lost
//! track finds the next frame at the next zero. (Cheshire and Baker, *Consistent Overhead Byte Stuffing*, 1999.)
//!
//! The computer's end uses the crate `cobs`. Its decoder would take 64 bytes more flash than this one, and
//! ResNet-8's program has only 8 left.

/// The meaning of one received byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// No result yet.
    Nothing,
    /// The frame's next byte.
    Byte(u8),
    /// The frame is complete.
    End,
    /// The frame was closed inside a block.
    Cut,
}

/// Decodes a stream byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    /// The number of bytes left in this block.
    left: u8,
    /// Whether a zero is due before the next block.
    zero: bool,
    /// Whether the frame has any bytes yet.
    open: bool,
}

impl Decoder {
    /// Starts at the beginning of a frame.
    pub const fn new() -> Self {
        Self { left: 0, zero: false, open: false }
    }

    /// Decodes a received byte. Zeros between frames are [`Decoded::Nothing`].
    pub fn push(&mut self, byte: u8) -> Decoded {
        if byte == 0 {
            let (open, left) = (self.open, self.left);
            *self = Self::new();
            return match (open, left) {
                (false, _) => Decoded::Nothing,
                (true, 0) => Decoded::End,
                (true, _) => Decoded::Cut,
            };
        }
        self.open = true;
        if self.left > 0 {
            self.left -= 1;
            return Decoded::Byte(byte);
        }
        let due = self.zero;
        self.left = byte - 1;
        self.zero = byte != 255;
        if due { Decoded::Byte(0) } else { Decoded::Nothing }
    }
}

/// Returns a frame in the form in which the computer's end sends it.
#[cfg(test)]
pub(crate) fn encode(frame: &[u8]) -> Vec<u8> {
    let mut line = cobs::encode_vec(frame);
    line.push(0);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(line: &[u8]) -> (Vec<u8>, Decoded) {
        let mut decoder = Decoder::new();
        let (mut frame, mut last) = (vec![], Decoded::Nothing);
        for &b in line {
            last = decoder.push(b);
            if let Decoded::Byte(b) = last {
                frame.push(b);
            }
        }
        (frame, last)
    }

    #[test]
    fn gives_back_what_was_sent() {
        for len in [1, 2, 3, 253, 254, 255, 256, 508, 509, 3072] {
            for step in [0, 1, 7, 255] {
                let frame: Vec<u8> = (0..len).map(|i| (i * step) as u8).collect();
                assert_eq!(decode(&encode(&frame)), (frame, Decoded::End), "{len} {step}");
            }
        }
    }

    #[test]
    fn a_cut_block_is_noticed_and_the_next_frame_is_whole() {
        assert_eq!(decode(&[5, 1, 2, 0]), (vec![1, 2], Decoded::Cut));
        assert_eq!(decode(&[5, 1, 2, 0, 0, 3, 9, 8, 0]), (vec![1, 2, 9, 8], Decoded::End));
    }
}
