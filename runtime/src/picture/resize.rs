//! Bilinear resizing with antialiasing, bit for bit as Pillow's `Image.resize(size, BILINEAR)` does it
//! for 8-bit pictures, in all its versions up to 12. (Version 13 sometimes takes the rows first, where
//! that is faster, which moves roundings.)
//!
//! Separable, columns first, then rows, each rounded to u8. Along one axis, with `s = in / out` and
//! `f = max(s, 1)` the filter's half-width:
//! ```text
//! centre(i) = (i + ½)·s                          in f64
//! taps(i)   = ⌊centre − f + ½⌋ … ⌊centre + f + ½⌋ − 1, inside the picture
//! k(i, j)   = tri((j − centre + ½) / f), normalized to Σⱼ k = 1, tri(x) = max(1 − |x|, 0)
//! K(i, j)   = ⌊k·2²² + ½⌋                        22-bit fixed point
//! out(i)    = (2²¹ + Σⱼ K(i, j)·in(j)) >> 22
//! ```
//! A pass whose size does not change is left out. Only the columns and rows of the asked-for window
//! are computed, so that a crop costs its own size, whatever the picture's.

use std::ops::Range;

use super::Picture;

const PRECISION: u32 = 22;

/// The window `columns` × `rows` of the picture resized to `width` × `height`, RGB. The window lies
/// inside that size.
pub fn resize_window(
    picture: &Picture,
    (width, height): (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Vec<u8> {
    let across = Axis::new(picture.width(), width, columns);
    let down = Axis::new(picture.height(), height, rows);
    let needed = down.inputs();
    let stride = 3 * picture.width();
    let mut narrow = Vec::with_capacity(3 * across.len() * needed.len());
    for row in picture.rgb()[stride * needed.start..stride * needed.end].chunks_exact(stride) {
        across.resize_row(row, 0, &mut narrow);
    }
    let mut out = Vec::with_capacity(3 * across.len() * down.len());
    down.resize_columns(&narrow, 3 * across.len(), &mut Vec::new(), &mut out);
    out
}

/// One output sample: the taps it is the weighted sum of.
struct Output {
    first: usize,
    /// Fixed-point weights; empty in an axis that keeps its size.
    weights: Vec<i32>,
}

/// A resizing along one axis.
pub struct Axis {
    /// True when nothing is to be done but taking the window.
    same: bool,
    outputs: Vec<Output>,
}

impl Axis {
    /// The samples `window` of `to` that `from` samples are resized to.
    pub fn new(from: usize, to: usize, window: Range<usize>) -> Self {
        if from == to {
            return Self {
                same: true,
                outputs: window.map(|i| Output { first: i, weights: Vec::new() }).collect(),
            };
        }
        Self { same: false, outputs: window.map(|i| Output::new(from, to, i)).collect() }
    }

    /// Outputs.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// The inputs that the outputs are made of.
    pub fn inputs(&self) -> Range<usize> {
        let end = |o: &Output| o.first + o.weights.len().max(1);
        match (self.outputs.first(), self.outputs.last()) {
            (Some(first), Some(last)) => first.first..end(last),
            _ => 0..0,
        }
    }

    /// Appends the outputs made of one row of RGB, of which `row` holds the pixels from `first` on.
    pub fn resize_row(&self, row: &[u8], first: usize, out: &mut Vec<u8>) {
        if self.same {
            let Range { start, end } = self.inputs();
            return out.extend_from_slice(&row[3 * (start - first)..3 * (end - first)]);
        }
        for output in &self.outputs {
            let mut sums = [1_i32 << (PRECISION - 1); 3];
            let taps = row[3 * (output.first - first)..].chunks_exact(3);
            for (pixel, &weight) in taps.zip(&output.weights) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(sample) * weight;
                }
            }
            out.extend(sums.map(to_byte));
        }
    }

    /// Appends the output rows. `narrow` holds rows of `stride` bytes, the first of [`Axis::inputs`]
    /// first; `sums` is scratch.
    pub fn resize_columns(&self, narrow: &[u8], stride: usize, sums: &mut Vec<i32>, out: &mut Vec<u8>) {
        if self.same {
            return out.extend_from_slice(narrow);
        }
        let top = self.inputs().start;
        sums.resize(stride, 0);
        for output in &self.outputs {
            sums.fill(1 << (PRECISION - 1));
            let taps = narrow[stride * (output.first - top)..].chunks_exact(stride);
            for (row, &weight) in taps.zip(&output.weights) {
                for (sum, &sample) in sums.iter_mut().zip(row) {
                    *sum += i32::from(sample) * weight;
                }
            }
            out.extend(sums.iter().map(|&sum| to_byte(sum)));
        }
    }
}

impl Output {
    fn new(from: usize, to: usize, i: usize) -> Self {
        // The operations and their order are Pillow's: the last bit of the f64 matters.
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let centre = (i as f64 + 0.5) * scale;
        let inverse = 1.0 / support;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let triangle = |x: f64| (1.0 - x.abs()).max(0.0);
        let raw: Vec<f64> =
            (0..end - first).map(|j| triangle(((j + first) as f64 - centre + 0.5) * inverse)).collect();
        let sum: f64 = raw.iter().sum();
        let fixed = |k: f64| (0.5 + k / sum * f64::from(1 << PRECISION)) as i32;
        Self { first, weights: raw.into_iter().map(fixed).collect() }
    }
}

/// The weights of an output sum to 2²² but for rounding, so the sum fits 32 bits; it is clamped, since
/// rounding may carry it past 255.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
