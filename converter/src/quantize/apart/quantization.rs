//! The scale and zero point of a range.

/// The quantization of int8 values: real value = (q − zero) · scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// The real value of a step; positive.
    pub scale: f32,
    /// The int8 value that represents zero.
    pub zero: i8,
}

impl Quantization {
    /// Returns the quantization in which −128…127 covers `lo`…`hi` and zero is one of the values.
    pub fn covering(lo: f32, hi: f32) -> Self {
        let scale = ((hi.max(0.0) - lo.min(0.0)) / 255.0).max(f32::MIN_POSITIVE);
        let zero = (-128.0 - lo.min(0.0) / scale).round_ties_even().clamp(-128.0, 127.0);
        Self { scale, zero: zero as i8 }
    }

    /// Returns the whole number from `lo` to `hi` that is nearest to a real value.
    pub fn quantize(self, real: f32, lo: i8, hi: i8) -> f32 {
        let zero = f32::from(self.zero);
        ((real / self.scale).round_ties_even() + zero).clamp(f32::from(lo), f32::from(hi))
    }

    /// Returns the real value of an int8 value.
    pub fn real(self, q: i8) -> f32 {
        (f32::from(q) - f32::from(self.zero)) * self.scale
    }

    /// Rounds a real value to the nearest representable one.
    pub fn rounded(self, real: f32) -> f32 {
        (self.quantize(real, i8::MIN, i8::MAX) - f32::from(self.zero)) * self.scale
    }
}
