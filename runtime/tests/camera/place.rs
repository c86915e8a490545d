//! A folder to play in, the program in it, and questions to its page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use foldnet_archive::testing::{every_step, manifest};
use serde_json::Value;

/// A folder with an archive and pictures.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        foldnet_archive::write(&place.path("net.nnef.tgz"), &every_step(), &manifest()).unwrap();
        std::fs::create_dir(place.path("photos")).unwrap();
        for n in 0..3_u8 {
            let picture = image::RgbImage::from_pixel(40, 30, image::Rgb([80 * n, 60, 200 - 80 * n]));
            picture.save(place.path(&format!("photos/{n}.png"))).unwrap();
        }
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
        command.args(["camera", "net.nnef.tgz", "--threads", "1"]).args(words.split_whitespace());
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("FOLDNET_TOKEN");
        command
    }

    pub fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs with these bytes on standard input.
    pub fn fed(&self, words: &str, bytes: Vec<u8>) -> Output {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            // A program that has refused the start does not read the rest.
            let _ = stdin.write_all(&bytes);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A program that runs until it is told to stop.
pub struct Running {
    pub child: Child,
    words: BufReader<ChildStderr>,
}

impl Running {
    pub fn start(place: &Place, words: &str) -> Self {
        Self::of(place.command(words))
    }

    /// Of any command that says what the program says on standard error.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let words = BufReader::new(child.stderr.take().unwrap());
        Self { child, words }
    }

    /// The first line on standard error that contains this.
    pub fn says(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.words.read_line(&mut line).unwrap() > 0, "never said {what:?}");
            if line.contains(what) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The page's address, host and port.
    pub fn page(&mut self) -> String {
        let line = self.says("page: http://");
        line.trim().trim_start_matches("page: http://").split('/').next().unwrap().into()
    }

    pub fn ends_well(mut self) -> String {
        self.signal("-TERM");
        let mut rest = String::new();
        self.words.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest}");
        rest
    }
}

/// Asks, and reads the whole answer.
pub fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = Vec::new();
    // A server that hangs up in the middle, of the request even, has answered as well.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn get(address: &str, path: &str, headers: &str) -> String {
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    ask(address, &format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"))
}

pub fn body(answer: &str) -> &str {
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1
}

pub fn state(address: &str) -> Value {
    let answer = get(address, "/api/state", "");
    serde_json::from_str(body(&answer)).unwrap()
}

/// Waits until the state is as wanted. The bound is there to say what is missing, not how fast it must be.
pub fn until(address: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..6_000 {
        let state = state(address);
        if wanted(&state) {
            return state;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("never as wanted: {}", state(address));
}
