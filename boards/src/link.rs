//! The serial link to a microcontroller: a picture there, a line of JSON back.
//!
//! A frame is the network's pixels (RGB, row by row, u8) and their CRC-32, little-endian, stuffed by COBS
//! and closed by a zero byte; `firmware/src/frame.rs` is the other end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The baud rate of our firmware.
pub const BAUD: libc::speed_t = libc::B921600;
/// The most that a board may say before its answer.
const CHATTER: usize = 1 << 20;

/// An answer of a board.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// The index of the greatest logit.
    pub class: u32,
    /// What its counter counted during the inference.
    pub ticks: u32,
    /// Pictures that did not reach it, so far.
    pub lost: u32,
    /// The logits' f32, eight hexadecimal digits each.
    pub logits: String,
}

impl Answer {
    /// The logits as numbers; `None` when the board sends something else.
    pub fn values(&self) -> Option<Vec<f32>> {
        let eight = |digits: &[u8]| {
            let bits = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            (digits.len() == 8).then_some(f32::from_bits(bits))
        };
        self.logits.as_bytes().chunks(8).map(eight).collect()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The port cannot be opened or has failed.
    #[error("{0}: {1}")]
    Port(String, io::Error),
    /// The board says nothing.
    #[error(
        "{0}: the board does not answer. Check the cable, the baud rate (921600) and the firmware on the board"
    )]
    Silent(String),
    /// The board reports an error.
    #[error("the board reports an error: {0}")]
    Board(String),
}

/// A picture as the link wants it.
pub fn frame(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = pixels.to_vec();
    bytes.extend(foldnet_plan::crc32(pixels).to_le_bytes());
    let mut out = cobs::encode_vec(&bytes);
    out.push(0);
    out
}

/// An open link.
pub struct Link {
    port: String,
    to: Box<dyn Write>,
    from: BufReader<Box<dyn Read>>,
}

impl Link {
    /// A serial device, as `/dev/ttyACM0`, or `tcp:HOST:PORT`, which QEMU offers.
    pub fn open(port: &str) -> Result<Self, LinkError> {
        let error = |e| LinkError::Port(port.into(), e);
        let (to, from): (Box<dyn Write>, Box<dyn Read>) = match port.strip_prefix("tcp:") {
            Some(address) => {
                let stream = TcpStream::connect(address).map_err(error)?;
                stream.set_read_timeout(Some(Duration::from_millis(200))).map_err(error)?;
                (Box::new(stream.try_clone().map_err(error)?), Box::new(stream))
            }
            None => {
                let file = File::options().read(true).write(true).open(port).map_err(error)?;
                raw(&file).map_err(error)?;
                (Box::new(file.try_clone().map_err(error)?), Box::new(file))
            }
        };
        let mut link = Self { port: port.into(), to, from: BufReader::new(from) };
        // Ends a frame that someone else has begun.
        link.to.write_all(&[0]).map_err(error)?;
        Ok(link)
    }

    /// Sends a picture and waits for its answer, so long in all; sends it again when it got lost on the way.
    pub fn classify(&mut self, pixels: &[u8], patience: Duration) -> Result<Answer, LinkError> {
        let error = |port: &str| {
            let port = port.to_owned();
            move |e| LinkError::Port(port, e)
        };
        let frame = frame(pixels);
        for _ in 0..3 {
            self.to.write_all(&frame).and_then(|()| self.to.flush()).map_err(error(&self.port))?;
            let (until, mut room) = (Instant::now() + patience, CHATTER);
            loop {
                let line = self.line(until, &mut room)?;
                match serde_json::from_str::<serde_json::Value>(&line) {
                    // A greeting, or a line that began before we listened.
                    Err(_) => {}
                    Ok(value) => match (serde_json::from_value(value.clone()), value["error"].as_str()) {
                        (Ok(answer), _) => return Ok(answer),
                        (_, Some("damaged")) => break,
                        (_, Some(error)) => return Err(LinkError::Board(error.into())),
                        _ => {}
                    },
                }
            }
        }
        Err(LinkError::Board("the image arrived damaged three times; check the cable".into()))
    }

    /// The next line. What has come is read however late it is; what is still to come may take until then,
    /// and may be so long.
    fn line(&mut self, until: Instant, room: &mut usize) -> Result<String, LinkError> {
        let mut line = Vec::new();
        loop {
            let bytes = match self.from.fill_buf() {
                Ok(bytes) => bytes,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => &[],
                Err(e) => return Err(LinkError::Port(self.port.clone(), e)),
            };
            if bytes.is_empty() {
                if Instant::now() > until {
                    return Err(LinkError::Silent(self.port.clone()));
                }
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let end = bytes.iter().position(|&b| b == b'\n');
            let taken = end.map_or(bytes.len(), |at| at + 1);
            line.extend_from_slice(&bytes[..taken]);
            self.from.consume(taken);
            let Some(left) = room.checked_sub(taken) else {
                return Err(LinkError::Silent(self.port.clone()));
            };
            *room = left;
            if end.is_some() {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
        }
    }
}

/// A terminal as a plain line of eight bits; reads end after a fifth of a second without a byte.
fn raw(file: &File) -> io::Result<()> {
    let check = |code: i32| if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: all zeros is a valid termios; the calls write into it and read from it while it lives.
    unsafe {
        let mut terminal: libc::termios = std::mem::zeroed();
        check(libc::tcgetattr(file.as_raw_fd(), &mut terminal))?;
        libc::cfmakeraw(&mut terminal);
        check(libc::cfsetspeed(&mut terminal, BAUD))?;
        terminal.c_cflag |= libc::CLOCAL | libc::CREAD;
        terminal.c_cc[libc::VMIN] = 0;
        terminal.c_cc[libc::VTIME] = 2;
        check(libc::tcsetattr(file.as_raw_fd(), libc::TCSANOW, &terminal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_pixels_and_their_sum() {
        for len in [1, 252, 253, 254, 255, 508, 3072] {
            for step in [0, 1, 7, 255] {
                let pixels: Vec<u8> = (0..len).map(|i| (i * step) as u8).collect();
                let frame = frame(&pixels);
                assert_eq!(frame.iter().filter(|&&b| b == 0).count(), 1, "{len} {step}");
                let bytes = cobs::decode_vec(&frame).unwrap();
                assert_eq!(bytes[..len], pixels);
                assert_eq!(bytes[len..], foldnet_plan::crc32(&pixels).to_le_bytes());
            }
        }
    }

    #[test]
    fn a_board_that_only_chatters_does_not_answer() {
        for chatter in ["Hello!\n", "no end of a line "] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = format!("tcp:{}", listener.local_addr().unwrap());
            let board = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                while stream.write_all(chatter.as_bytes()).is_ok() {}
            });
            let mut link = Link::open(&port).unwrap();
            let answer = link.classify(&[1, 0, 2], Duration::from_secs(3600));
            assert!(matches!(answer, Err(LinkError::Silent(_))), "{answer:?}");
            drop(link);
            board.join().unwrap();
        }
    }

    #[test]
    fn a_board_that_loses_a_frame_gets_it_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = format!("tcp:{}", listener.local_addr().unwrap());
        let board = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut from = BufReader::new(stream.try_clone().unwrap());
            let (mut to, mut frames) = (stream, Vec::new());
            to.write_all(b"rt of a line\n{\"board\":\"x\"}\n").unwrap();
            while frames.len() < 2 {
                let mut frame = Vec::new();
                from.read_until(0, &mut frame).unwrap();
                if frame.len() > 1 {
                    frames.push(frame);
                    to.write_all(b"{\"error\":\"damaged\",\"lost\":1}\n").unwrap();
                    if frames.len() == 2 {
                        to.write_all(b"{\"class\":3,\"ticks\":9,\"lost\":1,\"logits\":\"00000000\"}\n")
                            .unwrap();
                    }
                }
            }
            frames
        });
        let mut link = Link::open(&port).unwrap();
        // The second "damaged" makes it send a third time; the answer that follows counts.
        let answer = link.classify(&[1, 0, 2], Duration::from_secs(60)).unwrap();
        assert_eq!((answer.class, answer.lost), (3, 1));
        assert_eq!(answer.values(), Some(vec![0.0]));
        let values = |logits: &str| Answer { logits: logits.into(), ..answer.clone() }.values();
        assert_eq!(values("3f800000bf000000"), Some(vec![1.0, -0.5]));
        assert_eq!([values("3f80000"), values("3f8000 0"), values("é8000000")], [None, None, None]);
        let frames = board.join().unwrap();
        assert_eq!(frames[0], frame(&[1, 0, 2]));
        assert_eq!(frames[0], frames[1]);
    }
}
