//! The part of the convolution that an instruction set provides: its window, its register tile and its epilogue.

use super::epilogue::Epilogue;

/// The differences between the two instruction sets. All methods are `unsafe`: the caller, [`super::driver`],
/// passes pointers into buffers of the sizes that [`super::geometry::Geometry`] computed.
pub(crate) trait Isa: Sync + Send {
    /// The set's name.
    const NAME: &'static str;
    /// An element of the window.
    type Element: Copy;
    /// Elements that the inner loop takes at once: segments are padded to a multiple of it.
    const DEPTH: usize;
    /// Window pixels are padded to a multiple of this many channels.
    const CHANNELS: usize;
    /// NR: output channels of a panel.
    const NR: usize;
    /// MR: output pixels per step of the inner loop; rows are padded to a multiple of it.
    const MR: usize;
    /// Bytes of scratch for one panel's weights, per weight; 0 if they are read from the blob.
    const UNPACKED: usize;
    /// Whether the blob's bias contains `−x_zero·Σw`; otherwise the window contains `x − x_zero`.
    #[cfg(feature = "alloc")]
    const ZERO_IN_BIAS: bool;

    /// Returns the value of padding in the window.
    fn blank(x_zero: i8) -> Self::Element;

    /// Reads one value of the window.
    fn element(x: i8, x_zero: i8) -> Self::Element;

    /// Returns the position of element `i` in memory order within its pixel or patch.
    fn place(i: usize) -> usize;

    /// Copies `n` values, a multiple of [`Isa::CHANNELS`], into the window.
    unsafe fn copy(x: *const i8, n: usize, x_zero: i8, to: *mut Self::Element);

    /// Moves bytes, a multiple of 8, to lower addresses by at least 16. Both are multiples of 8.
    unsafe fn shift(to: *mut Self::Element, from: *const Self::Element, bytes: usize);

    /// Prepares one panel's weights: `n` of them, in the blob's order. Returns their new address.
    unsafe fn unpack(weights: *const i8, n: usize, to: *mut u8) -> *const u8;

    /// Sums a row of pixels and one panel, see [`Sums`].
    unsafe fn sums(sums: &Sums);

    /// Finishes a row of pixels of one panel.
    unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize);
}

/// Computes `out[p][n] = bias[n] + Σ_s Σ_k x[p·step + s·row + k] · w[s][k][n]` for all pixels `p`, segments `s`,
/// and the `NR` channels `n` of a panel. The order of `k` and `n` within the weights is up to the set. All fields
/// are 32 bits wide on the targets, and the assembly relies on their order.
#[repr(C)]
pub(crate) struct Sums {
    /// The first element of the window that the first pixel reads.
    pub(crate) x: *const u8,
    /// The distance from one pixel to the next in bytes.
    pub(crate) step: usize,
    /// The distance from the end of a segment to the start of the next in bytes.
    pub(crate) gap: usize,
    /// The number of segments.
    pub(crate) segments: usize,
    /// The number of elements of a segment, a multiple of [`Isa::DEPTH`].
    pub(crate) segment: usize,
    /// The panel's weights, as returned by [`Isa::unpack`].
    pub(crate) weights: *const u8,
    /// The panel's biases.
    pub(crate) bias: *const i32,
    /// The sums.
    pub(crate) out: *mut i32,
    /// The number of pixels, a multiple of [`Isa::MR`], not 0.
    pub(crate) pixels: usize,
}

#[cfg(not(target_arch = "arm"))]
impl Sums {
    /// Runs the hot loop in plain Rust, for elements of `T` and panels of `NR` channels; `place(k, n)` is the
    /// position of the weight of element `k` and channel `n` in a segment's weights.
    ///
    /// # Safety
    /// The fields are correct, and `place` stays inside `segment · NR`.
    pub(crate) unsafe fn model<T: Copy + Into<i32>, const NR: usize>(
        &self,
        place: impl Fn(usize, usize) -> usize,
    ) {
        for p in 0..self.pixels {
            for n in 0..NR {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    let mut sum = *self.bias.add(n);
                    for segment in 0..self.segments {
                        let row = size_of::<T>() * self.segment + self.gap;
                        let x = self.x.add(p * self.step + segment * row).cast::<T>();
                        let w = self.weights.cast::<T>().add(NR * segment * self.segment);
                        for k in 0..self.segment {
                            let (x, w): (i32, i32) = ((*x.add(k)).into(), (*w.add(place(k, n))).into());
                            sum = sum.wrapping_add(x * w);
                        }
                    }
                    *self.out.add(NR * p + n) = sum;
                }
            }
        }
    }
}
