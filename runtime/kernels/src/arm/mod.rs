//! Kernel sets for Cortex-M: [`Dsp`] (Armv7E-M: M4, M7, M33) and [`Helium`] (Armv8.1-M: M55, M85).
//!
//! Activations are plain NHWC int8. A convolution works through its output a few rows at a time
//! ([`conv`]): it copies the input rows that these see, padding made, into a window in scratch;
//! then, for each block of output channels, it sums over the window for a whole row of pixels
//! ([`Isa::sums`], the hot loop) and finishes the sums ([`epilogue`]). Since the window is a copy,
//! row `r` of the input is dead as soon as a window holds it; plans that run in stripes rely on that.
//!
//! A plan is packed on a host and run from flash. So these sets exist in every build, and only the
//! bodies that need the instructions are assembly, each in a file beside its *model*, the same
//! function in plain Rust, which stands in for it everywhere else. Layout, packing, walk and
//! arithmetic are thereby tested on the host, and the assembly against the same tests in an emulator.
//!
//! Nothing here can panic: firmware is linked without a panic path.

mod conv;
mod dsp;
mod epilogue;
mod geometry;
mod helium;
mod plain;
mod set;

pub use dsp::Dsp;
pub use helium::Helium;

use epilogue::Epilogue;
use geometry::Geometry;

/// What differs between the two instruction sets. All methods are `unsafe`: the caller, [`conv`],
/// hands pointers into buffers of the sizes that [`Geometry`] computed.
trait Isa: Sync + Send {
    /// The set's name.
    const NAME: &'static str;
    /// An element of the window.
    type Element: Copy;
    /// Elements that the inner loop takes at once: segments are padded to a multiple of it.
    const DEPTH: usize;
    /// Window pixels are padded to a multiple of this many channels.
    const CHANNELS: usize;
    /// Output channels per block.
    const NR: usize;
    /// Output pixels per step of the inner loop; rows are padded to a multiple of it.
    const MR: usize;
    /// Bytes of scratch for one block's weights, per weight; 0 when they are used from the blob.
    const UNPACKED: usize;
    /// Whether the blob's bias contains `−x_zero·Σw`; else the window holds `x − x_zero`.
    #[cfg(feature = "alloc")]
    const ZERO_IN_BIAS: bool;

    /// What stands in the window for padding.
    fn blank(x_zero: i8) -> Self::Element;

    /// One value of the window.
    fn element(x: i8, x_zero: i8) -> Self::Element;

    /// Where the element of number `i` in memory order stands within its pixel or patch.
    fn place(i: usize) -> usize;

    /// Copies `n` values, a multiple of [`Isa::CHANNELS`], into the window.
    unsafe fn copy(x: *const i8, n: usize, x_zero: i8, to: *mut Self::Element);

    /// Moves bytes, a multiple of 8, to lower addresses by at least 16. Both are multiples of 8.
    unsafe fn shift(to: *mut Self::Element, from: *const Self::Element, bytes: usize);

    /// Prepares one block's weights: `n` of them, in the blob's order. Returns where they are now.
    unsafe fn unpack(weights: *const i8, n: usize, to: *mut u8) -> *const u8;

    /// Sums for a row of pixels and one block of channels, see [`Sums`].
    unsafe fn sums(sums: &Sums);

    /// Finishes a row of pixels of one block.
    unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize);
}

/// `out[p][n] = bias[n] + Σ_s Σ_k x[p·step + s·row + k] · w[s][k][n]` for all pixels `p`, segments
/// `s`, and the `NR` channels `n` of a block. The order of `k` and `n` within the weights is the
/// set's own. All fields are 32 bits wide on the targets, and the assembly knows their order.
#[repr(C)]
struct Sums {
    /// First element of the window that the first pixel sees.
    x: *const u8,
    /// Bytes from a pixel to the next.
    step: usize,
    /// Bytes from the end of a segment to the start of the next.
    gap: usize,
    /// Number of segments.
    segments: usize,
    /// Elements of a segment, a multiple of [`Isa::DEPTH`].
    segment: usize,
    /// The block's weights, as [`Isa::unpack`] left them.
    weights: *const u8,
    /// The block's biases.
    bias: *const i32,
    /// The sums.
    out: *mut i32,
    /// Pixels, a multiple of [`Isa::MR`], not 0.
    pixels: usize,
}

#[cfg(not(target_arch = "arm"))]
impl Sums {
    /// The hot loop in plain Rust, for elements of `T` and blocks of `NR` channels; `place(k, n)` is where the
    /// weight of element `k` and channel `n` stands in a segment's.
    ///
    /// # Safety
    /// The fields are true, and `place` stays inside `segment · NR`.
    unsafe fn model<T: Copy + Into<i32>, const NR: usize>(&self, place: impl Fn(usize, usize) -> usize) {
        for p in 0..self.pixels {
            for n in 0..NR {
                // SAFETY: the caller's contract.
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
