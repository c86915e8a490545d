//! A frame as a small upright JPEG, for the page and for those who are told of an event.

use foldnet_archive::{Input, Resize};
use foldnet_image::frame::{Fitter, Frame, Turn, View};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

/// The longest side.
const SIDE: usize = 640;
const QUALITY: u8 = 80;

/// Makes previews; what is computed per size is kept.
#[derive(Default)]
pub struct Preview {
    fitter: Option<(View, [usize; 2], Fitter)>,
    pixels: Vec<u8>,
}

impl Preview {
    /// The whole frame, turned and mirrored as the view says; `None` when it cannot be used. A camera's own
    /// JPEG is taken as it is when it is upright and not much too large.
    pub fn jpeg(&mut self, frame: &mut Frame, view: View) -> Option<Vec<u8>> {
        let upright = View { roi: None, ..view };
        let is_small = frame.width.max(frame.height) <= 2 * SIDE;
        if upright == View::default() && !frame.jpeg.is_empty() && is_small {
            return Some(frame.jpeg.clone());
        }
        let size = size(frame, upright);
        if self.fitter.as_ref().is_none_or(|(view, s, _)| (*view, *s) != (upright, size)) {
            let [width, height] = size;
            let (mean, std, preprocess) = (vec![0.0; 3], vec![1.0; 3], "none".into());
            let input = Input { width, height, channels: 3, resize: Resize::Stretch, preprocess, mean, std };
            self.fitter = Some((upright, size, Fitter::new(input, upright)));
        }
        let (_, [width, height], fitter) = self.fitter.as_mut()?;
        fitter.fit(frame, &mut self.pixels).ok()?;
        encode(&self.pixels, *width, *height, 3)
    }
}

/// Width and height of a frame when it is upright.
pub fn upright((width, height): (usize, usize), view: View) -> (usize, usize) {
    match view.turn {
        Turn::Right | Turn::Left => (height, width),
        Turn::None | Turn::Half => (width, height),
    }
}

/// Width and height of a preview.
fn size(frame: &Frame, view: View) -> [usize; 2] {
    let (w, h) = upright((frame.width, frame.height), view);
    let long = w.max(h).max(SIDE);
    [w, h].map(|side| (side * SIDE / long).max(1))
}

/// A JPEG of pixels with one channel or three.
pub fn encode(pixels: &[u8], width: usize, height: usize, channels: usize) -> Option<Vec<u8>> {
    let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    let written = encoder.write_image(pixels, width as u32, height as u32, color);
    written.inspect_err(|e| tracing::warn!("a preview cannot be encoded: {e}")).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldnet_image::frame::{Colors, Format};

    #[test]
    fn previews_are_small_and_upright() {
        let mut frame = Frame::default();
        frame.shape(Format::Rgb, 1280, 640, Colors::default()).unwrap().fill(90);
        let mut preview = Preview::default();
        let size = |jpeg: Option<Vec<u8>>| {
            let image = image::load_from_memory(&jpeg.unwrap()).unwrap();
            (image.width(), image.height())
        };
        assert_eq!(size(preview.jpeg(&mut frame, View::default())), (640, 320));
        let turned = View { turn: Turn::Right, roi: Some([0.0, 0.0, 0.1, 0.1]), ..View::default() };
        assert_eq!(size(preview.jpeg(&mut frame, turned)), (320, 640));
        // The camera's own is taken as it is, unless it lies on its side.
        frame.jpeg = b"the camera's".into();
        assert_eq!(preview.jpeg(&mut frame, View::default()).unwrap(), b"the camera's");
        assert_eq!(size(preview.jpeg(&mut frame, turned)), (320, 640));
    }
}
