//! Converts sums to outputs, as [`crate::reference::conv`] defines.

#[cfg(target_arch = "arm")]
use crate::quant::Requant;
use crate::set::ConvScalars;
use crate::shape::ConvOutput;

/// Sources and destinations of one row of one panel. Pointers are those of the row's first pixel; those that the
/// output does not use are dangling.
pub(crate) struct Epilogue<'a> {
    pub(crate) scalars: &'a ConvScalars,
    pub(crate) output: ConvOutput,
    pub(crate) has_skip: bool,
    /// `[pixel][NR]`.
    pub(crate) sums: *const i32,
    /// The panel's multipliers, gains and offsets.
    pub(crate) multiplier: *const f32,
    pub(crate) gain: *const f32,
    pub(crate) offset: *const f32,
    /// Rows of `stride` bytes per pixel.
    pub(crate) skip: *const i8,
    pub(crate) y: *mut i8,
    pub(crate) y2: *mut i8,
    pub(crate) logits: *mut f32,
    /// Channels of the output.
    pub(crate) stride: usize,
}

impl Epilogue<'_> {
    /// Finishes `channels` of the panel's `nr` for `pixels` pixels, in plain Rust.
    ///
    /// # Safety
    /// The pointers match the description of the fields.
    pub(crate) unsafe fn finish(&self, nr: usize, channels: usize, pixels: usize) {
        let s = self.scalars;
        for p in 0..pixels {
            for c in 0..channels {
                let at = p * self.stride + c;
                // SAFETY: by the contract, sums, constants and rows contain this pixel and channel.
                unsafe {
                    let mut v = *self.sums.add(p * nr + c) as f32 * *self.multiplier.add(c);
                    if self.has_skip {
                        let residual = i32::from(*self.skip.add(at)) - i32::from(s.skip_zero);
                        v += residual as f32 * s.skip_multiplier;
                    }
                    if self.output == ConvOutput::Float32 {
                        *self.logits.add(c) = v;
                    }
                    if self.output.has_int8() {
                        *self.y.add(at) = s.y.apply(v);
                    }
                    if self.output.has_affine() {
                        *self.y2.add(at) = s.y2.apply(v * *self.gain.add(c) + *self.offset.add(c));
                    }
                }
            }
        }
    }

    /// Returns whether the only output is `y`, with or without a residual, for which there is assembly.
    #[cfg(target_arch = "arm")]
    pub(crate) fn plain(&self) -> Option<&Requant> {
        (self.output == ConvOutput::Int8).then_some(&self.scalars.y)
    }
}
