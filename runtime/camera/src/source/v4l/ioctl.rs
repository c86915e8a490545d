//! The part of `linux/videodev2.h` that single-planar capture needs: structures, numbers, and one
//! checked call each. Layouts follow the C ABI of 32- and 64-bit Linux alike; their sizes are part of
//! the request numbers, so a wrong one would be refused by every driver, and a test holds them to the
//! numbers of the header.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`
pub const CAPTURE: u32 = 1;
/// `V4L2_MEMORY_MMAP`
pub const MMAP: u32 = 1;
/// `V4L2_CAP_VIDEO_CAPTURE`
pub const CAP_CAPTURE: u32 = 0x1;
/// `V4L2_CAP_STREAMING`
pub const CAP_STREAMING: u32 = 0x0400_0000;
/// `V4L2_CAP_DEVICE_CAPS`
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
/// `V4L2_BUF_FLAG_ERROR`
pub const FLAG_ERROR: u32 = 0x40;
/// `V4L2_BUF_FLAG_TIMESTAMP_MASK`
pub const TIMESTAMP_MASK: u32 = 0xe000;
/// `V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC`
pub const TIMESTAMP_MONOTONIC: u32 = 0x2000;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FormatName {
    pub index: u32,
    pub kind: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixel_format: [u8; 4],
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PixFormat {
    pub width: u32,
    pub height: u32,
    pub pixel_format: [u8; 4],
    pub field: u32,
    pub bytes_per_line: u32,
    pub size_image: u32,
    pub colorspace: u32,
    pub magic: u32,
    pub flags: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
    pub xfer_func: u32,
}

/// The other members are larger, and one holds pointers.
#[repr(C)]
#[derive(Clone, Copy)]
pub union FormatOf {
    pub pix: PixFormat,
    pub size: [u8; 200],
    pub align: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Format {
    pub kind: u32,
    pub of: FormatOf,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Fraction {
    pub numerator: u32,
    pub denominator: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct StreamParm {
    pub kind: u32,
    pub capability: u32,
    pub mode: u32,
    pub time_per_frame: Fraction,
    pub rest: [u32; 46],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RequestBuffers {
    pub count: u32,
    pub kind: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union Where {
    pub offset: u32,
    pub pointer: libc::c_ulong,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    pub index: u32,
    pub kind: u32,
    pub bytes_used: u32,
    pub flags: u32,
    pub field: u32,
    pub timestamp: libc::timeval,
    pub timecode: [u32; 4],
    pub sequence: u32,
    pub memory: u32,
    pub at: Where,
    pub length: u32,
    pub reserved: u32,
    pub request_fd: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FrameSize {
    pub index: u32,
    pub pixel_format: [u8; 4],
    /// 1: `of` holds width and height; else least, most, step of width, then of height.
    pub kind: u32,
    pub of: [u32; 6],
    pub reserved: [u32; 2],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FrameInterval {
    pub index: u32,
    pub pixel_format: [u8; 4],
    pub width: u32,
    pub height: u32,
    /// 1: the first fraction of `of`; else least, most, step.
    pub kind: u32,
    pub of: [Fraction; 3],
    pub reserved: [u32; 2],
}

/// A structure of this module: all zeros is a value of it.
pub trait Plain: Copy {}

impl Plain for Capability {}
impl Plain for FormatName {}
impl Plain for Format {}
impl Plain for StreamParm {}
impl Plain for RequestBuffers {}
impl Plain for Buffer {}
impl Plain for FrameSize {}
impl Plain for FrameInterval {}
impl Plain for i32 {}

/// All zeros.
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` types are integers, arrays of them, and unions and structures of these.
    unsafe { std::mem::zeroed() }
}

const WRITE: u32 = 1;
const READ: u32 = 2;

/// A request: its number, and (by its type) the structure that the kernel reads or writes.
pub struct Request<T> {
    number: u32,
    of: std::marker::PhantomData<T>,
}

const fn request<T: Plain>(direction: u32, number: u32) -> Request<T> {
    let number = direction << 30 | (size_of::<T>() as u32) << 16 | (b'V' as u32) << 8 | number;
    Request { number, of: std::marker::PhantomData }
}

pub const QUERYCAP: Request<Capability> = request(READ, 0);
pub const ENUM_FMT: Request<FormatName> = request(READ | WRITE, 2);
pub const S_FMT: Request<Format> = request(READ | WRITE, 5);
pub const REQBUFS: Request<RequestBuffers> = request(READ | WRITE, 8);
pub const QUERYBUF: Request<Buffer> = request(READ | WRITE, 9);
pub const QBUF: Request<Buffer> = request(READ | WRITE, 15);
pub const DQBUF: Request<Buffer> = request(READ | WRITE, 17);
pub const STREAMON: Request<i32> = request(WRITE, 18);
pub const STREAMOFF: Request<i32> = request(WRITE, 19);
pub const G_PARM: Request<StreamParm> = request(READ | WRITE, 21);
pub const S_PARM: Request<StreamParm> = request(READ | WRITE, 22);
pub const ENUM_FRAMESIZES: Request<FrameSize> = request(READ | WRITE, 74);
pub const ENUM_FRAMEINTERVALS: Request<FrameInterval> = request(READ | WRITE, 75);

/// Makes a request.
pub fn call<T: Plain>(device: &OwnedFd, request: &Request<T>, value: &mut T) -> io::Result<()> {
    loop {
        // SAFETY: the request's number says that the kernel reads and writes at most `size_of::<T>()`
        // bytes there; none of the structures holds a pointer that is followed for these requests.
        let result = unsafe { libc::ioctl(device.as_raw_fd(), request.number as _, &raw mut *value) };
        if result >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn request_numbers_are_the_headers() {
        assert_eq!(QUERYCAP.number, 0x8068_5600);
        assert_eq!(ENUM_FMT.number, 0xc040_5602);
        assert_eq!(S_FMT.number, 0xc0d0_5605);
        assert_eq!(REQBUFS.number, 0xc014_5608);
        assert_eq!(QUERYBUF.number, 0xc058_5609);
        assert_eq!(QBUF.number, 0xc058_560f);
        assert_eq!(DQBUF.number, 0xc058_5611);
        assert_eq!(STREAMON.number, 0x4004_5612);
        assert_eq!(G_PARM.number, 0xc0cc_5615);
        assert_eq!(ENUM_FRAMESIZES.number, 0xc02c_564a);
        assert_eq!(ENUM_FRAMEINTERVALS.number, 0xc034_564b);
    }
}
