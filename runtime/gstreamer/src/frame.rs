//! GStreamer's frames, read where they lie.

use foldnet_image::frame::{Colors, Format, FrameError, FrameRef, Matrix, Plane, Range};
use gst_video::{VideoColorMatrix, VideoColorRange, VideoFormat, VideoFrameExt, VideoInfo};

/// The formats that can be read, as GStreamer and as we call them.
const FORMATS: [(VideoFormat, Format); 12] = [
    (VideoFormat::Rgb, Format::Rgb),
    (VideoFormat::I420, Format::I420),
    (VideoFormat::Nv12, Format::Nv12),
    (VideoFormat::Yuy2, Format::Yuyv),
    (VideoFormat::Y42b, Format::I422),
    (VideoFormat::Y444, Format::I444),
    (VideoFormat::Bgr, Format::Bgr),
    (VideoFormat::Rgbx, Format::Rgbx),
    (VideoFormat::Rgba, Format::Rgbx),
    (VideoFormat::Bgrx, Format::Bgrx),
    (VideoFormat::Bgra, Format::Bgrx),
    (VideoFormat::Gray8, Format::Grey),
];

/// The formats of the element's pads.
pub fn formats() -> impl Iterator<Item = VideoFormat> {
    FORMATS.into_iter().map(|(theirs, _)| theirs)
}

/// What Y, U and V mean. What a stream leaves open is as in most of them: BT.601, limited.
fn colors(info: &VideoInfo) -> Colors {
    let colorimetry = info.colorimetry();
    let matrix = match colorimetry.matrix() {
        VideoColorMatrix::Bt709 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = match colorimetry.range() {
        VideoColorRange::Range0_255 => Range::Full,
        _ => Range::Limited,
    };
    Colors { matrix, range }
}

/// A mapped frame as the engine reads it.
pub fn borrowed<'a>(
    frame: &'a gst_video::VideoFrameRef<&gst::BufferRef>,
) -> Result<FrameRef<'a>, FrameError> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let format = FORMATS.into_iter().find(|(theirs, _)| *theirs == frame.format()).map(|(_, ours)| ours);
    let Some(format) = format else { return Err(FrameError::Size(width, height)) };
    let mut planes = [Plane::default(); 3];
    for (i, plane) in planes.iter_mut().enumerate().take(frame.n_planes() as usize) {
        let stride = usize::try_from(frame.plane_stride()[i]);
        let bytes = frame.plane_data(i as u32);
        if let (Ok(bytes), Ok(stride)) = (bytes, stride) {
            *plane = Plane { bytes, stride };
        }
    }
    FrameRef::new(format, width, height, colors(frame.info()), &planes)
}
