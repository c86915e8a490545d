//! Motion JPEG over HTTP, as IP cameras, `mjpg-streamer` and our own page serve it.
//!
//! HTTP/1.0 is spoken, so that no server answers in chunks. The answer's head is bounded and must be
//! `200`; what follows goes to the JPEG splitter, see there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::jpeg_stream::Splitter;
use super::{PATIENCE, Source, SourceError};
use crate::url::Url;
use foldnet_image::frame::Frame;

/// The longest head of an answer.
const MAX_HEAD: u64 = 16 << 10;
/// How long connecting, and then the head, may take.
const CONNECT: Duration = Duration::from_secs(5);

/// See the module.
pub struct Http {
    from: BufReader<TcpStream>,
    splitter: Splitter,
    /// Without its password.
    shown: String,
}

impl Http {
    /// Connects, and reads the answer's head.
    pub fn open(url: &str) -> Result<Self, SourceError> {
        let url = Url::parse(url, &[("http", 80)]).map_err(SourceError::Unusable)?;
        let shown = format!("http://{}:{}{}", url.host, url.port, url.path);
        let at = |e: &dyn std::fmt::Display| SourceError::Lost(format!("{shown}: {e}"));
        let mut stream = url.connect(CONNECT).map_err(|e| at(&e))?;
        stream.set_read_timeout(Some(CONNECT)).map_err(|e| at(&e))?;
        stream.set_write_timeout(Some(CONNECT)).map_err(|e| at(&e))?;
        let login = url.authorization();
        let (host, port, path) = (&url.host, url.port, &url.path);
        let request = format!("GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n{login}Accept: */*\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(|e| at(&e))?;
        let mut from = BufReader::with_capacity(1 << 16, stream);
        head(&mut from).map_err(|e| at(&e))?;
        from.get_ref().set_read_timeout(Some(PATIENCE)).map_err(|e| at(&e))?;
        Ok(Self { from, splitter: Splitter::default(), shown })
    }
}

/// Reads an answer's head; it must promise pictures.
fn head(from: &mut impl BufRead) -> Result<(), String> {
    let deadline = Instant::now() + CONNECT;
    let mut from = from.take(MAX_HEAD);
    let mut lines = 0;
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let bytes = match from.fill_buf() {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                bytes => bytes.map_err(|e| e.to_string())?,
            };
            let taken = bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1);
            if taken == 0 {
                return Err("an answer without an end of its head".into());
            }
            line.extend_from_slice(&bytes[..taken]);
            from.consume(taken);
            // Each read has a limit of its own; a line that comes byte by byte would have thousands.
            if Instant::now() > deadline {
                return Err("the answer's head takes too long".into());
            }
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if lines == 0 {
            let mut words = line.split(' ');
            let is_http = words.next().is_some_and(|w| w.starts_with("HTTP/"));
            match words.next() {
                Some("200") if is_http => {}
                Some(_) if is_http => return Err(format!("the answer is {line:?}")),
                _ => return Err("the answer is no HTTP".into()),
            }
        }
        if line.is_empty() {
            return Ok(());
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim().to_ascii_lowercase();
        if name.eq_ignore_ascii_case("content-type")
            && !(value.starts_with("multipart/") || value.starts_with("image/jpeg"))
        {
            return Err(format!("the answer is {value}, not motion JPEG"));
        }
        lines += 1;
    }
}

impl Source for Http {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        // A camera whose stream ends is rebooting, as far as we know.
        self.splitter.next(&mut self.from, frame).map_err(|e| match e {
            SourceError::End => SourceError::lost("the connection was closed"),
            other => other,
        })
    }

    fn describe(&self) -> String {
        format!("{}: motion JPEG", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::super::jpeg_stream::testing::jpeg;
    use super::*;
    use std::net::TcpListener;

    /// Serves one connection with these bytes; the address, and the request it got.
    fn serve(answer: Vec<u8>) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).unwrap();
            let _ = stream.write_all(&answer);
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        (address, thread)
    }

    #[test]
    fn frames_of_a_camera() {
        let mut answer =
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n".to_vec();
        for grey in [10, 20, 30] {
            answer.extend(b"--x\r\nContent-Type: image/jpeg\r\n\r\n");
            answer.extend(jpeg(8, 8, grey));
        }
        let (address, server) = serve(answer);
        let mut source = Http::open(&format!("http://me:secret@{address}/video?a=b")).unwrap();
        assert!(!source.describe().contains("secret"));
        let mut frame = Frame::default();
        // Its patience is short, and the server's thread may be held up.
        let mut next = |frame: &mut Frame| loop {
            match source.next(frame) {
                Err(SourceError::Nothing) => {}
                other => break other,
            }
        };
        for grey in [10, 20, 30] {
            next(&mut frame).unwrap();
            frame.develop().unwrap();
            assert_eq!(frame.bytes[0], grey);
        }
        assert!(matches!(next(&mut frame), Err(SourceError::Lost(_))));
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /video?a=b HTTP/1.0\r\n"), "{request}");
        assert!(request.contains("Authorization: Basic bWU6c2VjcmV0\r\n"), "{request}");
    }

    #[test]
    fn answers_that_are_no_camera_are_named() {
        let long = [b"HTTP/1.0 200 OK\r\nX: ".to_vec(), vec![b'a'; 1 << 16]].concat();
        for (answer, word) in [
            (b"HTTP/1.1 401 Unauthorized\r\n\r\n".to_vec(), "401"),
            (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n".to_vec(), "text/html"),
            (b"SSH-2.0-x\r\n".to_vec(), "no HTTP"),
            (b"HTTP/1.0 200 OK\r\n".to_vec(), "end of its head"),
            (long, ""),
            (Vec::new(), "end of its head"),
        ] {
            let (address, server) = serve(answer);
            let error = Http::open(&format!("http://{address}/")).map(|_| ()).unwrap_err();
            assert!(matches!(&error, SourceError::Lost(e) if e.contains(word)), "{word}: {error}");
            server.join().unwrap();
        }
    }
}
