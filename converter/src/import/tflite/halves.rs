//! How values halfway between two integers are rounded.

/// The integer that such a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halves {
    /// The even one, as in XNNPACK's kernels and ours.
    ToEven,
    /// The one nearer to the zero point.
    Inward,
    /// The one farther from the zero point.
    Outward,
}

/// The relative change of a scale with which halves fall to one side of the middle and nothing else does.
const LITTLE: f32 = 2.0 * f32::EPSILON;

impl Halves {
    /// Returns the scale with which rounding to even rounds halves in this way.
    pub fn nudged(self, scale: f32) -> f32 {
        match self {
            Self::ToEven => scale,
            Self::Inward => scale * (1.0 + LITTLE),
            Self::Outward => scale * (1.0 - LITTLE),
        }
    }
}
