//! The caller's pixels, read where they lie.

use foldnet_image::frame::{self, Colors, FrameRef};

use super::status::{Failure, Status};

/// How the pixels of an image lie in memory, rows from the top.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One plane of `R G B`.
    Rgb = 0,
    /// One plane of `B G R`, as OpenCV has it.
    Bgr = 1,
    /// One plane of `R G B X`; the fourth byte is not read.
    Rgbx = 2,
    /// One plane of `B G R X`; the fourth byte is not read.
    Bgrx = 3,
    /// One plane of one byte a pixel.
    Grey = 4,
    /// One plane of `Y0 U Y1 V`.
    Yuyv = 5,
    /// A plane of Y, and one of `U V` pairs for 2×2 pixels each.
    Nv12 = 6,
    /// Planes of Y, U and V; a chroma sample for 2×2 pixels.
    I420 = 7,
    /// Planes of Y, U and V; a chroma sample for 2×1 pixels.
    I422 = 8,
    /// Planes of Y, U and V of the same size.
    I444 = 9,
}

/// The weights that make Y.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601: standard definition, most webcams, JPEG.
    Bt601 = 0,
    /// ITU-R BT.709: high definition.
    Bt709 = 1,
}

/// The codes of black and white.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Y from 16 to 235, chroma from 16 to 240.
    Limited = 0,
    /// 0 to 255.
    Full = 1,
}

/// One plane of an image.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Plane {
    /// The first row.
    pub data: *const u8,
    /// Bytes that may be read from `data` on. The last row may end where its pixels do.
    pub size: usize,
    /// Bytes from one row to the next; 0 if rows follow each other without a gap.
    pub stride: usize,
}

/// An image. Fields that are zero have their usual meaning, so `{0}` is a good start.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// A `foldnet_format`.
    pub format: u32,
    /// Pixels per row, from 1 to 8192.
    pub width: u32,
    /// Rows, from 1 to 8192. An image has at most 48 MB.
    pub height: u32,
    /// A `foldnet_matrix`; not read for RGB and grey.
    pub matrix: u32,
    /// A `foldnet_range`; not read for RGB and grey.
    pub range: u32,
    /// As many as the format has; the others are not read.
    pub planes: [Plane; 3],
}

impl Image {
    /// The image as the frame that it describes.
    ///
    /// # Safety
    /// `size` bytes can be read behind each plane's `data` for as long as `'a` lasts.
    pub unsafe fn frame<'a>(&self) -> Result<FrameRef<'a>, Failure> {
        let unknown = |what: &str, code: u32| Failure::new(Status::Argument, format!("{code} is no {what}"));
        let format = format(self.format).ok_or_else(|| unknown("foldnet_format", self.format))?;
        let matrix = match self.matrix {
            0 => frame::Matrix::Bt601,
            1 => frame::Matrix::Bt709,
            code => return Err(unknown("foldnet_matrix", code)),
        };
        let range = match self.range {
            0 => frame::Range::Limited,
            1 => frame::Range::Full,
            code => return Err(unknown("foldnet_range", code)),
        };
        let (width, height) = (self.width as usize, self.height as usize);
        let mut planes = [frame::Plane::default(); 3];
        for (i, (row, rows)) in format.planes(width, height).into_iter().enumerate() {
            if rows == 0 {
                continue;
            }
            let Plane { data, size, stride } = self.planes[i];
            if data.is_null() {
                return Err(Failure::null(&format!("planes[{i}].data")));
            }
            if isize::try_from(size).is_err() {
                return Err(Failure::new(Status::Image, format!("no plane has {size} bytes")));
            }
            // SAFETY: the caller promised so many bytes.
            let bytes = unsafe { std::slice::from_raw_parts(data, size) };
            planes[i] = frame::Plane { bytes, stride: if stride == 0 { row } else { stride } };
        }
        Ok(FrameRef::new(format, width, height, Colors { matrix, range }, &planes)?)
    }
}

fn format(code: u32) -> Option<frame::Format> {
    const FORMATS: [(Format, frame::Format); 10] = [
        (Format::Rgb, frame::Format::Rgb),
        (Format::Bgr, frame::Format::Bgr),
        (Format::Rgbx, frame::Format::Rgbx),
        (Format::Bgrx, frame::Format::Bgrx),
        (Format::Grey, frame::Format::Grey),
        (Format::Yuyv, frame::Format::Yuyv),
        (Format::Nv12, frame::Format::Nv12),
        (Format::I420, frame::Format::I420),
        (Format::I422, frame::Format::I422),
        (Format::I444, frame::Format::I444),
    ];
    FORMATS.into_iter().find(|(ours, _)| *ours as u32 == code).map(|(_, format)| format)
}
