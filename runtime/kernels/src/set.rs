//! The interface of kernel sets.
//!
//! A *kernel set* contains all operators for one instruction set. It owns the layout of activations and of packed
//! weights: to the plan, both are bytes whose number the set reports. An instruction set may therefore keep
//! channels in blocks, bytes unsigned, or weights pre-widened, and no other code needs to know. Tests compare bits
//! through [`KernelSet::read_tensor`].
//!
//! Kernel authors **must** compute exactly the bits of [`crate::reference`] for every shape that `validate`
//! admits, register the set in [`crate::dispatch`], and stamp the shared tests on it with [`crate::testing`]. They
//! **may** read any byte within a tensor, scratch or blob that they requested in `*_bytes`, and nothing else.
//!
//! The names of kernels follow one grammar, `<op>_<dtype>_<MRxNRcKR>_<isa>`: MR output pixels × NR output channels
//! per tile, and KR multiply-accumulates along the depth that one accumulator lane takes at once, for example
//! `conv_i8_14x32c4_avx512vnni`. `f4x4` before the sizes is Winograd's output tile. Rounding is always to nearest
//! even and therefore not part of the name.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::ops::Range;

use crate::op::add::AddScalars;
use crate::op::avg_pool::AvgPoolScalars;
#[cfg(feature = "gates")]
use crate::op::scale::ScaleScalars;
#[cfg(feature = "gates")]
use crate::op::sum::SumTerm;
use crate::quant::Requant;
use crate::shape::{ConvDesc, PoolDesc, Shape};

// Packed constants are little-endian, and kernels read them in place.
const _: () = assert!(cfg!(target_endian = "little"), "kernels run on little-endian processors only");

/// The alignment, in bytes, of every tensor, scratch buffer and packed blob that a kernel receives.
pub const ALIGN: usize = 64;

/// A convolution's constants, before packing.
#[derive(Clone, Copy, Debug)]
pub struct ConvWeights<'a> {
    /// Weights, OHWI: `[y.c][kernel h][kernel w][x.c / groups]`, |w| ≤ 127.
    pub weights: &'a [i8],
    /// One bias per output channel, at scale `s_x·s_w[c]`, without any zero-point term.
    pub bias: &'a [i32],
    /// `m[c] = s_x·s_w[c]/s_y`.
    pub multiplier: &'a [f32],
    /// The gain of each channel of the second output; empty if there is none.
    pub gain: &'a [f32],
    /// The offset of each channel of the second output; empty if there is none.
    pub offset: &'a [f32],
    /// The zero point of the input: one value or, for [`crate::Source::Pixels`], one per channel. Padding has this
    /// value, so it contributes nothing to the sum.
    pub x_zero: &'a [i8],
}

/// The scalars of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvScalars {
    /// The zero point of the input, per channel (pixels) or in all four entries (tensors).
    pub x_zero: [i8; 4],
    /// Zero point of the residual.
    pub skip_zero: i8,
    /// `s_skip / s_y`.
    pub skip_multiplier: f32,
    /// Rounding and range of `y`.
    pub y: Requant,
    /// Rounding and range of `y2`.
    pub y2: Requant,
}

/// The arguments of one convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvArgs<'a> {
    /// The convolution's description; validated.
    pub desc: &'a ConvDesc,
    /// Scalars.
    pub scalars: &'a ConvScalars,
    /// The result of [`KernelSet::pack_conv`], aligned to [`ALIGN`].
    pub blob: &'a [u8],
    /// The input: `tensor_bytes(desc.x)` bytes, or the pixels.
    pub x: *const u8,
    /// The residual, `tensor_bytes(desc.y)`; may be the same address as `y`; unused without `desc.skip`.
    pub skip: *const u8,
    /// The output, `tensor_bytes(desc.y)`, or `y.c` f32 values; unused for [`crate::ConvOutput::Affine`].
    pub y: *mut u8,
    /// The second output, `tensor_bytes(desc.y)`; unused if there is none.
    pub y2: *mut u8,
    /// The number of rows in the input's buffer, in which row `r` is at `r mod x_rows`. It is `desc.x.h`, except
    /// in plans that run in stripes, see [`KernelSet::conv_rows_per_task`].
    pub x_rows: usize,
    /// The number of rows in the buffer of `y`.
    pub y_rows: usize,
    /// This thread's own scratch, `conv_scratch_bytes(desc)`.
    pub scratch: *mut u8,
}

// SAFETY: only the `unsafe` kernel methods dereference the pointers, and their contract (disjoint task ranges,
// scratch not shared) makes concurrent use sound.
unsafe impl Sync for ConvArgs<'_> {}

/// All operators for one instruction set.
///
/// # Safety
/// Implementations **must** return correct and constant answers. `tensor_bytes`, `conv_scratch_bytes` and `locate`
/// bound the memory that the operators access. `check_conv` accepts only blobs that [`KernelSet::conv`] can run.
/// `conv_tasks` and `conv_rows_per_task` divide the output into disjoint pieces. Plans are validated with these
/// answers and then run without checks.
///
/// # Safety of the operator methods
/// Callers **must** pass validated descriptions, buffers of the required sizes aligned to [`ALIGN`] (pixels need
/// no alignment), and a blob that [`KernelSet::check_conv`] accepted for that description. They **must not** give
/// one task or one scratch buffer to two threads at once. Outputs must not overlap inputs, with one exception: a
/// residual may be exactly the output's buffer.
pub unsafe trait KernelSet: Sync + Send {
    /// Returns the name in the dispatch table, in plans and in messages, for example `avx512vnni`.
    fn name(&self) -> &'static str;

    /// Returns the multiply-accumulates per cycle and core that count as 100 % of peak: those of one multiplying
    /// instruction of the inner loop, or fewer if such an instruction takes several cycles. Returns `None` if no
    /// such number makes sense.
    fn peak_macs_per_cycle(&self) -> Option<f64> {
        None
    }

    /// Returns the multiply-accumulates per second that one core can reach now. They are measured by running the
    /// inner loop's instructions on registers alone for a few microseconds.
    fn peak_macs_per_second(&self) -> Option<f64> {
        None
    }

    /// Returns the size of an activation in this set's layout in bytes, including slack.
    fn tensor_bytes(&self, shape: Shape) -> usize;

    /// Returns an activation as plain NHWC int8. `buffer` has at least `tensor_bytes(shape)`.
    #[cfg(feature = "alloc")]
    fn read_tensor(&self, shape: Shape, buffer: &[u8]) -> Vec<i8>;

    /// Writes an activation, the reverse of [`KernelSet::read_tensor`]; slack is zeroed.
    #[cfg(feature = "alloc")]
    fn write_tensor(&self, shape: Shape, values: &[i8], buffer: &mut [u8]);

    /// Returns the offset of a pixel (row · width + column) and channel in an activation's buffer.
    #[cfg(feature = "gates")]
    fn locate(&self, shape: Shape, pixel: usize, channel: usize) -> usize;

    /// Returns the bits in which a stored byte differs from the value.
    #[cfg(feature = "gates")]
    fn flipped(&self) -> u8 {
        0
    }

    /// Packs weights, biases and multipliers for [`KernelSet::conv`]. The blob is position independent and
    /// contains no pointers.
    #[cfg(feature = "alloc")]
    fn pack_conv(&self, desc: &ConvDesc, weights: &ConvWeights<'_>) -> Vec<u8>;

    /// Returns whether `blob` (from an untrusted file) is safe to run for `desc`.
    fn check_conv(&self, desc: &ConvDesc, blob: &[u8]) -> bool;

    /// Returns the number of scratch bytes that each thread needs for this convolution.
    fn conv_scratch_bytes(&self, desc: &ConvDesc) -> usize;

    /// Returns the number of independent tasks of the convolution, which are of roughly equal size.
    fn conv_tasks(&self, desc: &ConvDesc) -> usize;

    /// Returns the number of output rows per task, for sets that can run a plan in stripes. In these sets the
    /// tasks are in order from the first row. A task reads only the input rows under its output rows, and copies
    /// them before it writes. `x_rows` and `y_rows` may then be less than all rows.
    fn conv_rows_per_task(&self, _desc: &ConvDesc) -> Option<usize> {
        None
    }

    /// Runs some of the tasks of a convolution.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn conv(&self, args: &ConvArgs<'_>, tasks: Range<usize>);

    /// Computes the given output rows of a max pooling.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn max_pool(&self, desc: &PoolDesc, x: *const u8, y: *mut u8, rows: Range<usize>);

    /// Computes a global average pooling: `x` of shape `x_shape` to `y` of shape `1×1×c`. `x_shape.pixels()` is at
    /// most 65,536, so that the sum is exact in f32.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn avg_pool(&self, x_shape: Shape, scalars: &AvgPoolScalars, x: *const u8, y: *mut u8);

    /// Computes `y = rne(f32(x − x_zero)·gain[c] + offset[c]) + z` on the given rows.
    ///
    /// # Safety
    /// See the trait; `gain` and `offset` have `shape.c` values.
    #[allow(clippy::too_many_arguments)]
    unsafe fn affine(
        &self,
        shape: Shape,
        x_zero: i8,
        out: Requant,
        gain: &[f32],
        offset: &[f32],
        x: *const u8,
        y: *mut u8,
        rows: Range<usize>,
    );

    /// Adds two tensors on the given rows, where no convolution can add the residual; `a` may be `y`.
    ///
    /// # Safety
    /// See the trait.
    unsafe fn add(
        &self,
        shape: Shape,
        scalars: &AddScalars,
        a: *const u8,
        b: *const u8,
        y: *mut u8,
        rows: Range<usize>,
    );

    /// Computes `y = table[x + 128]` on the given bytes of the buffers, at most `tensor_bytes(shape)`. It works
    /// for every layout; the bytes between the values are undefined afterwards.
    ///
    /// # Safety
    /// See the trait.
    #[cfg(feature = "gates")]
    unsafe fn table(&self, table: &[i8; 256], x: *const u8, y: *mut u8, bytes: Range<usize>) {
        let flipped = self.flipped();
        let mut stored = [0; 256];
        for (i, &value) in table.iter().enumerate() {
            stored[usize::from((i as u8).wrapping_sub(128) ^ flipped)] = value as u8 ^ flipped;
        }
        for i in bytes {
            // SAFETY: the bytes are inside both buffers.
            unsafe { *y.add(i) = stored[usize::from(*x.add(i))] };
        }
    }

    /// Computes `y[c] = tables[c][x[c] + 128]` on the given rows.
    ///
    /// # Safety
    /// See the trait; there are `shape.c` tables.
    #[cfg(feature = "gates")]
    unsafe fn channel_table(
        &self,
        shape: Shape,
        tables: &[[i8; 256]],
        x: *const u8,
        y: *mut u8,
        rows: Range<usize>,
    ) {
        let flipped = self.flipped();
        for pixel in rows.start * shape.w..rows.end * shape.w {
            for (c, table) in tables.iter().enumerate() {
                let at = self.locate(shape, pixel, c);
                // SAFETY: `locate` stays inside an activation of that shape.
                unsafe {
                    let index = *x.add(at) ^ flipped ^ 0x80;
                    *y.add(at) = table[usize::from(index)] as u8 ^ flipped;
                }
            }
        }
    }

    /// Computes [`crate::reference::scale`] on the given rows; `gate` is an activation of `1×1×shape.c`.
    ///
    /// # Safety
    /// See the trait; `scratch` belongs to this thread and has `8·shape.c` bytes.
    #[cfg(feature = "gates")]
    #[allow(clippy::too_many_arguments)]
    unsafe fn scale(
        &self,
        shape: Shape,
        scalars: &ScaleScalars,
        x: *const u8,
        gate: *const u8,
        y: *mut u8,
        scratch: *mut u8,
        rows: Range<usize>,
    ) {
        let gates = Shape::new(1, 1, shape.c);
        let floats = scratch.cast::<f32>();
        // SAFETY: the scratch has room for two f32 per channel, and any bytes are an f32.
        let (gain, offset) = unsafe {
            (
                core::slice::from_raw_parts_mut(floats, shape.c),
                core::slice::from_raw_parts_mut(floats.add(shape.c), shape.c),
            )
        };
        for (c, gain) in gain.iter_mut().enumerate() {
            // SAFETY: `locate` stays inside an activation of that shape.
            let stored = unsafe { *gate.add(self.locate(gates, 0, c)) };
            *gain = crate::reference::gain(scalars, (stored ^ self.flipped()) as i8);
        }
        // Adding zero changes no rounding, so the affine map computes the definition's bits.
        offset.fill(0.0);
        // SAFETY: guaranteed by the caller.
        unsafe { self.affine(shape, scalars.x_zero, scalars.y, gain, offset, x, y, rows) }
    }

    /// Computes [`crate::reference::sum`] on the given bytes of the buffers, at most `tensor_bytes` of their
    /// shape. Like [`KernelSet::table`] it works for every layout. `y` does not overlap any of `x`.
    ///
    /// # Safety
    /// See the trait; `x` has a buffer for each of `terms`.
    #[cfg(feature = "gates")]
    unsafe fn sum(&self, terms: &[SumTerm], out: Requant, x: &[*const u8], y: *mut u8, bytes: Range<usize>) {
        // The number of values per pass: the sums stay in registers or near them, and the loops have a fixed
        // length.
        const VALUES: usize = 64;
        let flipped = self.flipped();
        let mut at = bytes.start;
        while at < bytes.end {
            let n = VALUES.min(bytes.end - at);
            let mut sums = [0f32; VALUES];
            for (k, (term, &x)) in terms.iter().zip(x).enumerate() {
                // SAFETY: the bytes are inside the buffer.
                let x = unsafe { core::slice::from_raw_parts(x.add(at), n) };
                for (sum, &x) in sums.iter_mut().zip(x) {
                    let product = (f32::from((x ^ flipped) as i8) - term.zero) * term.multiplier;
                    *sum = if k == 0 { product } else { *sum + product };
                }
            }
            // SAFETY: the bytes are inside the buffer, which nothing of `x` overlaps.
            let y = unsafe { core::slice::from_raw_parts_mut(y.add(at), n) };
            for (y, &sum) in y.iter_mut().zip(&sums) {
                *y = out.apply(sum) as u8 ^ flipped;
            }
            at += n;
        }
    }

    /// Computes `y = f32(x − zero)·scale`, NHWC without gaps.
    ///
    /// # Safety
    /// See the trait; `y` has `shape.len()` values.
    #[cfg(feature = "gates")]
    unsafe fn dequantize(&self, shape: Shape, zero: i8, scale: f32, x: *const u8, y: *mut f32) {
        for pixel in 0..shape.pixels() {
            for c in 0..shape.c {
                // SAFETY: `locate` stays inside an activation of that shape, and `y` has room for each value.
                unsafe {
                    let value = (*x.add(self.locate(shape, pixel, c)) ^ self.flipped()) as i8;
                    *y.add(pixel * shape.c + c) = (i32::from(value) - i32::from(zero)) as f32 * scale;
                }
            }
        }
    }
}

/// Implements the operators without a default, except convolution, by functions with the same arguments. Their
/// contract is the trait's, and that the CPU has the set's instructions.
macro_rules! forward_operators {
    ($max_pool:path, $avg_pool:path, $affine:path, $add:path) => {
        unsafe fn max_pool(
            &self,
            desc: &$crate::PoolDesc,
            x: *const u8,
            y: *mut u8,
            rows: core::ops::Range<usize>,
        ) {
            // SAFETY: guaranteed by the caller; `self` exists only if the CPU has the features.
            unsafe { $max_pool(desc, x, y, rows) }
        }

        unsafe fn avg_pool(
            &self,
            shape: $crate::Shape,
            scalars: &$crate::AvgPoolScalars,
            x: *const u8,
            y: *mut u8,
        ) {
            // SAFETY: as above.
            unsafe { $avg_pool(shape, scalars, x, y) }
        }

        unsafe fn affine(
            &self,
            shape: $crate::Shape,
            x_zero: i8,
            out: $crate::Requant,
            gain: &[f32],
            offset: &[f32],
            x: *const u8,
            y: *mut u8,
            rows: core::ops::Range<usize>,
        ) {
            // SAFETY: as above.
            unsafe { $affine(shape, x_zero, out, gain, offset, x, y, rows) }
        }

        unsafe fn add(
            &self,
            shape: $crate::Shape,
            scalars: &$crate::AddScalars,
            a: *const u8,
            b: *const u8,
            y: *mut u8,
            rows: core::ops::Range<usize>,
        ) {
            // SAFETY: as above.
            unsafe { $add(shape, scalars, a, b, y, rows) }
        }
    };
}

pub(crate) use forward_operators;
