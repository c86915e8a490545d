//! Resizes whole images on a host; [`resample`](crate::resample) defines the arithmetic.
//!
//! [`Filter::Plain`] is TensorFlow's `tf.image.resize(…, "bilinear")` except for the rounding to u8: two taps at
//! `⌊c⌋` and `⌈c⌉` inside the image, `c = (i + ½)·s − ½` in f32, with the weights `1 − (c − ⌊c⌋)` and `c − ⌊c⌋`.
//!
//! A pass that does not change the size is left out. Only the columns and rows of the requested window are
//! computed, so the cost of a crop depends on its own size, not on the image's.

use std::ops::Range;

use crate::resample::{self, PRECISION, to_byte};
use crate::{ImageRef, Planes};

/// The samples from which an output is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All samples that the output covers.
    Antialiased,
    /// The nearest two samples.
    Plain,
}

/// Returns the window `columns` × `rows` of the image resized to `width` × `height`, RGB. The window is inside
/// that size.
pub fn resize_window(
    image: ImageRef<'_>,
    filter: Filter,
    (width, height): (usize, usize),
    columns: Range<usize>,
    rows: Range<usize>,
) -> Vec<u8> {
    let across = Axis::new(filter, image.width(), width, columns);
    let down = Axis::new(filter, image.height(), height, rows);
    let (needed, from) = (down.inputs(), across.inputs());
    let mut narrow = Vec::with_capacity(3 * across.len() * needed.len());
    let mut planes = Planes::default();
    for row in needed.map(|y| image.row(y)) {
        planes.resize(from.len());
        planes.fill_from_rgb(&row[3 * from.start..3 * from.end]);
        across.resize_row(&planes, &mut narrow);
    }
    let mut out = vec![0; 3 * across.len() * down.len()];
    down.resize_columns(&narrow, 3 * across.len(), &mut Vec::new(), &mut out);
    out
}

/// The taps whose weighted sum is one output sample.
pub(super) struct Output {
    pub(super) first: usize,
    /// The fixed-point weights; empty if the axis keeps its size.
    pub(super) weights: Vec<i32>,
}

/// One axis of the resizing.
pub struct Axis {
    /// Whether the axis only cuts out the window.
    same: bool,
    outputs: Vec<Output>,
    #[cfg(target_arch = "x86_64")]
    packed: super::avx2::Packed,
}

impl Axis {
    /// Resizes `from` samples to `to`, of which `window` is computed.
    pub fn new(filter: Filter, from: usize, to: usize, window: Range<usize>) -> Self {
        let same = from == to;
        let output = |i| match filter {
            _ if same => Output { first: i, weights: Vec::new() },
            Filter::Antialiased => Output::antialiased(from, to, i),
            Filter::Plain => Output::plain(from, to, i),
        };
        let outputs: Vec<Output> = window.map(output).collect();
        #[cfg(target_arch = "x86_64")]
        let packed = super::avx2::Packed::new(&outputs);
        Self {
            same,
            outputs,
            #[cfg(target_arch = "x86_64")]
            packed,
        }
    }

    /// Returns the number of outputs.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Returns the inputs from which the outputs are computed.
    pub fn inputs(&self) -> Range<usize> {
        let end = |o: &Output| o.first + o.weights.len().max(1);
        match (self.outputs.first(), self.outputs.last()) {
            (Some(first), Some(last)) => first.first..end(last),
            _ => 0..0,
        }
    }

    /// Appends the outputs of one row, as RGB. `row` contains the pixels [`Axis::inputs`].
    pub fn resize_row(&self, row: &Planes, out: &mut Vec<u8>) {
        if self.same {
            return row.append_rgb(out);
        }
        #[cfg(target_arch = "x86_64")]
        if self.packed.resize_row(row, self.outputs.len(), out) {
            return;
        }
        let start = self.inputs().start;
        for output in &self.outputs {
            let from = output.first - start;
            out.extend(row.all().map(|plane| output.sample(&plane[from..])));
        }
    }

    /// Writes the output rows, [`Axis::len`] of them. `narrow` contains rows of `stride` bytes, starting with the
    /// first of [`Axis::inputs`]; `sums` is scratch.
    pub fn resize_columns(&self, narrow: &[u8], stride: usize, sums: &mut Vec<i32>, out: &mut [u8]) {
        if self.same {
            return out.copy_from_slice(narrow);
        }
        let top = self.inputs().start;
        sums.resize(stride, 0);
        for (output, row) in self.outputs.iter().zip(out.chunks_exact_mut(stride)) {
            let taps = &narrow[stride * (output.first - top)..];
            #[cfg(target_arch = "x86_64")]
            super::avx2::column(taps, &output.weights, sums, row);
            #[cfg(not(target_arch = "x86_64"))]
            column(taps, &output.weights, sums, row);
        }
    }
}

/// Writes the weighted sums of rows; `sums` is scratch of a row's length.
#[inline(always)]
pub(super) fn column(taps: &[u8], weights: &[i32], sums: &mut [i32], out: &mut [u8]) {
    sums.fill(1 << (PRECISION - 1));
    for (row, &weight) in taps.chunks_exact(out.len()).zip(weights) {
        for (sum, &sample) in sums.iter_mut().zip(row) {
            *sum += i32::from(sample) * weight;
        }
    }
    for (out, &sum) in out.iter_mut().zip(&*sums) {
        *out = to_byte(sum);
    }
}

impl Output {
    /// Computes the output from a plane that starts at its first tap.
    fn sample(&self, plane: &[u8]) -> u8 {
        let taps = plane.iter().zip(&self.weights);
        to_byte(taps.fold(1 << (PRECISION - 1), |sum, (&sample, &weight)| sum + i32::from(sample) * weight))
    }

    fn plain(from: usize, to: usize, i: usize) -> Self {
        // The operations and their order are TensorFlow's.
        let scale = from as f32 / to as f32;
        let centre = (i as f32 + 0.5) * scale - 0.5;
        let first = centre.floor().max(0.0) as usize;
        let second = (centre.ceil().max(0.0) as usize).min(from - 1);
        let share = centre - centre.floor();
        let fixed = |k: f32| resample::fixed(f64::from(k));
        if second <= first {
            return Self { first: second, weights: vec![1 << PRECISION] };
        }
        Self { first, weights: vec![(1 << PRECISION) - fixed(share), fixed(share)] }
    }

    fn antialiased(from: usize, to: usize, i: usize) -> Self {
        let (first, end) = resample::span(from, to, i);
        let raw: Vec<f64> = (first..end).map(|j| resample::weight(from, to, i, j)).collect();
        let sum: f64 = raw.iter().sum();
        Self { first, weights: raw.into_iter().map(|k| resample::fixed(k / sum)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vector_units_give_the_definitions_bits(
            (from, to) in (1..700_usize, 1..120_usize),
            (a, b) in (0..120_usize, 0..120_usize),
            plain in any::<bool>(),
            seed in any::<u32>(),
        ) {
            let filter = if plain { Filter::Plain } else { Filter::Antialiased };
            let axis = Axis::new(filter, from, to, a.min(b).min(to)..a.max(b).min(to));
            let Range { start, end } = axis.inputs();
            let mut state = seed;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Extreme values are frequent, because they give the largest sums.
                if state >> 31 == 0 { (state >> 16) as u8 } else { 255 }
            };
            let rgb: Vec<u8> = (0..3 * (end - start)).map(|_| noise()).collect();
            let mut row = Planes::default();
            row.resize(end - start);
            row.fill_from_rgb(&rgb);
            let mut out = vec![7];
            axis.resize_row(&row, &mut out);
            let sample = |o: &Output, c: usize| {
                let mut plane = rgb[3 * (o.first - start)..].iter().skip(c).step_by(3).copied();
                if axis.same { plane.next().unwrap() } else { o.sample(&plane.collect::<Vec<_>>()) }
            };
            let expected = axis.outputs.iter().flat_map(|o| [0, 1, 2].map(|c| sample(o, c)));
            prop_assert_eq!(out, [7].into_iter().chain(expected).collect::<Vec<u8>>());

            let height = axis.inputs().len();
            let narrow: Vec<u8> = (0..5 * height).map(|_| noise()).collect();
            let mut columns = vec![9; 5 * axis.len()];
            axis.resize_columns(&narrow, 5, &mut Vec::new(), &mut columns);
            for (o, row) in axis.outputs.iter().zip(columns.chunks_exact(5)) {
                for (x, &pixel) in row.iter().enumerate() {
                    let mut taps = narrow[5 * (o.first - start)..].iter().skip(x).step_by(5).copied();
                    let expected =
                        if axis.same { taps.next().unwrap() } else { o.sample(&taps.collect::<Vec<_>>()) };
                    prop_assert_eq!(pixel, expected);
                }
            }
        }
    }
}
