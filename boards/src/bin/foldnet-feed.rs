//! Drives the virtual board's camera: whatever is sent to port 8081 is what it sees.
//!
//! The camera is the kernel's `vivid` driver, whose capture node shows what its output node is fed. A
//! picture is one whole frame, 640 × 480 YUYV; it is answered by `shown` once it has been played for a
//! while. Structures and numbers are those of `linux/videodev2.h`.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use foldnet_boards::protocol::{FEED_HEIGHT, FEED_PORT, FEED_WIDTH, feed_bytes};

const QUERY_CTRL: u32 = 0xc044_5624;
const SET_CTRL: u32 = 0xc008_561c;
const SET_FORMAT: u32 = 0xc0d0_5605;
const SET_TIMINGS: u32 = 0xc084_5657;
const ENUM_TIMINGS: u32 = 0xc094_5662;
const REQUEST_BUFFERS: u32 = 0xc014_5608;
const QUERY_BUFFER: u32 = 0xc058_5609;
const QUEUE_BUFFER: u32 = 0xc058_560f;
const DEQUEUE_BUFFER: u32 = 0xc058_5611;
const STREAM_ON: u32 = 0x4004_5612;
/// Memory of the driver's, mapped.
const MMAP: u32 = 1;
const BUFFERS: u32 = 4;
const NEXT_CTRL: u32 = 0x8000_0000;
const CAPTURE: u32 = 1;
const OUTPUT: u32 = 2;
/// Frames after which nothing older is on its way.
const SETTLED: u32 = 16;

fn ioctl(file: &File, request: u32, data: &mut [u8]) -> std::io::Result<()> {
    // SAFETY: `data` has the size that the request's number says, and lives through the call.
    match unsafe { libc::ioctl(file.as_raw_fd(), request as _, data.as_mut_ptr()) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn word(data: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(data[at..at + 4].try_into().expect("four bytes"))
}

fn put(data: &mut [u8], at: usize, value: u32) {
    data[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// Sets a control by its name.
fn control(file: &File, name: &str, value: u32) -> std::io::Result<()> {
    let mut query = [0; 68];
    put(&mut query, 0, NEXT_CTRL);
    while ioctl(file, QUERY_CTRL, &mut query).is_ok() {
        let id = word(&query, 0);
        if query[8..40].split(|&b| b == 0).next() == Some(name.as_bytes()) {
            let mut set = [0; 8];
            put(&mut set, 0, id);
            put(&mut set, 4, value);
            return ioctl(file, SET_CTRL, &mut set);
        }
        query = [0; 68];
        put(&mut query, 0, id | NEXT_CTRL);
    }
    Err(std::io::Error::other(format!("the driver has no control {name}")))
}

/// Chooses the progressive timings of our size.
fn timings(file: &File) -> std::io::Result<()> {
    for index in 0.. {
        let mut each = [0; 148];
        put(&mut each, 0, index);
        ioctl(file, ENUM_TIMINGS, &mut each)?;
        let (width, height, interlaced) = (word(&each, 20), word(&each, 24), word(&each, 28));
        if (width, height, interlaced) == (FEED_WIDTH as u32, FEED_HEIGHT as u32, 0) {
            return ioctl(file, SET_TIMINGS, &mut each[16..]);
        }
    }
    unreachable!("the loop ends by an error")
}

fn format(file: &File, kind: u32) -> std::io::Result<()> {
    let mut format = [0; 208];
    put(&mut format, 0, kind);
    put(&mut format, 8, FEED_WIDTH as u32);
    put(&mut format, 12, FEED_HEIGHT as u32);
    format[16..20].copy_from_slice(b"YUYV");
    put(&mut format, 20, 1);
    ioctl(file, SET_FORMAT, &mut format)?;
    let size = word(&format, 28) as usize;
    if size == feed_bytes() {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("a frame has {size} bytes")))
    }
}

/// The output's buffers.
struct Player {
    output: File,
    buffers: Vec<&'static mut [u8]>,
    queued: u32,
}

impl Player {
    fn new(output: File) -> std::io::Result<Self> {
        let mut request = [0; 20];
        for (at, value) in [(0, BUFFERS), (4, OUTPUT), (8, MMAP)] {
            put(&mut request, at, value);
        }
        ioctl(&output, REQUEST_BUFFERS, &mut request)?;
        let mut buffers = Vec::new();
        for index in 0..word(&request, 0) {
            let mut query = Self::buffer(index);
            ioctl(&output, QUERY_BUFFER, &mut query)?;
            let (offset, length) = (word(&query, 64), word(&query, 72) as usize);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // SAFETY: a new mapping of the driver's memory, of the length that it says; never unmapped.
            let at = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    length,
                    access,
                    libc::MAP_SHARED,
                    output.as_raw_fd(),
                    offset.into(),
                )
            };
            if at == libc::MAP_FAILED || length < feed_bytes() {
                return Err(std::io::Error::last_os_error());
            }
            // SAFETY: as above. The driver reads it only between queueing and dequeueing.
            buffers.push(unsafe { std::slice::from_raw_parts_mut(at.cast(), length) });
        }
        Ok(Self { output, buffers, queued: 0 })
    }

    fn buffer(index: u32) -> [u8; 88] {
        let mut buffer = [0; 88];
        for (at, value) in [(0, index), (4, OUTPUT), (60, MMAP)] {
            put(&mut buffer, at, value);
        }
        buffer
    }

    /// Plays a frame; waits for the driver's clock once all buffers are on their way.
    fn play(&mut self, frame: &[u8]) -> std::io::Result<()> {
        let count = self.buffers.len() as u32;
        let index = if self.queued < count {
            self.queued
        } else {
            let mut done = Self::buffer(0);
            ioctl(&self.output, DEQUEUE_BUFFER, &mut done)?;
            word(&done, 0)
        };
        self.buffers[index as usize][..frame.len()].copy_from_slice(frame);
        let mut buffer = Self::buffer(index);
        put(&mut buffer, 8, frame.len() as u32);
        // Progressive.
        put(&mut buffer, 16, 1);
        ioctl(&self.output, QUEUE_BUFFER, &mut buffer)?;
        self.queued = self.queued.saturating_add(1);
        if self.queued == count {
            let mut kind = OUTPUT.to_ne_bytes();
            ioctl(&self.output, STREAM_ON, &mut kind)?;
        }
        Ok(())
    }
}

/// The picture, and how often it has been played.
type Shown = Mutex<(Arc<Vec<u8>>, u32)>;

fn serve(shown: &Shown) -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", FEED_PORT))?;
    for stream in listener.incoming() {
        let take = || -> std::io::Result<()> {
            let mut stream = stream?;
            stream.set_read_timeout(Some(std::time::Duration::from_secs(30)))?;
            let mut frame = vec![0; feed_bytes()];
            stream.read_exact(&mut frame)?;
            *shown.lock().expect("no thread panics with it") = (Arc::new(frame), 0);
            while shown.lock().expect("no thread panics with it").1 < SETTLED {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            stream.write_all(b"shown\n")
        };
        // A client that goes away in the middle is its own affair.
        if let Err(e) = take() {
            eprintln!("foldnet-feed: {e}");
        }
    }
    Ok(())
}

/// An error that says what was tried.
fn named<T>(what: &str, result: std::io::Result<T>) -> std::io::Result<T> {
    result.map_err(|e| std::io::Error::new(e.kind(), format!("{what}: {e}")))
}

fn run() -> std::io::Result<()> {
    let open = |name: &str| File::options().read(true).write(true).open(name);
    let (camera, output) = (open("/dev/video0")?, open("/dev/video10")?);
    named("camera's timings", timings(&camera))?;
    named("output's timings", timings(&output))?;
    // Else the driver draws a text into the picture.
    named("text", control(&camera, "OSD Text Mode", 2))?;
    named("loop", control(&camera, "Loop Video", 1))?;
    named("camera's format", format(&camera, CAPTURE))?;
    named("output's format", format(&output, OUTPUT))?;
    drop(camera);
    // Grey, until something is sent.
    let shown: &'static Shown = Box::leak(Box::new(Mutex::new((Arc::new(vec![128; feed_bytes()]), 0))));
    std::thread::spawn(|| serve(shown));
    let mut player = named("output's buffers", Player::new(output))?;
    loop {
        let frame = shown.lock().expect("no thread panics with it").0.clone();
        named("a frame", player.play(&frame))?;
        let mut shown = shown.lock().expect("no thread panics with it");
        if Arc::ptr_eq(&shown.0, &frame) {
            shown.1 = shown.1.saturating_add(1);
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("foldnet-feed: {e}");
            ExitCode::FAILURE
        }
    }
}
