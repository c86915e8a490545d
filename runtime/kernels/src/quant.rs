//! The arithmetic every kernel shares, defined once.
//!
//! Rounding is to nearest, ties to even (IEEE 754 `roundTiesToEven`), on an f32 that is first
//! clamped, so that no conversion can overflow. No operation here may be contracted into an FMA.

/// The output side of a requantization: `q = clamp(rne(v) + zero, lo, hi)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Requant {
    /// Zero point, −128…127.
    pub zero: i8,
    /// Lowest value written; `zero` after a ReLU, else −128.
    pub lo: i8,
    /// Highest value written.
    pub hi: i8,
}

impl Requant {
    /// Range −128…127 around `zero`.
    pub const fn full(zero: i8) -> Self {
        Self { zero, lo: i8::MIN, hi: i8::MAX }
    }

    /// Range `zero`…127: what a ReLU leaves.
    pub const fn relu(zero: i8) -> Self {
        Self { zero, lo: zero, hi: i8::MAX }
    }

    /// The f32 bounds to clamp `v` to before it is rounded: `lo − zero` and `hi − zero`.
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
        // In this order a NaN becomes `lo`, as it does in the vector kernels (`maxps`, `fmaxnm`).
        let v = if v > lo { v } else { lo };
        let v = if v < hi { v } else { hi };
        (round_ties_even(v) + i32::from(self.zero)) as i8
    }
}

/// `rne(v)` for |v| < 2²², by the constant whose unit in the last place is 1.
#[inline]
pub fn round_ties_even(v: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³
    ((v + MAGIC) - MAGIC) as i32
}
