//! Test data: random values and aligned buffers.

use alloc::vec;
use alloc::vec::Vec;

use crate::set::ALIGN;

/// A small deterministic generator (SplitMix64), so that a seed identifies a failing case.
pub struct Rng(pub u64);

impl Rng {
    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a value in `lo..=hi`.
    pub fn range(&mut self, lo: i64, hi: i64) -> i64 {
        lo + (self.bits() % (hi - lo + 1) as u64) as i64
    }

    pub(super) fn int8s(&mut self, n: usize, lo: i64) -> Vec<i8> {
        // Extremes are as likely as all other values together, because saturation bugs show there.
        (0..n)
            .map(|_| match self.bits() % 4 {
                0 => lo as i8,
                1 => 127,
                _ => self.range(lo, 127) as i8,
            })
            .collect()
    }

    pub(super) fn f32s(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| (self.range(-1000, 1000) as f32) / 1000.0 * scale).collect()
    }
}

/// A buffer aligned to [`ALIGN`].
pub struct Aligned {
    words: Vec<[u64; 8]>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Creates a buffer with `len` bytes of `fill`.
    pub fn new(len: usize, fill: u8) -> Self {
        let words = vec![[u64::from_ne_bytes([fill; 8]); 8]; len / ALIGN + 2];
        let start = words.as_ptr().cast::<u8>().align_offset(ALIGN);
        Self { words, start, len }
    }

    /// Copies `bytes`.
    pub fn from(bytes: &[u8]) -> Self {
        let mut new = Self::new(bytes.len(), 0);
        new.get_mut().copy_from_slice(bytes);
        new
    }

    /// Returns the bytes.
    pub fn get(&self) -> &[u8] {
        // SAFETY: `start + len` is inside `words` by construction, and u8 has no invalid value.
        unsafe { core::slice::from_raw_parts(self.words.as_ptr().cast::<u8>().add(self.start), self.len) }
    }

    /// Returns the bytes for writing.
    pub fn get_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `get`, and `self` is borrowed mutably.
        unsafe {
            core::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast::<u8>().add(self.start), self.len)
        }
    }
}
