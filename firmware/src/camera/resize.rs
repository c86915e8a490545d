//! Resizing on the way from the camera's rows to the network's pixels, bit for bit as the host does it:
//! `runtime/image/src/resize.rs` has the rule (bilinear, antialiased, weights of 22 bits, columns
//! first, each pass rounded to u8).
//!
//! The weights are computed by the compiler and lie in flash; at run time there are only integers. Each
//! camera row is made narrow when it comes and kept while an output row still needs it.

use crate::camera::PixelFormat;
use crate::frame::Progress;

const PRECISION: u32 = 22;

/// How many inputs an output is the sum of, at most: the room for its weights, and the number of rows
/// that are kept.
pub const fn taps(from: usize, to: usize) -> usize {
    // 2·max(from/to, 1) + 1, rounded up.
    if from <= to { 3 } else { (2 * from).div_ceil(to) + 1 }
}

/// The size that a picture is brought to before its middle is cut out: the short side becomes
/// `short_side`.
pub const fn cropped_size((width, height): (usize, usize), short_side: usize) -> (usize, usize) {
    if width <= height {
        (short_side, short_side * height / width)
    } else {
        (short_side * width / height, short_side)
    }
}

/// The first sample of a window of `want` in the middle of `have`.
pub const fn centred(have: usize, want: usize) -> usize {
    // Half of an odd number is rounded to even.
    let spare = have - want;
    spare / 2 + (spare % 4 == 3) as usize
}

/// What one output is the sum of.
#[derive(Clone, Copy)]
struct Output {
    first: u16,
    taps: u16,
}

/// The weights along one axis: `OUT` outputs of at most `TAPS` inputs.
pub struct Weights<const OUT: usize, const TAPS: usize> {
    from: usize,
    outputs: [Output; OUT],
    weights: [[i32; TAPS]; OUT],
}

impl<const OUT: usize, const TAPS: usize> Weights<OUT, TAPS> {
    /// All of `from` samples as `OUT`: a picture is stretched.
    pub const fn stretch(from: usize) -> Self {
        Self::window(from, OUT, 0)
    }

    /// The samples `first..first + OUT` of the `to` that `from` samples are resized to. Computed in a
    /// `static`, so that what does not fit is an error of the compiler.
    pub const fn window(from: usize, to: usize, first: usize) -> Self {
        assert!(from > 0 && from < 1 << 15 && first + OUT <= to && TAPS >= taps(from, to));
        let mut all = Self { from, outputs: [Output { first: 0, taps: 0 }; OUT], weights: [[0; TAPS]; OUT] };
        let mut i = 0;
        while i < OUT {
            (all.outputs[i], all.weights[i]) = output(from, to, first + i);
            i += 1;
        }
        all
    }

    /// To be used.
    pub const fn axis(&'static self) -> Axis {
        Axis { from: self.from, taps: TAPS, outputs: &self.outputs, weights: self.weights.as_flattened() }
    }
}

/// One output. The operations and their order are the host's: the last bit of the f64 matters.
const fn output<const TAPS: usize>(from: usize, to: usize, i: usize) -> (Output, [i32; TAPS]) {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let centre = (i as f64 + 0.5) * scale;
    let inverse = 1.0 / support;
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = (centre + support + 0.5) as usize;
    let end = if end < from { end } else { from };
    let (mut raw, mut sum, mut j) = ([0.0; TAPS], 0.0, 0);
    while j < end - first {
        let x: f64 = ((j + first) as f64 - centre + 0.5) * inverse;
        raw[j] = (1.0 - x.abs()).max(0.0);
        sum += raw[j];
        j += 1;
    }
    let mut weights = [0; TAPS];
    j = 0;
    while j < end - first {
        weights[j] = (0.5 + raw[j] / sum * (1 << PRECISION) as f64) as i32;
        j += 1;
    }
    (Output { first: first as u16, taps: (end - first) as u16 }, weights)
}

/// One axis of a resizing.
#[derive(Clone, Copy)]
pub struct Axis {
    from: usize,
    taps: usize,
    outputs: &'static [Output],
    weights: &'static [i32],
}

impl Axis {
    fn weights(&self, i: usize, output: Output) -> &'static [i32] {
        self.weights.get(i * self.taps..i * self.taps + usize::from(output.taps)).unwrap_or(&[])
    }
}

/// Resizes a picture that comes row by row.
pub struct Resizer<'a> {
    across: Axis,
    down: Axis,
    /// Narrow rows, row `y` at `y % down.taps`.
    kept: &'a mut [u8],
    /// Rows that have come.
    rows: usize,
    /// Output rows that are done.
    done: usize,
}

impl<'a> Resizer<'a> {
    /// Bytes of memory that it wants for outputs `width` wide of pictures `from` rows high made `to`.
    pub const fn bytes(width: usize, from: usize, to: usize) -> usize {
        3 * width * taps(from, to)
    }

    /// `None` when `memory` is less than [`Resizer::bytes`].
    pub fn new(across: Axis, down: Axis, memory: &'a mut [u8]) -> Option<Self> {
        let kept = memory.get_mut(..3 * across.outputs.len() * down.taps)?;
        Some(Self { across, down, kept, rows: 0, done: 0 })
    }

    /// Columns and rows of the pictures that it takes.
    pub fn from(&self) -> (usize, usize) {
        (self.across.from, self.down.from)
    }

    /// The next row is a picture's first.
    pub fn restart(&mut self) {
        (self.rows, self.done) = (0, 0);
    }

    /// Takes the next row, and writes the output rows that it completes into `pixels` (RGB).
    /// [`Progress::Complete`] with a picture's last row.
    pub fn push(&mut self, format: PixelFormat, row: &[u8], pixels: &mut [u8]) -> Progress {
        let stride = 3 * self.across.outputs.len();
        let at = self.rows % self.down.taps.max(1) * stride;
        if let Some(narrow) = self.kept.get_mut(at..at + stride) {
            for ((i, output), pixel) in self.across.outputs.iter().enumerate().zip(narrow.chunks_exact_mut(3))
            {
                let mut sums = [1_i32 << (PRECISION - 1); 3];
                for (x, weight) in self.across.weights(i, *output).iter().enumerate() {
                    let rgb = format.rgb(row, usize::from(output.first) + x);
                    for (sum, sample) in sums.iter_mut().zip(rgb) {
                        *sum += i32::from(sample) * weight;
                    }
                }
                pixel.copy_from_slice(&sums.map(to_byte));
            }
        }
        self.rows += 1;
        while let Some(&output) = self.down.outputs.get(self.done) {
            if self.rows < usize::from(output.first + output.taps) {
                break;
            }
            self.column_sums(output, stride, pixels);
            self.done += 1;
        }
        if self.rows < self.down.from {
            return Progress::Waiting;
        }
        self.restart();
        Progress::Complete
    }

    /// Output row `done`, whose inputs are kept.
    fn column_sums(&self, output: Output, stride: usize, pixels: &mut [u8]) {
        let Some(out) = pixels.get_mut(self.done * stride..(self.done + 1) * stride) else { return };
        let weights = self.down.weights(self.done, output);
        for (x, byte) in out.iter_mut().enumerate() {
            let mut sum = 1 << (PRECISION - 1);
            let mut slot = usize::from(output.first) % self.down.taps.max(1);
            for weight in weights {
                sum += i32::from(self.kept.get(slot * stride + x).copied().unwrap_or(0)) * weight;
                slot = if slot + 1 < self.down.taps { slot + 1 } else { 0 };
            }
            *byte = to_byte(sum);
        }
    }
}

/// Clamped, since rounding of the weights may carry a sum past 255.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(n: usize, mut state: u32) -> Vec<u8> {
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    /// The rule, written once more: a whole picture, both passes one after the other, weights in f64.
    fn naive(rgb: &[u8], from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
        let axis = |from: usize, to: usize| -> Vec<Vec<(usize, i32)>> {
            let scale = from as f64 / to as f64;
            let support = scale.max(1.0);
            (0..to)
                .map(|i| {
                    let centre = (i as f64 + 0.5) * scale;
                    let inputs = (centre - support + 0.5).max(0.0) as usize
                        ..((centre + support + 0.5) as usize).min(from);
                    let raw = inputs
                        .clone()
                        .map(|j| (1.0 - ((j as f64 - centre + 0.5) * (1.0 / support)).abs()).max(0.0));
                    let sum: f64 = raw.clone().sum();
                    inputs.zip(raw.map(|k| (0.5 + k / sum * f64::from(1 << 22)) as i32)).collect()
                })
                .collect()
        };
        let byte = |sum: i32| ((sum + (1 << 21)) >> 22).clamp(0, 255) as u8;
        let (columns, rows) = (axis(from.0, to.0), axis(from.1, to.1));
        let at = |y: usize, x: usize, c: usize| i32::from(rgb[3 * (y * from.0 + x) + c]);
        let mut narrow = vec![0; 3 * to.0 * from.1];
        for y in 0..from.1 {
            for (x, taps) in columns.iter().enumerate() {
                for c in 0..3 {
                    narrow[3 * (y * to.0 + x) + c] = byte(taps.iter().map(|(j, k)| k * at(y, *j, c)).sum());
                }
            }
        }
        let mut out = vec![];
        for taps in &rows {
            for x in 0..3 * to.0 {
                out.push(byte(taps.iter().map(|(j, k)| k * i32::from(narrow[3 * to.0 * j + x])).sum()));
            }
        }
        out
    }

    /// Two pictures in a row, by both.
    fn check<const W: usize, const TW: usize, const H: usize, const TH: usize>(
        across: &'static Weights<W, TW>,
        down: &'static Weights<H, TH>,
    ) {
        let (width, height) = (across.from, down.from);
        let mut memory = vec![0; Resizer::bytes(W, height, H)];
        assert!(Resizer::new(across.axis(), down.axis(), &mut memory[1..]).is_none());
        let mut resizer = Resizer::new(across.axis(), down.axis(), &mut memory).unwrap();
        for format in [PixelFormat::Yuyv, PixelFormat::Rgb565] {
            let stride = (2 * width).next_multiple_of(4);
            let picture = random(stride * height, width as u32);
            let rgb: Vec<u8> = picture
                .chunks_exact(stride)
                .flat_map(|row| (0..width).flat_map(|x| format.rgb(row, x)))
                .collect();
            let mut pixels = vec![0; 3 * W * H];
            for (y, row) in picture.chunks_exact(stride).enumerate() {
                let progress = resizer.push(format, row, &mut pixels);
                assert_eq!(progress == Progress::Complete, y + 1 == height);
            }
            let resized = naive(&rgb, (width, height), (W, H));
            assert!(pixels == resized, "{width}×{height} to {W}×{H}, {format:?}");
        }
    }

    macro_rules! check {
        ($($width:literal by $height:literal => $w:literal by $h:literal;)*) => {$({
            static ACROSS: Weights<$w, { taps($width, $w) }> = Weights::stretch($width);
            static DOWN: Weights<$h, { taps($height, $h) }> = Weights::stretch($height);
            check(&ACROSS, &DOWN);
        })*};
    }

    #[test]
    fn rows_as_they_come_give_what_the_whole_picture_gives() {
        check! {
            160 by 120 => 32 by 32;
            96 by 96 => 32 by 32;
            160 by 120 => 96 by 96;
            96 by 96 => 96 by 96;
            33 by 31 => 32 by 30;
            5 by 7 => 32 by 32;
            1 by 1 => 3 by 3;
            64 by 64 => 1 by 1;
        }
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        static WHOLE: Weights<43, { taps(160, 43) }> = Weights::stretch(160);
        static PART: Weights<32, { taps(160, 43) }> = Weights::window(160, 43, centred(43, 32));
        assert_eq!(cropped_size((160, 120), 32), (42, 32));
        assert_eq!((centred(43, 32), centred(42, 32), centred(35, 32)), (6, 5, 2));
        for i in 0..32 {
            assert_eq!(PART.weights[i], WHOLE.weights[i + 6]);
            assert_eq!(PART.outputs[i].first, WHOLE.outputs[i + 6].first);
        }
    }
}
