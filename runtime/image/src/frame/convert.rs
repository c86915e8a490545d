//! Converts one row of a frame to planes of R, G and B.
//!
//! With Y′ = Y − 16 (limited) or Y (full), U′ = U − 128, V′ = V − 128, the standard's matrix is applied in 13-bit
//! fixed point, rounded:
//! ```text
//! R = (y·Y′           + rv·V′ + 2¹²) >> 13, clamped to 0…255
//! G = (y·Y′ − gu·U′ − gv·V′ + 2¹²) >> 13
//! B = (y·Y′ + bu·U′          + 2¹²) >> 13
//! ```
//! Factors and samples fit in 16 bits, so the 16-bit multipliers of vector units can compute the products
//! (`avx2.rs`). Each chroma sample applies to all the pixels from which it was taken, as in most decoders.

use std::ops::Range as Span;

use super::{Colors, Format, FrameRef, Matrix, Range};
use crate::Planes;

/// One of these matrices.
pub struct Factors {
    pub black: i16,
    pub y: i16,
    pub rv: i16,
    pub gu: i16,
    pub gv: i16,
    pub bu: i16,
}

/// Computes the factors in 13-bit fixed point, rounded. With `a = 2(1 − Kr)`, `b = 2(1 − Kb)`: `rv = a`, `bu = b`,
/// `gv = a·Kr/Kg`, `gu = b·Kb/Kg`; limited range stretches Y by 255/219 and chroma by 255/224.
const fn factors(kr: f64, kb: f64, limited: bool) -> Factors {
    const fn fixed(x: f64) -> i16 {
        (x * 8192.0 + 0.5) as i16
    }
    let (ys, cs, black) = if limited { (255.0 / 219.0, 255.0 / 224.0, 16) } else { (1.0, 1.0, 0) };
    let kg = 1.0 - kr - kb;
    let (a, b) = (2.0 * (1.0 - kr) * cs, 2.0 * (1.0 - kb) * cs);
    Factors {
        black,
        y: fixed(ys),
        rv: fixed(a),
        gu: fixed(b * kb / kg),
        gv: fixed(a * kr / kg),
        bu: fixed(b),
    }
}

const BT601_LIMITED: Factors = factors(0.299, 0.114, true);
const BT601_FULL: Factors = factors(0.299, 0.114, false);
const BT709_LIMITED: Factors = factors(0.2126, 0.0722, true);
const BT709_FULL: Factors = factors(0.2126, 0.0722, false);

impl Factors {
    fn of(colors: Colors) -> &'static Self {
        match (colors.matrix, colors.range) {
            (Matrix::Bt601, Range::Limited) => &BT601_LIMITED,
            (Matrix::Bt601, Range::Full) => &BT601_FULL,
            (Matrix::Bt709, Range::Limited) => &BT709_LIMITED,
            (Matrix::Bt709, Range::Full) => &BT709_FULL,
        }
    }

    #[inline(always)]
    fn rgb(&self, y: u8, u: u8, v: u8) -> [u8; 3] {
        let times = |factor: i16, sample: i16| i32::from(factor) * i32::from(sample);
        let y = times(self.y, i16::from(y) - self.black) + (1 << 12);
        let (u, v) = (i16::from(u) - 128, i16::from(v) - 128);
        let byte = |sum: i32| (sum >> 13).clamp(0, 255) as u8;
        [
            byte(y + times(self.rv, v)),
            byte(y - times(self.gu, u) - times(self.gv, v)),
            byte(y + times(self.bu, u)),
        ]
    }
}

/// The arrangement of the Y, U and V of a row's pixels.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "read by vector units only"))]
pub enum Layout<'a> {
    /// `Y₀ U Y₁ V`
    Yuyv(&'a [u8]),
    /// Y, and pairs `U V` for two pixels.
    Nv(&'a [u8], &'a [u8]),
    /// Y, U and V; each chroma sample covers two pixels.
    Planes(&'a [u8], &'a [u8], &'a [u8]),
    /// Y, U and V of every pixel.
    Whole(&'a [u8], &'a [u8], &'a [u8]),
}

/// Converts as many pixels as a vector unit takes, and returns their number.
fn blocks(layout: Layout<'_>, factors: &Factors, out: [&mut [u8]; 3]) -> usize {
    #[cfg(target_arch = "x86_64")]
    return super::avx2::row(layout, factors, out);
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (layout, factors, out);
        0
    }
}

/// Converts the pixels `columns` of row `y` of a frame.
pub fn row_to_planes(frame: &FrameRef<'_>, y: usize, columns: Span<usize>, out: &mut Planes) {
    let row = frame.row(0, y);
    out.resize(columns.len());
    // Vector units start with a whole pair of pixels.
    let even = columns.start.next_multiple_of(2).min(columns.end);
    match frame.format() {
        Format::Rgb => out.fill_from_rgb(&row[3 * columns.start..3 * columns.end]),
        Format::Bgr => out.fill_from_bgr(&row[3 * columns.start..3 * columns.end]),
        Format::Rgbx => fill_from_four(&row[4 * columns.start..4 * columns.end], [0, 1, 2], out),
        Format::Bgrx => fill_from_four(&row[4 * columns.start..4 * columns.end], [2, 1, 0], out),
        Format::Grey => out.all_mut().into_iter().for_each(|p| p.copy_from_slice(&row[columns.clone()])),
        Format::Yuyv => {
            let layout = Layout::Yuyv(&row[2 * even..]);
            let sample = |x: usize| [row[2 * x], row[4 * (x / 2) + 1], row[4 * (x / 2) + 3]];
            convert(frame.colors(), columns, layout, sample, out);
        }
        Format::Nv12 => {
            let chroma = frame.row(1, y / 2);
            let layout = Layout::Nv(&row[even..], &chroma[even..]);
            let sample = |x: usize| [row[x], chroma[x / 2 * 2], chroma[x / 2 * 2 + 1]];
            convert(frame.colors(), columns, layout, sample, out);
        }
        Format::I420 | Format::I422 => {
            let line = if frame.format() == Format::I420 { y / 2 } else { y };
            let (u, v) = (frame.row(1, line), frame.row(2, line));
            let layout = Layout::Planes(&row[even..], &u[even / 2..], &v[even / 2..]);
            convert(frame.colors(), columns, layout, |x| [row[x], u[x / 2], v[x / 2]], out);
        }
        Format::I444 => {
            let (u, v) = (frame.row(1, y), frame.row(2, y));
            let layout = Layout::Whole(&row[even..], &u[even..], &v[even..]);
            convert(frame.colors(), columns, layout, |x| [row[x], u[x], v[x]], out);
        }
        Format::Jpeg => out.all_mut().into_iter().for_each(|p| p.fill(0)),
    }
}

/// Converts pixels of four bytes, in which red, green and blue are at these positions.
fn fill_from_four(pixels: &[u8], places: [usize; 3], out: &mut Planes) {
    for (plane, place) in out.all_mut().into_iter().zip(places) {
        for (to, pixel) in plane.iter_mut().zip(pixels.chunks_exact(4)) {
            *to = pixel[place];
        }
    }
}

/// Converts `columns`. The vector unit converts as many pixels of `layout` as it takes, starting at the first even
/// column. `sample`, which returns a column's Y, U and V, provides the others.
fn convert(
    colors: Colors,
    columns: Span<usize>,
    layout: Layout<'_>,
    sample: impl Fn(usize) -> [u8; 3],
    out: &mut Planes,
) {
    let factors = Factors::of(colors);
    let first = columns.start % 2;
    let [r, g, b] = out.all_mut();
    let mut done = 0;
    if columns.len() > first {
        done = blocks(layout, factors, [&mut r[first..], &mut g[first..], &mut b[first..]]);
    }
    for i in (0..columns.len()).filter(|i| !(first..first + done).contains(i)) {
        let [y, u, v] = sample(columns.start + i);
        [r[i], g[i], b[i]] = factors.rgb(y, u, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Frame, Plane};
    use proptest::prelude::*;

    /// Computes the standards' formulas in f64.
    fn exact(colors: Colors, y: u8, u: u8, v: u8) -> [f64; 3] {
        let (kr, kb) = match colors.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let (y, u, v) = (f64::from(y), f64::from(u) - 128.0, f64::from(v) - 128.0);
        let (y, u, v) = match colors.range {
            Range::Limited => ((y - 16.0) / 219.0, u / 224.0, v / 224.0),
            Range::Full => (y / 255.0, u / 255.0, v / 255.0),
        };
        let r = y + 2.0 * (1.0 - kr) * v;
        let b = y + 2.0 * (1.0 - kb) * u;
        let g = (y - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|c| (255.0 * c).clamp(0.0, 255.0))
    }

    const COLORS: [Colors; 4] = [
        Colors { matrix: Matrix::Bt601, range: Range::Limited },
        Colors { matrix: Matrix::Bt601, range: Range::Full },
        Colors { matrix: Matrix::Bt709, range: Range::Limited },
        Colors { matrix: Matrix::Bt709, range: Range::Full },
    ];

    #[test]
    fn colours_are_the_standards_but_for_rounding() {
        for colors in COLORS {
            for y in (0..=255).step_by(3) {
                for u in (0..=255).step_by(5) {
                    for v in (0..=255).step_by(5) {
                        let ours = Factors::of(colors).rgb(y, u, v);
                        for (a, b) in ours.iter().zip(exact(colors, y, u, v)) {
                            let off = (f64::from(*a) - b).abs();
                            assert!(off < 0.54, "{colors:?} {y} {u} {v}: {a} for {b}");
                        }
                    }
                }
            }
        }
    }

    /// Returns one pixel of a frame, directly from the layouts' definitions.
    fn pixel(frame: &Frame, x: usize, y: usize) -> [u8; 3] {
        let (h, s, b) = (frame.height, frame.stride, &frame.bytes);
        let (hs, hh) = (s.div_ceil(2), h.div_ceil(2));
        let yuv = match frame.format {
            Format::Rgb => return [0, 1, 2].map(|c| b[y * s + 3 * x + c]),
            Format::Bgr => return [2, 1, 0].map(|c| b[y * s + 3 * x + c]),
            Format::Rgbx => return [0, 1, 2].map(|c| b[y * s + 4 * x + c]),
            Format::Bgrx => return [2, 1, 0].map(|c| b[y * s + 4 * x + c]),
            Format::Grey => return [b[y * s + x]; 3],
            Format::Yuyv => {
                let four = &b[y * s + 4 * (x / 2)..];
                [four[2 * (x % 2)], four[1], four[3]]
            }
            Format::Nv12 => {
                let at = s * (h + y / 2) + x / 2 * 2;
                [b[y * s + x], b[at], b[at + 1]]
            }
            Format::I420 => {
                let at = s * h + hs * (y / 2) + x / 2;
                [b[y * s + x], b[at], b[at + hs * hh]]
            }
            Format::I422 => {
                let at = s * h + hs * y + x / 2;
                [b[y * s + x], b[at], b[at + hs * h]]
            }
            Format::I444 => [b[y * s + x], b[s * h + y * s + x], b[2 * s * h + y * s + x]],
            Format::Jpeg => unreachable!(),
        };
        Factors::of(frame.colors).rgb(yuv[0], yuv[1], yuv[2])
    }

    const FORMATS: [Format; 10] = [
        Format::Yuyv,
        Format::Nv12,
        Format::I420,
        Format::I422,
        Format::I444,
        Format::Rgb,
        Format::Bgr,
        Format::Rgbx,
        Format::Bgrx,
        Format::Grey,
    ];

    proptest! {
        #[test]
        fn every_layout_is_read_as_defined(
            format in 0..FORMATS.len(),
            (width, height, margin) in (1..90_usize, 1..7_usize, 0..5_usize),
            seed in any::<u32>(),
            colors in 0..4_usize,
            (from, to) in (0..90_usize, 0..90_usize),
        ) {
            let format = FORMATS[format];
            let stride = format.row_bytes(width) + margin;
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let bytes = (0..format.frame_bytes(width, height, stride)).map(|_| random()).collect();
            let mut frame =
                Frame { format, width, height, stride, colors: COLORS[colors], bytes, ..Frame::default() };
            frame.develop().unwrap();
            let (from, to) = (from.min(to).min(width), from.max(to).min(width));
            let mut out = Planes::default();
            for y in 0..height {
                let expected: Vec<u8> = (from..to).flat_map(|x| pixel(&frame, x, y)).collect();
                let mut rgb = Vec::new();
                row_to_planes(&frame.borrowed(), y, from..to, &mut out);
                out.append_rgb(&mut rgb);
                prop_assert_eq!(&rgb, &expected, "{:?} row {}", format, y);
            }
            // The same planes are moved apart. Each has its own margin and not a single byte after its last row.
            let whole = frame.borrowed();
            let moved: Vec<(Vec<u8>, usize)> = format
                .planes(width, height)
                .into_iter()
                .enumerate()
                .filter(|(_, (_, rows))| *rows > 0)
                .map(|(plane, (row, rows))| {
                    let stride = row + margin * plane;
                    let mut bytes = vec![0; stride * (rows - 1) + row];
                    for y in 0..rows {
                        bytes[stride * y..][..row].copy_from_slice(whole.row(plane, y));
                    }
                    (bytes, stride)
                })
                .collect();
            let planes: Vec<Plane<'_>> =
                moved.iter().map(|(bytes, stride)| Plane { bytes, stride: *stride }).collect();
            let apart = FrameRef::new(format, width, height, COLORS[colors], &planes).unwrap();
            for y in 0..height {
                let (mut one, mut other) = (Vec::new(), Vec::new());
                row_to_planes(&whole, y, from..to, &mut out);
                out.append_rgb(&mut one);
                row_to_planes(&apart, y, from..to, &mut out);
                out.append_rgb(&mut other);
                prop_assert_eq!(one, other, "{:?} row {}", format, y);
            }
            for cut in 0..planes.len() {
                let mut short = planes.clone();
                short[cut].bytes = &short[cut].bytes[1..];
                prop_assert!(FrameRef::new(format, width, height, COLORS[colors], &short).is_err());
            }
            prop_assert!(FrameRef::new(format, width, height, COLORS[colors], &planes[1..]).is_err());
            frame.bytes.pop();
            prop_assert!(frame.develop().is_err());
        }
    }
}
