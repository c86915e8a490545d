//! Resizes with AVX2, bit for bit as `resize.rs` defines it.
//!
//! **Rows.** Eight outputs are computed at a time, four in each 128-bit half. A shuffle brings two taps of each
//! output next to each other. A weight of 22 bits does not fit the 16-bit multiplier, but its two halves do:
//! ```text
//! K = h·2¹¹ + l,  0 ≤ l < 2¹¹,  h ≤ 2¹¹
//! Σ K·p = (Σ h·p)·2¹¹ + Σ l·p               one vpmaddwd each for two taps of eight outputs
//! ```
//! One load covers the taps of four outputs if they are within 16 bytes, which holds up to a reduction by about 3.
//! Beyond that, a group has several loads, and an output that a load does not reach has weight 0 in it.
//! Instructions are the bound: with six taps, about ten per output for its three colours.
//!
//! **Columns.** The portable loop is compiled for eight 32-bit lanes.

use std::arch::x86_64::*;

use super::Planes;
use super::resize::{Output, column as portable};

const HALF: u32 = 11;
/// The number of outputs in a half of a register.
const LANE: usize = 4;
/// The size of a load in bytes.
const LOAD: usize = 16;

/// Two taps of eight outputs: their positions in the load, and the halves of their weights.
#[repr(C, align(32))]
struct Pairs {
    order: [i8; 32],
    high: [i16; 16],
    low: [i16; 16],
}

/// One load per half, each at an offset from the plane's start, and the pairs that it contains.
struct Load {
    from: [usize; 2],
    pairs: Vec<Pairs>,
}

/// An axis prepared for the vector unit: the loads of each eight outputs. It is empty without AVX2.
pub struct Packed {
    groups: Vec<Vec<Load>>,
    /// The number of bytes that the loads reach.
    reach: usize,
}

/// The part of four outputs that one load contains: for each output, pairs of taps as positions in the load, with
/// their weights.
struct Reach {
    from: usize,
    pairs: [Vec<(usize, [i32; 2])>; LANE],
}

/// Returns the loads of four outputs whose taps count from `start`.
fn loads(outputs: &[Output], start: usize) -> Vec<Reach> {
    let mut taken = [0; LANE];
    let mut loads = Vec::new();
    loop {
        let left =
            |(taken, o): (&usize, &Output)| (*taken < o.weights.len()).then(|| o.first - start + taken);
        let Some(from) = taken.iter().zip(outputs).filter_map(left).min() else { return loads };
        let mut pairs = [const { Vec::new() }; LANE];
        for ((taken, output), pairs) in taken.iter_mut().zip(outputs).zip(&mut pairs) {
            while let Some(&weight) = output.weights.get(*taken) {
                let at = output.first - start + *taken - from;
                if at + 2 > LOAD {
                    break;
                }
                pairs.push((at, [weight, output.weights.get(*taken + 1).copied().unwrap_or(0)]));
                *taken += 2;
            }
        }
        loads.push(Reach { from, pairs });
    }
}

impl Packed {
    pub fn new(outputs: &[Output]) -> Self {
        let mut packed = Self { groups: Vec::new(), reach: 0 };
        if !is_x86_feature_detected!("avx2") {
            return packed;
        }
        let start = outputs.first().map_or(0, |o| o.first);
        for eight in outputs.chunks(2 * LANE) {
            let halves: Vec<Vec<Reach>> = eight.chunks(LANE).map(|four| loads(four, start)).collect();
            let count = halves.iter().map(Vec::len).max().unwrap_or(0);
            let group: Vec<Load> =
                (0..count).map(|n| Load::new([0, 1].map(|half| halves.get(half)?.get(n)))).collect();
            packed.reach = group.iter().flat_map(|l| l.from).fold(packed.reach, |a, b| a.max(b + LOAD));
            packed.groups.push(group);
        }
        packed
    }

    /// Appends the `count` outputs of a row; returns `false` without AVX2.
    pub fn resize_row(&self, row: &Planes, count: usize, out: &mut Vec<u8>) -> bool {
        let planes = row.with_slack();
        if self.groups.is_empty() || planes.iter().any(|p| p.len() < self.reach) {
            return false;
        }
        let start = out.len();
        // The last store writes 16 bytes, of which 12 count.
        out.resize(start + 3 * 2 * LANE * self.groups.len() + 4, 0);
        // SAFETY: groups exist only with AVX2; `reach` bounds the loads, and `out` has room for all groups.
        unsafe { self.row(planes, &mut out[start..]) };
        out.truncate(start + 3 * count);
        true
    }

    /// # Safety
    /// The planes have `reach` bytes; `out` has 24 for each group and 4 more.
    #[target_feature(enable = "avx2")]
    unsafe fn row(&self, planes: [&[u8]; 3], out: &mut [u8]) {
        // Reorders four outputs from R₀…R₃ G₀…G₃ B₀…B₃ to R₀ G₀ B₀ R₁ ….
        let mix =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11, -1, -1, -1, -1));
        let half = _mm256_set1_epi32(1 << (2 * HALF - 1));
        for (n, group) in self.groups.iter().enumerate() {
            let mut sums = [[_mm256_setzero_si256(); 2]; 3];
            for load in group {
                // SAFETY: `reach` bounds the loads.
                let bytes = planes.map(|plane| unsafe {
                    _mm256_loadu2_m128i(
                        plane.as_ptr().add(load.from[1]).cast(),
                        plane.as_ptr().add(load.from[0]).cast(),
                    )
                });
                for pairs in &load.pairs {
                    // SAFETY: loads the struct's own arrays, which have the struct's alignment.
                    let [order, high, low] = unsafe {
                        [
                            _mm256_load_si256(pairs.order.as_ptr().cast()),
                            _mm256_load_si256(pairs.high.as_ptr().cast()),
                            _mm256_load_si256(pairs.low.as_ptr().cast()),
                        ]
                    };
                    for ([sum_h, sum_l], bytes) in sums.iter_mut().zip(bytes) {
                        let taps = _mm256_shuffle_epi8(bytes, order);
                        // The shuffle writes the bytes in pairs; extended to 16 bits they are a pair's samples.
                        *sum_h = _mm256_add_epi32(*sum_h, _mm256_madd_epi16(taps, high));
                        *sum_l = _mm256_add_epi32(*sum_l, _mm256_madd_epi16(taps, low));
                    }
                }
            }
            let [r, g, b] = sums.map(|[h, l]| {
                let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ HALF as i32 }>(h), l);
                _mm256_srai_epi32::<{ 2 * HALF as i32 }>(_mm256_add_epi32(sum, half))
            });
            let bytes = _mm256_packus_epi16(_mm256_packs_epi32(r, g), _mm256_packs_epi32(b, b));
            let pixels = _mm256_shuffle_epi8(bytes, mix);
            // SAFETY: the second store ends 4 bytes after the group's 24, and `out` has them.
            unsafe {
                let at = out.as_mut_ptr().add(3 * 2 * LANE * n);
                _mm_storeu_si128(at.cast(), _mm256_castsi256_si128(pixels));
                _mm_storeu_si128(at.add(12).cast(), _mm256_extracti128_si256::<1>(pixels));
            }
        }
    }
}

impl Load {
    /// Combines what the two halves reach; a half that has no outputs left contributes nothing.
    fn new(halves: [Option<&Reach>; 2]) -> Self {
        let count = halves.iter().flatten().flat_map(|h| &h.pairs).map(Vec::len).max().unwrap_or(0);
        let pair = |n: usize| {
            let mut pairs = Pairs { order: [-1; 32], high: [0; 16], low: [0; 16] };
            for (half, reach) in halves.iter().enumerate() {
                for (slot, of_output) in reach.iter().flat_map(|r| r.pairs.iter().enumerate()) {
                    let Some(&(at, weights)) = of_output.get(n) else { continue };
                    let first = 2 * (LANE * half + slot);
                    for (tap, weight) in weights.into_iter().enumerate() {
                        pairs.order[2 * (first + tap)] = (at + tap) as i8;
                        pairs.high[first + tap] = (weight >> HALF) as i16;
                        pairs.low[first + tap] = (weight & ((1 << HALF) - 1)) as i16;
                    }
                }
            }
            pairs
        };
        Self {
            from: halves.map(|half| half.map_or(0, |reach| reach.from)),
            pairs: (0..count).map(pair).collect(),
        }
    }
}

/// See [`portable`].
pub fn column(taps: &[u8], weights: &[i32], sums: &mut [i32], out: &mut [u8]) {
    #[target_feature(enable = "avx2")]
    fn wide(taps: &[u8], weights: &[i32], sums: &mut [i32], out: &mut [u8]) {
        portable(taps, weights, sums, out);
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: AVX2 was detected.
        unsafe { wide(taps, weights, sums, out) }
    } else {
        portable(taps, weights, sums, out);
    }
}

/// Splits as many pixels into planes as blocks of 16 allow, and returns the rest of both.
pub fn split_rgb<'a>(rgb: &'a [u8], planes: [&'a mut [u8]; 3]) -> (&'a [u8], [&'a mut [u8]; 3]) {
    #[target_feature(enable = "avx2")]
    fn wide(rgb: &[u8], planes: [&mut [u8]; 3]) {
        let [r, g, b] = planes;
        let blocks = r.chunks_exact_mut(LOAD).zip(g.chunks_exact_mut(LOAD)).zip(b.chunks_exact_mut(LOAD));
        for (block, ((r, g), b)) in rgb.chunks_exact(3 * LOAD).zip(blocks) {
            for (colour, plane) in [r, g, b].into_iter().enumerate() {
                let mut pixels = _mm_setzero_si128();
                for (part, order) in COLOURS[colour].iter().enumerate() {
                    // SAFETY: loads a third of the block's 48 bytes, and the table's own 16.
                    let (bytes, order) = unsafe {
                        (
                            _mm_loadu_si128(block.as_ptr().add(LOAD * part).cast()),
                            _mm_loadu_si128(order.as_ptr().cast()),
                        )
                    };
                    pixels = _mm_or_si128(pixels, _mm_shuffle_epi8(bytes, order));
                }
                // SAFETY: stores to a chunk of 16 bytes.
                unsafe { _mm_storeu_si128(plane.as_mut_ptr().cast(), pixels) };
            }
        }
    }
    if !is_x86_feature_detected!("avx2") {
        return (rgb, planes);
    }
    let length = planes.iter().map(|p| p.len()).fold(rgb.len() / 3, usize::min) / LOAD * LOAD;
    let (done, rgb) = rgb.split_at(3 * length);
    let [(r, r_rest), (g, g_rest), (b, b_rest)] = planes.map(|p| p.split_at_mut(length));
    // SAFETY: AVX2 was detected.
    unsafe { wide(done, [r, g, b]) };
    (rgb, [r_rest, g_rest, b_rest])
}

/// The destination of each colour's bytes, for each third of a block of 16 pixels.
const COLOURS: [[[i8; LOAD]; 3]; 3] = {
    let mut orders = [[[-1; LOAD]; 3]; 3];
    let mut byte = 0;
    while byte < 3 * LOAD {
        orders[byte % 3][byte / LOAD][byte / 3] = (byte % LOAD) as i8;
        byte += 1;
    }
    orders
};
