//! Converts a frame to the network's pixels in one pass over its rows.
//!
//! Each row that is needed is converted to R, G and B, resized along its length, and kept; then the columns are
//! resized. Weights, rounding and crop are those of [`crate::fit`], with which the network was calibrated. The
//! same image therefore gives the same bytes, whether it comes from a file or from a camera that delivers RGB.
//!
//! Frames are turned and mirrored last, when they are small; the windows are reflected accordingly. A quarter turn
//! swaps the order in which the axes are resized, which changes rounding by at most 2.

use std::ops::Range;

use foldnet_archive::{Input, Resize};

use super::convert::row_to_planes;
use super::{Format, Frame, FrameError, FrameRef};
use crate::resize::{Axis, Filter};
use crate::{Planes, channels, cropped_size, filter, window};

/// The clockwise turn that makes a frame upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// No turn.
    #[default]
    None,
    /// A turn by 90°.
    Right,
    /// A turn by 180°.
    Half,
    /// A turn by 270°.
    Left,
}

/// The visible part of the frame, and how the camera is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct View {
    /// The turn, which is applied first.
    pub turn: Turn,
    /// Whether left and right are then swapped.
    pub mirror: bool,
    /// The part that is then cut out: left, top, width and height as fractions of the upright image.
    pub roi: Option<[f32; 4]>,
}

/// One axis of the frame, and the destination of its outputs.
struct Side {
    /// The start of the region in the frame.
    start: usize,
    axis: Axis,
    /// The number of output positions before the first that the frame fills.
    before: usize,
    /// The total number of output positions.
    length: usize,
    flip: bool,
}

struct Mapping {
    format: Format,
    size: (usize, usize),
    x: Side,
    y: Side,
    swap: bool,
}

/// Fits frames to a network's input. Frames may change their size; values computed for a size are kept.
pub struct Fitter {
    input: Input,
    view: View,
    mapping: Option<Mapping>,
    planes: Planes,
    narrow: Vec<u8>,
    sums: Vec<i32>,
    small: Vec<u8>,
}

impl Fitter {
    /// Creates a fitter for a network and a view.
    pub fn new(input: Input, view: View) -> Self {
        Self {
            input,
            view,
            mapping: None,
            planes: Planes::default(),
            narrow: Vec::new(),
            sums: Vec::new(),
            small: Vec::new(),
        }
    }

    /// Returns the view.
    pub fn view(&self) -> View {
        self.view
    }

    /// Sets the view.
    pub fn look(&mut self, view: View) {
        (self.view, self.mapping) = (view, None);
    }

    /// Writes the frame as `height × width × channels` bytes to `pixels`, whatever their content was. Decodes a
    /// JPEG.
    pub fn fit(&mut self, frame: &mut Frame, pixels: &mut Vec<u8>) -> Result<(), FrameError> {
        pixels.resize(self.bytes(), 0);
        self.fit_into(frame, pixels)
    }

    /// Returns the size of the network's pixels in bytes.
    pub fn bytes(&self) -> usize {
        self.input.height * self.input.width * self.input.channels
    }

    /// Like [`Self::fit`], into memory of [`Self::bytes`] bytes. Writes every byte and reads none.
    ///
    /// # Panics
    /// Panics if `pixels` has another length.
    pub fn fit_into(&mut self, frame: &mut Frame, pixels: &mut [u8]) -> Result<(), FrameError> {
        frame.develop()?;
        self.fit_ref(&frame.borrowed(), pixels);
        Ok(())
    }

    /// Like [`Self::fit_into`], for a borrowed frame.
    ///
    /// # Panics
    /// Panics if the length of `pixels` is not [`Self::bytes`].
    pub fn fit_ref(&mut self, frame: &FrameRef<'_>, pixels: &mut [u8]) {
        assert_eq!(pixels.len(), self.bytes(), "bytes of the network's pixels");
        let (size, format) = (frame.size(), frame.format());
        if self.mapping.as_ref().is_none_or(|g| g.size != size || g.format != format) {
            self.mapping = Some(Mapping::new(&self.input, self.view, format, size));
        }
        let Some(Mapping { x, y, swap, .. }) = &self.mapping else { return };
        let columns = x.axis.inputs();
        self.narrow.clear();
        for row in y.axis.inputs() {
            let from = x.start + columns.start..x.start + columns.end;
            row_to_planes(frame, y.start + row, from, &mut self.planes);
            x.axis.resize_row(&self.planes, &mut self.narrow);
        }
        let stride = 3 * x.axis.len();
        let whole = (x.axis.len(), y.axis.len()) == (x.length, y.length);
        if whole && !swap && !x.flip && !y.flip && self.input.channels == 3 {
            y.axis.resize_columns(&self.narrow, stride, &mut self.sums, pixels);
            return;
        }
        self.small.resize(stride * y.axis.len(), 0);
        y.axis.resize_columns(&self.narrow, stride, &mut self.sums, &mut self.small);
        self.place(stride, *swap, pixels);
    }

    /// Writes the small image to its place: turned, mirrored, with a black frame.
    fn place(&self, stride: usize, swap: bool, pixels: &mut [u8]) {
        let Some(Mapping { x, y, .. }) = &self.mapping else { return };
        let count = self.input.channels;
        for black in pixels.chunks_exact_mut(count) {
            channels(&[0; 3], black);
        }
        let width = if swap { y.length } else { x.length };
        for (row, line) in self.small.chunks_exact(stride.max(1)).enumerate() {
            let v = y.place(row);
            for (column, pixel) in line.chunks_exact(3).enumerate() {
                let u = x.place(column);
                let at = if swap { u * width + v } else { v * width + u };
                channels(pixel, &mut pixels[count * at..count * (at + 1)]);
            }
        }
    }
}

impl Side {
    /// Returns the position of the axis' output `i` on the upright side.
    fn place(&self, i: usize) -> usize {
        if self.flip { self.before + self.axis.len() - 1 - i } else { self.before + i }
    }
}

/// One side of the upright image: `region` of `full` pixels is resized to `size`. Of that, a centred window is
/// shown on a side of `length` pixels; the rest of the side is black.
struct Upright {
    full: usize,
    region: Range<usize>,
    size: usize,
    length: usize,
    filter: Filter,
}

impl Upright {
    /// Converts this to a side of the frame.
    fn side(self, flip: bool) -> Side {
        let (shown, before) = window(self.size, self.length);
        let reflect = |r: Range<usize>, n: usize| if flip { n - r.end..n - r.start } else { r };
        let region = reflect(self.region, self.full);
        let shown = reflect(shown, self.size);
        let axis = Axis::new(self.filter, region.len(), self.size, shown);
        Side { start: region.start, axis, before, length: self.length, flip }
    }
}

/// Returns the pixels that a fraction of a side covers, at least one.
fn span(full: usize, start: f32, length: f32) -> Range<usize> {
    let at = |share: f32| (share.clamp(0.0, 1.0) * full as f32).round() as usize;
    let first = at(start).min(full - 1);
    first..at(start + length).clamp(first + 1, full)
}

impl Mapping {
    fn new(input: &Input, view: View, format: Format, size: (usize, usize)) -> Self {
        let swap = matches!(view.turn, Turn::Right | Turn::Left);
        let (width, height) = if swap { (size.1, size.0) } else { size };
        let [left, top, w, h] = view.roi.unwrap_or([0.0, 0.0, 1.0, 1.0]);
        let (across, down) = (span(width, left, w), span(height, top, h));
        let region = (across.len(), down.len());
        let target = (input.width, input.height);
        let resized = match input.resize {
            _ if region == target => target,
            Resize::Stretch | Resize::Bilinear => target,
            Resize::Crop { short_side } => cropped_size(region, short_side),
        };
        let filter = filter(input.resize);
        let u = Upright { full: width, region: across, size: resized.0, length: target.0, filter };
        let v = Upright { full: height, region: down, size: resized.1, length: target.1, filter };
        // Maps the upright image's axes to the frame's, and decides which of them run backwards.
        let m = view.mirror;
        let (x, y) = match view.turn {
            Turn::None => (u.side(m), v.side(false)),
            Turn::Half => (u.side(!m), v.side(true)),
            Turn::Right => (v.side(false), u.side(!m)),
            Turn::Left => (v.side(true), u.side(m)),
        };
        Self { format, size, x, y, swap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colors, Matrix};
    use crate::{Image, fit};
    use proptest::prelude::*;

    fn input(width: usize, height: usize, channels: usize, resize: Resize) -> Input {
        let (mean, std) = (vec![0.0; channels], vec![1.0; channels]);
        Input { width, height, channels, resize, preprocess: "none".into(), mean, std }
    }

    fn scene(width: usize, height: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 27) as usize
        };
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let wave = |a: usize, b: usize, n: usize| ((a * x + b * y + n) % 224) as u8;
                rgb.extend([wave(3, 1, noise()), wave(1, 2, noise()), wave(2, 5, noise())]);
            }
        }
        rgb
    }

    fn rgb_frame(width: usize, height: usize, rgb: Vec<u8>) -> Frame {
        let mut frame = Frame::default();
        frame.shape(Format::Rgb, width, height, Colors::default()).unwrap().copy_from_slice(&rgb);
        frame
    }

    /// Returns the upright image, cut, computed pixel by pixel.
    fn upright(rgb: &[u8], (w, h): (usize, usize), view: View) -> Image {
        let swap = matches!(view.turn, Turn::Right | Turn::Left);
        let (uw, uh) = if swap { (h, w) } else { (w, h) };
        let [left, top, rw, rh] = view.roi.unwrap_or([0.0, 0.0, 1.0, 1.0]);
        let (across, down) = (span(uw, left, rw), span(uh, top, rh));
        let mut out = Vec::new();
        for y in down.clone() {
            for x in across.clone() {
                let x = if view.mirror { uw - 1 - x } else { x };
                let (fx, fy) = match view.turn {
                    Turn::None => (x, y),
                    Turn::Right => (y, h - 1 - x),
                    Turn::Half => (w - 1 - x, h - 1 - y),
                    Turn::Left => (w - 1 - y, x),
                };
                out.extend_from_slice(&rgb[3 * (fy * w + fx)..][..3]);
            }
        }
        Image::new(across.len(), down.len(), out).unwrap()
    }

    const TURNS: [Turn; 4] = [Turn::None, Turn::Right, Turn::Half, Turn::Left];

    proptest! {
        #[test]
        fn frames_agree_with_pictures(
            (w, h) in (1..90_usize, 1..90_usize),
            (tw, th, channels) in (1..40_usize, 1..40_usize, prop::sample::select(vec![1_usize, 3])),
            (short, plain) in (prop::option::of(1..60_usize), any::<bool>()),
            (turn, mirror) in (0..4_usize, any::<bool>()),
            roi in prop::option::of([0.0..0.9_f32, 0.0..0.9_f32, 0.01..1.0_f32, 0.01..1.0_f32]),
            seed in any::<u32>(),
        ) {
            let stretch = if plain { Resize::Bilinear } else { Resize::Stretch };
            let resize = short.map_or(stretch, |short_side| Resize::Crop { short_side });
            let input = input(tw, th, channels, resize);
            let view = View { turn: TURNS[turn], mirror, roi };
            let rgb = scene(w, h, seed);
            let expected = fit(&upright(&rgb, (w, h), view), &input);
            let mut pixels = vec![9; 5];
            Fitter::new(input, view).fit(&mut rgb_frame(w, h, rgb), &mut pixels).unwrap();
            prop_assert_eq!(pixels.len(), expected.len());
            let straight = turn == 0 && !mirror;
            for (a, b) in pixels.iter().zip(&expected) {
                let off = a.abs_diff(*b);
                // In a reflected image, both passes may round in the other direction.
                prop_assert!(off <= if straight { 0 } else { 2 }, "{} for {}", a, b);
            }
        }
    }

    #[test]
    fn yuyv_differs_from_the_picture_by_its_chroma_only() {
        // Colours that change slowly survive a camera's halved chroma, so only rounding remains.
        let (w, h) = (320, 240);
        let smooth: Vec<u8> = (0..w * h)
            .flat_map(|i| {
                let (x, y) = (i % w, i / w);
                [40 + x / 2, 30 + y / 2, 60 + (x + y) / 4].map(|c| c as u8)
            })
            .collect();
        for (matrix, [kr, kb]) in [(Matrix::Bt601, [0.299, 0.114]), (Matrix::Bt709, [0.2126, 0.0722])] {
            let yuv = |p: &[u8]| {
                let [r, g, b] = [0, 1, 2].map(|c| f64::from(p[c]) / 255.0);
                let y = kr * r + (1.0 - kr - kb) * g + kb * b;
                let (u, v) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
                [16.0 + 219.0 * y, 128.0 + 224.0 * u, 128.0 + 224.0 * v].map(|c| c.round() as u8)
            };
            let mut frame = Frame::default();
            let colors = Colors { matrix, ..Colors::default() };
            let bytes = frame.shape(Format::Yuyv, w, h, colors).unwrap();
            for (four, pixels) in bytes.chunks_exact_mut(4).zip(smooth.chunks_exact(6)) {
                let (a, b) = (yuv(&pixels[..3]), yuv(&pixels[3..]));
                four.copy_from_slice(&[a[0], a[1], b[0], a[2]]);
            }
            let input = input(224, 224, 3, Resize::Crop { short_side: 232 });
            let expected = fit(&Image::new(w, h, smooth.clone()).unwrap(), &input);
            let mut pixels = Vec::new();
            Fitter::new(input, View::default()).fit(&mut frame, &mut pixels).unwrap();
            let off: usize = pixels.iter().zip(&expected).map(|(a, b)| usize::from(a.abs_diff(*b))).sum();
            assert!(off <= pixels.len(), "{matrix:?}: mean {}", off as f64 / pixels.len() as f64);
        }
    }

    #[test]
    fn a_changed_size_is_followed_and_a_bad_frame_refused() {
        let mut fitter = Fitter::new(input(8, 8, 3, Resize::Stretch), View::default());
        let mut pixels = Vec::new();
        for (w, h) in [(20, 10), (10, 20), (8, 8)] {
            fitter.fit(&mut rgb_frame(w, h, vec![50; 3 * w * h]), &mut pixels).unwrap();
            assert_eq!(pixels, [50; 192]);
        }
        let mut short = rgb_frame(8, 8, vec![0; 192]);
        short.bytes.truncate(100);
        assert!(matches!(fitter.fit(&mut short, &mut pixels), Err(FrameError::Short { .. })));
        let mut garbage = Frame { bytes: vec![0xff; 999], ..Frame::default() };
        garbage.is_jpeg();
        assert!(matches!(fitter.fit(&mut garbage, &mut pixels), Err(FrameError::Jpeg(_))));
        let mut empty = Frame::default();
        assert!(matches!(fitter.fit(&mut empty, &mut pixels), Err(FrameError::Size(0, 0))));
        assert!(Frame::bytes_for(Format::Rgb, MAX, MAX).is_err());
    }

    const MAX: usize = super::super::MAX_SIDE;
}
