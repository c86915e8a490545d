//! A program in QEMU, at the other end of its serial line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::boards::Board;

/// QEMU for a board, counting instructions; its serial line is still to be said.
pub fn qemu(board: &Board, program: &Path) -> Command {
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args(["-M", board.machine, "-display", "none", "-icount", "shift=0,sleep=off", "-kernel"]);
    qemu.arg(program);
    qemu
}

/// The program, running in QEMU.
pub struct Emulator {
    child: Child,
    line: ChildStdin,
    answers: Receiver<String>,
    monitor: PathBuf,
}

impl Emulator {
    pub fn start(board: &Board, program: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("foldnet-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let monitor = std::env::temp_dir().join(name);
        let mut child = qemu(board, program)
            .args(["-serial", "stdio", "-monitor"])
            .arg(format!("unix:{},server,wait=off", monitor.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, line, answers, monitor }
    }

    /// As power that comes back after a moment: the processor starts anew, memory is what it was.
    pub fn reset(&self) {
        let mut monitor = UnixStream::connect(&self.monitor).unwrap();
        monitor.write_all(b"system_reset\n").unwrap();
        monitor.shutdown(Shutdown::Write).unwrap();
        let _ = monitor.read_to_end(&mut Vec::new());
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.line.write_all(bytes).unwrap();
        self.line.flush().unwrap();
    }

    pub fn line(&self) -> String {
        // Bounds a hang; says nothing about speed.
        self.answers.recv_timeout(Duration::from_secs(120)).expect("the board does not answer")
    }

    pub fn answer(&self) -> serde_json::Value {
        parsed(&self.line())
    }

    /// The next line, if there is one in this time.
    pub fn answer_within(&self, time: Duration) -> Option<serde_json::Value> {
        self.answers.recv_timeout(time).ok().map(|line| parsed(&line))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.monitor);
    }
}

fn parsed(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

/// An image as the boards' serial line wants it.
pub fn frame(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = pixels.to_vec();
    bytes.extend(foldnet_plan::crc32(pixels).to_le_bytes());
    let mut out = Vec::new();
    // Consistent overhead byte stuffing: blocks of up to 254 bytes that are not zero.
    let mut block = Vec::new();
    for &byte in &bytes {
        if byte != 0 {
            block.push(byte);
        }
        if byte == 0 || block.len() == 254 {
            out.push(block.len() as u8 + 1);
            out.append(&mut block);
        }
    }
    out.push(block.len() as u8 + 1);
    out.append(&mut block);
    out.push(0);
    out
}
