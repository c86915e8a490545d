//! The epilogue of a tile's sums: scale, residual, clamp, round, narrow, store.
//!
//! ```text
//! v  = f32(acc)·m  (+ (f32(skip) − zero)·m_skip)      per vector
//! q  = u8(rne(clamp(v)) + zero + 128)                 per pixel, all vectors of a panel
//! ```
//! The packed order of the weights is such that narrowing a panel's full number of vectors leaves channels
//! ascending in memory ([`super::pack_b::channel_at`]).

use super::vector::{MAX_LANES, Vector};
use crate::quant::Requant;
use crate::set::ConvArgs;
use crate::shape::ConvOutput;

/// The buffers that an epilogue reads and writes: some pixels × one panel.
#[derive(Clone, Copy)]
pub(crate) struct Outputs {
    /// The panel's biases; multiplier, gain and offset each follow at a distance of `constants_stride` bytes.
    pub constants: *const u8,
    /// The distance between the vectors of `constants` in bytes.
    pub constants_stride: usize,
    /// The first channel of the first pixel in the residual; dangling if there is none.
    pub skip: *const u8,
    /// The first channel of the first pixel in `y` (f32 values for logits).
    pub y: *mut u8,
    /// The first channel of the first pixel in `y2`.
    pub y2: *mut u8,
    /// The distance from pixel to pixel in these three, in bytes.
    pub stride: usize,
    /// Channels of the panel that exist.
    pub channels: usize,
}

/// One output's rounding, in the form for vector code.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// `lo − zero`.
    pub lo: f32,
    /// `hi − zero`.
    pub hi: f32,
    /// The zero point of the unsigned byte: `zero + 128`.
    pub zero: i32,
    /// The lowest unsigned byte: `lo + 128`.
    pub lo_byte: u8,
}

impl Bounds {
    /// Converts a requantization.
    pub fn new(r: Requant) -> Self {
        let (lo, hi) = r.bounds();
        Self { lo, hi, zero: i32::from(r.zero) + 128, lo_byte: r.lo as u8 ^ 0x80 }
    }
}

/// The operations after the sum; the same for all tiles of a convolution.
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

    /// Returns the kernels that this epilogue needs, as an index into [`super::driver::Kernels::tiles`].
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
/// Epilogue: any combination in [`Epilogue`].
pub(crate) const ANY: usize = 3;
/// The number of modes.
pub(crate) const MODES: usize = 4;

/// Writes a tile of sums.
///
/// # Safety
/// The same as for [`super::driver::TileFn`] and [`Vector`].
#[inline(always)]
pub(crate) unsafe fn finish<V: Vector, const M: usize, const N: usize, const MODE: usize>(
    t: &Outputs,
    e: &Epilogue,
    acc: &[[V::Ints; N]; M],
) {
    if MODE == ANY {
        // The sums go through memory, so that this code exists once and not per pixel or tile. The writes are volatile,
        // so that the sums do not stay in memory before this.
        // SAFETY: guaranteed by the caller; each sum is written to its own place.
        unsafe {
            let mut sums = [[V::splat_int(0); N]; M];
            for m in 0..M {
                for v in 0..N {
                    (&raw mut sums[m][v]).write_volatile(acc[m][v]);
                }
            }
            for (m, sums) in sums.iter().enumerate() {
                V::finish_any::<N>(t, e, m, sums);
            }
        }
        return;
    }
    // This is not a loop: if the loop stayed rolled, the sums would be in memory during the multiplications, too.
    macro_rules! pixels {
        ($($m:literal)*) => {$(
            if M > $m {
                // SAFETY: guaranteed by the caller.
                unsafe { finish_pixel::<V, N, MODE>(t, e, $m, acc[$m % M]) };
            }
        )*};
    }
    const { assert!(M <= 8) };
    pixels!(0 1 2 3 4 5 6 7);
}

/// Writes the sums of pixel `m`.
///
/// # Safety
/// The same as for [`finish`].
#[inline(always)]
pub(crate) unsafe fn finish_pixel<V: Vector, const N: usize, const MODE: usize>(
    t: &Outputs,
    e: &Epilogue,
    m: usize,
    acc: [V::Ints; N],
) {
    // SAFETY: the constants of the panel and `channels` bytes of each pixel's outputs and residual are inside
    // their buffers, see `Outputs`.
    unsafe {
        let mut v = [V::splat(0.0); N];
        for i in 0..N {
            let multiplier = V::load(t.constants.add(t.constants_stride + V::BYTES * i));
            v[i] = V::mul(V::to_floats(acc[i]), multiplier);
        }
        if MODE == INT8_SKIP || MODE == BOTH_SKIP || (MODE == ANY && e.has_skip) {
            let skip = V::load_pixel::<N>(t.skip.add(m * t.stride), t.channels);
            let (zero, multiplier) = (V::splat(e.skip_zero), V::splat(e.skip_multiplier));
            for i in 0..N {
                v[i] = V::add(v[i], V::mul(V::sub(skip[i], zero), multiplier));
            }
        }
        if MODE == ANY && e.output == ConvOutput::Float32 {
            return store_logits::<V, N>(t, v);
        }
        if MODE != ANY || e.output.has_int8() {
            V::store_pixel::<N>(t.y.add(m * t.stride), t.channels, V::requantize_pixel::<N>(v, &e.y));
        }
        if MODE == BOTH_SKIP || (MODE == ANY && e.output.has_affine()) {
            for i in 0..N {
                let gain = V::load(t.constants.add(2 * t.constants_stride + V::BYTES * i));
                let offset = V::load(t.constants.add(3 * t.constants_stride + V::BYTES * i));
                v[i] = V::add(V::mul(v[i], gain), offset);
            }
            V::store_pixel::<N>(t.y2.add(m * t.stride), t.channels, V::requantize_pixel::<N>(v, &e.y2));
        }
    }
}

/// Writes `channels` f32 values in channel order.
///
/// # Safety
/// `t.y` has room for `channels` values; see [`Vector`].
#[inline(always)]
unsafe fn store_logits<V: Vector, const N: usize>(t: &Outputs, v: [V::Floats; N]) {
    let mut lanes = [[0f32; MAX_LANES]; N];
    for i in 0..N {
        // SAFETY: stores to an array of at least as many f32.
        unsafe { V::store(lanes[i].as_mut_ptr(), v[i]) };
    }
    for c in 0..t.channels {
        // Channel c is in block c / 4N of four lanes, see `channel_at`.
        let (block, rest) = (c / (4 * N), c % (4 * N));
        // SAFETY: guaranteed by the caller.
        unsafe { *t.y.cast::<f32>().add(c) = lanes[rest / 4][4 * block + rest % 4] };
    }
}
