//! From sums to outputs, as [`crate::reference::conv`] defines it.

#[cfg(target_arch = "arm")]
use crate::quant::Requant;
use crate::set::ConvScalars;
use crate::shape::ConvOutput;

/// Where one row of one block comes from and goes to. Pointers are those of the row's first pixel;
/// what the output does not call for is dangling and unused.
pub(super) struct Epilogue<'a> {
    pub(super) scalars: &'a ConvScalars,
    pub(super) output: ConvOutput,
    pub(super) has_skip: bool,
    /// `[pixel][NR]`.
    pub(super) sums: *const i32,
    /// The block's multipliers, gains and offsets.
    pub(super) multiplier: *const f32,
    pub(super) gain: *const f32,
    pub(super) offset: *const f32,
    /// Rows of `stride` bytes per pixel.
    pub(super) skip: *const i8,
    pub(super) y: *mut i8,
    pub(super) y2: *mut i8,
    pub(super) logits: *mut f32,
    /// Channels of the output.
    pub(super) stride: usize,
}

impl Epilogue<'_> {
    /// Finishes `channels` of the block's `nr` for `pixels` pixels, in plain Rust.
    ///
    /// # Safety
    /// The pointers hold what the fields say.
    pub(super) unsafe fn finish(&self, nr: usize, channels: usize, pixels: usize) {
        let s = self.scalars;
        for p in 0..pixels {
            for c in 0..channels {
                let at = p * self.stride + c;
                // SAFETY: sums, constants and rows hold this pixel and channel, by the contract.
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

    /// Whether it is only `y`, with or without a residual: what assembly does.
    #[cfg(target_arch = "arm")]
    pub(super) fn plain(&self) -> Option<&Requant> {
        (self.output == ConvOutput::Int8).then_some(&self.scalars.y)
    }
}
