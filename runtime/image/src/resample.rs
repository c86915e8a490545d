//! The arithmetic of resizing, and a resizer for images that arrive row by row.
//!
//! It is bilinear with antialiasing, bit for bit like Pillow's `Image.resize(size, BILINEAR)` for 8-bit images, in
//! all its versions up to 12. (Version 13 sometimes resizes the rows first, if that is faster, which changes
//! rounding.)
//!
//! The resizing is separable: columns first, then rows, each rounded to u8. Along one axis, with `s = in / out`
//! and the filter's half-width `f = max(s, 1)`:
//! ```text
//! centre(i) = (i + ½)·s                          in f64
//! taps(i)   = ⌊centre − f + ½⌋ … ⌊centre + f + ½⌋ − 1, inside the image
//! k(i, j)   = tri((j − centre + ½) / f), normalized to Σⱼ k = 1, tri(x) = max(1 − |x|, 0)
//! K(i, j)   = ⌊k·2²² + ½⌋                        22-bit fixed point
//! out(i)    = (2²¹ + Σⱼ K(i, j)·in(j)) >> 22
//! ```
//!
//! Everything here works without the standard library. A [`Resizer`] needs its [`Weights`] in a `static`: the
//! compiler computes them, so they are in flash, and at run time there are only integers. Each row is narrowed
//! when it arrives, and kept while an output row still needs it. On a host, [`fit`](crate::fit) gives the same
//! bits faster.

/// The number of fractional bits of a weight.
pub const PRECISION: u32 = 22;

/// Returns the largest number of inputs of one output: the room for its weights, and the number of rows that are
/// kept.
pub const fn taps(from: usize, to: usize) -> usize {
    // This is 2·max(from/to, 1) + 1, rounded up.
    if from <= to { 3 } else { (2 * from).div_ceil(to) + 1 }
}

/// Returns the size to which an image is resized before its centre is cropped: the short side becomes
/// `short_side`.
pub const fn cropped_size((width, height): (usize, usize), short_side: usize) -> (usize, usize) {
    if width <= height {
        (short_side, short_side * height / width)
    } else {
        (short_side * width / height, short_side)
    }
}

/// Returns the first sample of a centred window of `want` out of `have`.
pub const fn centred(have: usize, want: usize) -> usize {
    // Half of an odd number is rounded to even.
    let spare = have - want;
    spare / 2 + (spare % 4 == 3) as usize
}

/// The inputs of one output.
#[derive(Clone, Copy)]
struct Output {
    first: u16,
    taps: u16,
}

/// The weights along one axis: `OUT` outputs of at most `TAPS` inputs each.
pub struct Weights<const OUT: usize, const TAPS: usize> {
    from: usize,
    outputs: [Output; OUT],
    weights: [[i32; TAPS]; OUT],
}

impl<const OUT: usize, const TAPS: usize> Weights<OUT, TAPS> {
    /// Resizes all of `from` samples to `OUT`: the image is stretched.
    pub const fn stretch(from: usize) -> Self {
        Self::window(from, OUT, 0)
    }

    /// Resizes `from` samples to `to`, of which `first..first + OUT` are computed. In a `static`, an error in the
    /// numbers is a compile error.
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

    /// Returns the axis that a [`Resizer`] uses.
    pub const fn axis(&'static self) -> Axis {
        Axis { from: self.from, taps: TAPS, outputs: &self.outputs, weights: self.weights.as_flattened() }
    }
}

/// Returns the inputs of output `i`: the first, and the one after the last.
pub const fn span(from: usize, to: usize, i: usize) -> (usize, usize) {
    // The operations and their order, here and below, are Pillow's: the last bit of the f64 matters.
    let (centre, support) = centre(from, to, i);
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = (centre + support + 0.5) as usize;
    (first, if end < from { end } else { from })
}

/// Returns the weight of input `j` in output `i` before normalization.
pub const fn weight(from: usize, to: usize, i: usize, j: usize) -> f64 {
    let (centre, support) = centre(from, to, i);
    let inverse = 1.0 / support;
    let x: f64 = (j as f64 - centre + 0.5) * inverse;
    (1.0 - x.abs()).max(0.0)
}

/// Converts a weight between 0 and 1 to fixed point.
pub const fn fixed(share: f64) -> i32 {
    (0.5 + share * (1 << PRECISION) as f64) as i32
}

const fn centre(from: usize, to: usize, i: usize) -> (f64, f64) {
    let scale = from as f64 / to as f64;
    ((i as f64 + 0.5) * scale, scale.max(1.0))
}

const fn output<const TAPS: usize>(from: usize, to: usize, i: usize) -> (Output, [i32; TAPS]) {
    let (first, end) = span(from, to, i);
    let (mut raw, mut sum, mut j) = ([0.0; TAPS], 0.0, 0);
    while j < end - first {
        raw[j] = weight(from, to, i, j + first);
        sum += raw[j];
        j += 1;
    }
    let mut weights = [0; TAPS];
    j = 0;
    while j < end - first {
        weights[j] = fixed(raw[j] / sum);
        j += 1;
    }
    (Output { first: first as u16, taps: (end - first) as u16 }, weights)
}

/// One axis of the resizing.
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

/// Resizes an image that arrives row by row.
pub struct Resizer<'a> {
    across: Axis,
    down: Axis,
    /// The narrowed rows; row `y` is at `y % down.taps`.
    kept: &'a mut [u8],
    /// The number of rows that have arrived.
    rows: usize,
    /// The number of output rows that are complete.
    done: usize,
}

impl<'a> Resizer<'a> {
    /// Returns the size in bytes of the memory for outputs of `width` columns, from images of `from` rows resized
    /// to `to`.
    pub const fn bytes(width: usize, from: usize, to: usize) -> usize {
        3 * width * taps(from, to)
    }

    /// Creates a resizer, or returns `None` if `memory` is smaller than [`Resizer::bytes`].
    pub fn new(across: Axis, down: Axis, memory: &'a mut [u8]) -> Option<Self> {
        let kept = memory.get_mut(..3 * across.outputs.len() * down.taps)?;
        Some(Self { across, down, kept, rows: 0, done: 0 })
    }

    /// Returns the columns and rows of the input images.
    pub fn from(&self) -> (usize, usize) {
        (self.across.from, self.down.from)
    }

    /// Starts a new image: the next row is its first.
    pub fn restart(&mut self) {
        (self.rows, self.done) = (0, 0);
    }

    /// Adds the next row, each pixel of which `rgb` returns, and writes the output rows that it completes to
    /// `pixels` (RGB). Returns whether this was the image's last row.
    pub fn push(&mut self, rgb: impl Fn(usize) -> [u8; 3], pixels: &mut [u8]) -> bool {
        let stride = 3 * self.across.outputs.len();
        let at = self.rows % self.down.taps.max(1) * stride;
        if let Some(narrow) = self.kept.get_mut(at..at + stride) {
            for ((i, output), pixel) in self.across.outputs.iter().enumerate().zip(narrow.chunks_exact_mut(3))
            {
                let mut sums = [1_i32 << (PRECISION - 1); 3];
                for (x, weight) in self.across.weights(i, *output).iter().enumerate() {
                    for (sum, sample) in sums.iter_mut().zip(rgb(usize::from(output.first) + x)) {
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
            return false;
        }
        self.restart();
        true
    }

    /// Computes output row `done`, whose inputs are kept.
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

/// Converts a weighted sum, with [`PRECISION`] fractional bits and one half added, to a byte. The result is
/// clamped, since rounded weights may add up to more than 255.
pub const fn to_byte(sum: i32) -> u8 {
    let byte = sum >> PRECISION;
    if byte < 0 {
        0
    } else if byte > 255 {
        255
    } else {
        byte as u8
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Image;
    use crate::resize::{Filter, resize_window};

    fn random(n: usize, mut state: u32) -> Vec<u8> {
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    }

    /// Resizes two images in sequence, row by row and as a whole.
    fn check<const W: usize, const TW: usize, const H: usize, const TH: usize>(
        across: &'static Weights<W, TW>,
        down: &'static Weights<H, TH>,
    ) {
        let (width, height) = (across.from, down.from);
        let mut memory = vec![0; Resizer::bytes(W, height, H)];
        assert!(Resizer::new(across.axis(), down.axis(), &mut memory[1..]).is_none());
        let mut resizer = Resizer::new(across.axis(), down.axis(), &mut memory).unwrap();
        for seed in [1, 2] {
            let image = Image::new(width, height, random(3 * width * height, seed)).unwrap();
            let mut pixels = vec![0; 3 * W * H];
            for (y, row) in image.rgb().chunks_exact(3 * width).enumerate() {
                let complete = resizer.push(|x| [row[3 * x], row[3 * x + 1], row[3 * x + 2]], &mut pixels);
                assert_eq!(complete, y + 1 == height);
            }
            let whole = resize_window(image.as_ref(), Filter::Antialiased, (W, H), 0..W, 0..H);
            assert!(pixels == whole, "{width}×{height} to {W}×{H}");
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
    fn rows_as_they_arrive_give_what_the_whole_image_gives() {
        check! {
            160 by 120 => 32 by 32;
            96 by 96 => 32 by 32;
            160 by 120 => 96 by 96;
            96 by 96 => 95 by 97;
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
