//! What an epilogue reads, writes and computes with; the instruction sets' own code is theirs.

use crate::quant::Requant;
use crate::set::ConvArgs;
use crate::shape::ConvOutput;

/// What an epilogue reads and writes: some pixels × one panel.
#[derive(Clone, Copy)]
pub(crate) struct Outputs {
    /// Biases of the panel; multiplier, gain and offset each follow at `constants_stride` bytes.
    pub constants: *const u8,
    /// See `constants`.
    pub constants_stride: usize,
    /// First channel of the first pixel in the residual; dangling without one.
    pub skip: *const u8,
    /// First channel of the first pixel in `y` (f32 values for logits).
    pub y: *mut u8,
    /// The same of `y2`.
    pub y2: *mut u8,
    /// Bytes from pixel to pixel in the three above.
    pub stride: usize,
    /// Channels of the panel that exist.
    pub channels: usize,
}

/// One output's rounding, as the vector code wants it.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// `lo − zero`.
    pub lo: f32,
    /// `hi − zero`.
    pub hi: f32,
    /// Zero point of the unsigned byte: `zero + 128`.
    pub zero: i32,
    /// Lowest unsigned byte: `lo + 128`.
    pub lo_byte: u8,
}

impl Bounds {
    /// For a requantization.
    pub fn new(r: Requant) -> Self {
        let (lo, hi) = r.bounds();
        Self { lo, hi, zero: i32::from(r.zero) + 128, lo_byte: r.lo as u8 ^ 0x80 }
    }
}

/// What happens behind the sum; the same for all tiles of a convolution.
pub(crate) struct Epilogue {
    pub output: ConvOutput,
    pub has_skip: bool,
    /// Zero point of the residual's unsigned bytes.
    pub skip_zero: f32,
    pub skip_multiplier: f32,
    pub y: Bounds,
    pub y2: Bounds,
}

impl Epilogue {
    pub fn new(args: &ConvArgs<'_>) -> Self {
        let s = args.scalars;
        Self {
            output: args.desc.output,
            has_skip: args.desc.skip,
            skip_zero: f32::from(s.skip_zero) + 128.0,
            skip_multiplier: s.skip_multiplier,
            y: Bounds::new(s.y),
            y2: Bounds::new(s.y2),
        }
    }

    /// The kernels that this epilogue needs, as an index into [`super::driver::Kernels::tiles`].
    pub fn mode(&self) -> usize {
        match (self.output, self.has_skip) {
            (ConvOutput::Int8, false) => INT8,
            (ConvOutput::Int8, true) => INT8_SKIP,
            (ConvOutput::Int8AndAffine, true) => BOTH_SKIP,
            _ => ANY,
        }
    }
}

/// Epilogue: one int8 output.
pub(crate) const INT8: usize = 0;
/// Epilogue: one int8 output, residual.
pub(crate) const INT8_SKIP: usize = 1;
/// Epilogue: int8 and affine output, residual.
pub(crate) const BOTH_SKIP: usize = 2;
/// Epilogue: whatever [`Epilogue`] says.
pub(crate) const ANY: usize = 3;
/// Number of the above.
pub(crate) const MODES: usize = 4;
