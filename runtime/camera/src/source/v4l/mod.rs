//! Cameras of Linux' V4L2: single-planar capture into buffers mapped from the driver.
//!
//! Each frame is copied out of the driver's buffer, which goes back at once: a slow network never
//! holds a buffer, so the driver never stops for want of one. Of the formats we read, the first of
//! `FORMATS` that the camera has is taken unless another is wished; size and rate are what the
//! driver makes of the wish.

mod ioctl;
mod list;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ioctl::{Buffer, call, zeroed};
pub use list::{Listed, ListedFormat, devices};

use super::{PATIENCE, Source, SourceError, Wishes};
use foldnet_image::frame::{Colors, Format, Frame, FrameError, MAX_BYTES, Matrix, Range};

/// What we read, the best first: uncompressed before compressed, colour before grey.
const FORMATS: [([u8; 4], Format); 8] = [
    (*b"YUYV", Format::Yuyv),
    (*b"NV12", Format::Nv12),
    (*b"YU12", Format::I420),
    (*b"422P", Format::I422),
    (*b"RGB3", Format::Rgb),
    (*b"MJPG", Format::Jpeg),
    (*b"JPEG", Format::Jpeg),
    (*b"GREY", Format::Grey),
];

/// Buffers asked for: one being filled, one waiting, and two against hiccups.
const BUFFERS: u32 = 4;
/// The size wished for when none is.
const SIZE: (usize, usize) = (640, 480);
/// An age beyond which a driver's timestamp is not believed.
const MAX_AGE: Duration = Duration::from_secs(10);

/// A driver's buffer in our memory.
struct Mapped {
    start: *mut libc::c_void,
    length: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapped {}

impl Mapped {
    fn new(device: &OwnedFd, length: usize, offset: u32) -> io::Result<Self> {
        // SAFETY: a new mapping, where the kernel likes it.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                offset as libc::off_t,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start, length })
    }

    /// Appends the first `used` bytes.
    fn copy(&self, used: usize, to: &mut Vec<u8>) {
        // SAFETY: the mapping has `length` readable bytes. The driver owns the buffer only between
        // QBUF and DQBUF, and this is called after DQBUF.
        let bytes = unsafe { std::slice::from_raw_parts(self.start.cast::<u8>(), self.length) };
        to.extend_from_slice(&bytes[..used.min(self.length)]);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and not used afterwards.
        unsafe { libc::munmap(self.start, self.length) };
    }
}

/// See the module.
pub struct Camera {
    path: PathBuf,
    card: String,
    buffers: Vec<Mapped>,
    device: OwnedFd,
    format: Format,
    size: (usize, usize),
    stride: usize,
    colors: Colors,
    fps: Option<f64>,
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn open_device(path: &Path) -> io::Result<OwnedFd> {
    let file =
        std::fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    Ok(file.into())
}

/// The camera's name, when it is one that we can use.
fn capabilities(device: &OwnedFd) -> io::Result<Option<String>> {
    let mut capability = zeroed();
    call(device, &ioctl::QUERYCAP, &mut capability)?;
    let has = match capability.capabilities & ioctl::CAP_DEVICE_CAPS {
        0 => capability.capabilities,
        _ => capability.device_caps,
    };
    let needed = ioctl::CAP_CAPTURE | ioctl::CAP_STREAMING;
    Ok((has & needed == needed).then(|| text(&capability.card)))
}

/// Calls an enumerating request until the driver says that there is no more.
fn enumerate<T: ioctl::Plain>(
    device: &OwnedFd,
    request: &ioctl::Request<T>,
    start: impl Fn(u32) -> T,
) -> Vec<T> {
    let one = |index| {
        let mut value = start(index);
        call(device, request, &mut value).ok().map(|()| value)
    };
    // Drivers have a few dozen; one that never ends is broken.
    (0..256).map_while(one).collect()
}

/// The pixel formats that the camera has.
fn formats(device: &OwnedFd) -> Vec<ioctl::FormatName> {
    let start = |index| ioctl::FormatName { index, kind: ioctl::CAPTURE, ..zeroed() };
    enumerate(device, &ioctl::ENUM_FMT, start)
}

fn colors(pix: &ioctl::PixFormat) -> Colors {
    const REC709: u32 = 3;
    const JPEG: u32 = 7;
    let matrix = match (pix.ycbcr_enc, pix.colorspace) {
        (2 | 4, _) | (0, REC709) => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = match (pix.quantization, pix.colorspace) {
        (1, _) | (0, JPEG) => Range::Full,
        _ => Range::Limited,
    };
    Colors { matrix, range }
}

impl Camera {
    /// Opens a camera and starts it.
    pub fn open(path: &Path, wishes: &Wishes) -> Result<Self, SourceError> {
        let lost = |what: &str, e: io::Error| {
            let hint = match e.raw_os_error() {
                Some(libc::EBUSY) => " (another program uses the camera)",
                Some(libc::EACCES) => " (is the user in the group `video`?)",
                Some(libc::ENOENT) => " (`runtime devices` lists the cameras there are)",
                _ => "",
            };
            SourceError::Lost(format!("{}: {what}{e}{hint}", path.display()))
        };
        let unusable = |what: &str| SourceError::Unusable(format!("{}: {what}", path.display()));
        let device = open_device(path).map_err(|e| lost("", e))?;
        let card = match capabilities(&device) {
            Ok(Some(card)) => card,
            Ok(None) => return Err(unusable("no camera that streams single-planar video")),
            Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => return Err(unusable("not a video device")),
            Err(e) => return Err(lost("", e)),
        };
        let have = formats(&device);
        let fits = |(code, format): &&([u8; 4], Format)| {
            wishes.format.is_none_or(|f| f == *format) && have.iter().any(|h| h.pixel_format == *code)
        };
        let Some(&(code, format)) = FORMATS.iter().find(fits) else {
            let names: Vec<String> = have.iter().map(|h| text(&h.pixel_format)).collect();
            return Err(unusable(&format!("no such format among the camera's: {}", names.join(" "))));
        };
        let pix = set_format(&device, code, wishes).map_err(|e| lost("setting the format: ", e))?;
        if pix.pixel_format != code {
            return Err(lost("setting the format: ", io::Error::other("the driver chose another")));
        }
        let size = (pix.width as usize, pix.height as usize);
        if format != Format::Jpeg {
            Frame::bytes_for(format, size.0, size.1).map_err(|e| unusable(&e.to_string()))?;
        }
        let fps = set_fps(&device, wishes.fps);
        let buffers = map_buffers(&device).map_err(|e| lost("buffers: ", e))?;
        let mut on = ioctl::CAPTURE as i32;
        call(&device, &ioctl::STREAMON, &mut on).map_err(|e| lost("starting: ", e))?;
        let stride = (pix.bytes_per_line as usize).max(format.row_bytes(size.0));
        let colors = wishes.colors(colors(&pix));
        Ok(Self { path: path.into(), card, buffers, device, format, size, stride, colors, fps })
    }

    /// Waits until there is a frame, or something else to know.
    fn wait(&self) -> Result<(), SourceError> {
        let mut poll = libc::pollfd { fd: self.device.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid `pollfd`.
        let ready = unsafe { libc::poll(&raw mut poll, 1, PATIENCE.as_millis() as i32) };
        match ready {
            0 => Err(SourceError::Nothing),
            1.. if poll.revents & libc::POLLIN != 0 => Ok(()),
            1.. => Err(self.lost("the camera is gone, or stopped")),
            _ => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::Interrupted => Err(SourceError::Nothing),
                e => Err(self.lost(e)),
            },
        }
    }

    fn lost(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::Lost(format!("{}: {what}", self.path.display()))
    }
}

fn set_format(device: &OwnedFd, code: [u8; 4], wishes: &Wishes) -> io::Result<ioctl::PixFormat> {
    let (width, height) = wishes.size.unwrap_or(SIZE);
    let mut format: ioctl::Format = zeroed();
    format.kind = ioctl::CAPTURE;
    // SAFETY: every member of the union is made of integers.
    let pix = unsafe { &mut format.of.pix };
    (pix.width, pix.height, pix.pixel_format) = (width as u32, height as u32, code);
    // V4L2_FIELD_NONE: whole frames.
    pix.field = 1;
    call(device, &ioctl::S_FMT, &mut format)?;
    // SAFETY: as above; for this kind the kernel filled `pix`.
    Ok(unsafe { format.of.pix })
}

/// Not every driver has a rate to set; what it says then is not known.
fn set_fps(device: &OwnedFd, wish: Option<f64>) -> Option<f64> {
    let mut parm = ioctl::StreamParm { kind: ioctl::CAPTURE, ..zeroed() };
    match wish {
        Some(fps) => {
            parm.time_per_frame =
                ioctl::Fraction { numerator: 1000, denominator: (fps * 1000.0).round().max(1.0) as u32 };
            call(device, &ioctl::S_PARM, &mut parm).ok()?;
        }
        None => call(device, &ioctl::G_PARM, &mut parm).ok()?,
    }
    let ioctl::Fraction { numerator, denominator } = parm.time_per_frame;
    (numerator > 0 && denominator > 0).then(|| f64::from(denominator) / f64::from(numerator))
}

fn map_buffers(device: &OwnedFd) -> io::Result<Vec<Mapped>> {
    let mut request = ioctl::RequestBuffers {
        count: BUFFERS,
        kind: ioctl::CAPTURE,
        memory: ioctl::MMAP,
        capabilities: 0,
        flags: 0,
    };
    call(device, &ioctl::REQBUFS, &mut request)?;
    if request.count == 0 {
        return Err(io::Error::other("the driver has none"));
    }
    (0..request.count.min(32))
        .map(|index| {
            let mut buffer = named(index);
            call(device, &ioctl::QUERYBUF, &mut buffer)?;
            let length = buffer.length as usize;
            if length == 0 || length > 2 * MAX_BYTES {
                return Err(io::Error::other(format!("buffers of {length} bytes")));
            }
            // SAFETY: for this kind of memory the kernel filled `offset`.
            let mapped = Mapped::new(device, length, unsafe { buffer.at.offset })?;
            let mut buffer = named(index);
            call(device, &ioctl::QBUF, &mut buffer)?;
            Ok(mapped)
        })
        .collect()
}

fn named(index: u32) -> Buffer {
    Buffer { index, kind: ioctl::CAPTURE, memory: ioctl::MMAP, ..zeroed() }
}

/// When the driver says the frame was taken, on our clock; now, when it cannot be told.
fn taken_at(buffer: &Buffer) -> Instant {
    let now = Instant::now();
    if buffer.flags & ioctl::TIMESTAMP_MASK != ioctl::TIMESTAMP_MONOTONIC {
        return now;
    }
    let mut clock = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one valid `timespec`.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut clock) } != 0 {
        return now;
    }
    let nanoseconds = |seconds: i128, rest: i128| seconds * 1_000_000_000 + rest;
    let stamp = nanoseconds(buffer.timestamp.tv_sec.into(), 1000 * i128::from(buffer.timestamp.tv_usec));
    let age = nanoseconds(clock.tv_sec.into(), clock.tv_nsec.into()) - stamp;
    match u64::try_from(age).map(Duration::from_nanos) {
        Ok(age) if age < MAX_AGE => now.checked_sub(age).unwrap_or(now),
        _ => now,
    }
}

impl Source for Camera {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        self.wait()?;
        let mut buffer = named(0);
        if let Err(e) = call(&self.device, &ioctl::DQBUF, &mut buffer) {
            return Err(match e.raw_os_error() {
                Some(libc::EAGAIN) => SourceError::Nothing,
                _ => self.lost(e),
            });
        }
        let Some(mapped) = self.buffers.get(buffer.index as usize) else {
            return Err(self.lost("the driver gave a buffer that it does not have"));
        };
        frame.bytes.clear();
        frame.jpeg.clear();
        mapped.copy(buffer.bytes_used as usize, &mut frame.bytes);
        (frame.captured, frame.number) = (taken_at(&buffer), u64::from(buffer.sequence));
        let damaged = buffer.flags & ioctl::FLAG_ERROR != 0;
        let mut again = named(buffer.index);
        call(&self.device, &ioctl::QBUF, &mut again).map_err(|e| self.lost(e))?;
        if damaged {
            return Err(FrameError::Marked.into());
        }
        if self.format == Format::Jpeg {
            frame.is_jpeg();
            // Some drivers count the padding behind the picture.
            let end = frame.bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
            frame.bytes.truncate(end);
        } else {
            (frame.format, frame.stride, frame.colors) = (self.format, self.stride, self.colors);
            (frame.width, frame.height) = self.size;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let (w, h) = self.size;
        let fps = self.fps.map_or(String::new(), |fps| format!(" at {fps:.0} fps"));
        format!("{} ({}): {} {w}×{h}{fps}", self.path.display(), self.card, self.format.name())
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let mut off = ioctl::CAPTURE as i32;
        // A camera that is gone cannot be stopped.
        let _ = call(&self.device, &ioctl::STREAMOFF, &mut off);
    }
}
