//! The arithmetic shared by all kernels.
//!
//! Rounding is to nearest, ties to even (IEEE 754 `roundTiesToEven`), on an f32 that was clamped first, so that no
//! conversion can overflow. No operation here may be contracted into an FMA.

/// The output side of a requantization: `q = clamp(rne(v) + zero, lo, hi)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Requant {
    /// The zero point, −128…127.
    pub zero: i8,
    /// The lowest value written: `zero` after a ReLU, otherwise −128.
    pub lo: i8,
    /// The highest value written.
    pub hi: i8,
}

impl Requant {
    /// Returns the full range −128…127 with this zero point.
    pub const fn full(zero: i8) -> Self {
        Self { zero, lo: i8::MIN, hi: i8::MAX }
    }

    /// Returns the range `zero`…127, which is that of a ReLU.
    pub const fn relu(zero: i8) -> Self {
        Self { zero, lo: zero, hi: i8::MAX }
    }

    /// Returns the f32 bounds to which `v` is clamped before rounding: `lo − zero` and `hi − zero`.
    pub const fn bounds(self) -> (f32, f32) {
        (self.lo as f32 - self.zero as f32, self.hi as f32 - self.zero as f32)
    }

    /// Clamps, rounds to nearest even and adds the zero point.
    ///
    /// ```
    /// use foldnet_kernels::Requant;
    /// let r = Requant::full(10);
    /// assert_eq!([r.apply(0.5), r.apply(1.5), r.apply(-2.5), r.apply(1e9)], [10, 12, 8, 127]);
    /// ```
    #[inline]
    pub fn apply(self, v: f32) -> i8 {
        let (lo, hi) = self.bounds();
        // In this order a NaN becomes `lo`, as in the vector kernels (`maxps`, `fmaxnm`).
        let v = if v > lo { v } else { lo };
        let v = if v < hi { v } else { hi };
        (round_ties_even(v) + i32::from(self.zero)) as i8
    }
}

/// Computes `rne(v)` for |v| < 2²² by adding the constant whose unit in the last place is 1.
#[inline]
pub fn round_ties_even(v: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³
    ((v + MAGIC) - MAGIC) as i32
}
