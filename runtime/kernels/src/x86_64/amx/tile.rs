//! `conv_i8_{16,32}x{16,32}c64_amx`: the multiplications of a block, from input bytes to int32 sums.
//!
//! ```text
//! sum[m][v] = bias[v]                          m: 16 pixels each, v: 16 channels each
//! for segment, step:                          64 deep
//!     a[m] = 16 pixels × 64 bytes              tileloadd, stride from pixel to pixel
//!     w[v] = 16 rows × 16 channels × 4         tileloadd, 1024 bytes in a row
//!     sum[m][v] += a[m] · w[v]                 tdpbusd: unsigned input, signed weights
//! store the sums
//! ```
//! 1. Four sums, two inputs and two weights fill the eight tiles; each load serves two multiplications, and a load
//!    takes half of a multiplication's 16 cycles.
//! 2. The bias is loaded with stride 0: all 16 pixels get the same row.
//! 3. While a panel's weights are in use, those of the next one are prefetched into the second-level cache, evenly
//!    over the loop: late layers read each weight from memory once and would wait for it.
//!
//! The compiler does not manage tile registers: [`Tiles`] configures them for the thread, and a block is one piece
//! of assembly, so nothing else can come between loading and storing them.

use core::arch::asm;

/// One block.
pub(super) struct Product<'a> {
    /// The first segment of the first pixel, without the segment's offset.
    pub x: *const u8,
    /// The distance from pixel to pixel in bytes.
    pub step: usize,
    /// Offsets of the segments.
    pub offsets: &'a [usize],
    /// The steps of a segment, at least one.
    pub steps: usize,
    /// Weights of the one or two vectors.
    pub weights: *const u8,
    /// Biases of the one or two vectors.
    pub bias: *const u8,
    /// The destination of the first pixel's sums; the next pixel's follow at 256 bytes.
    pub sums: *mut u8,
    /// The address to prefetch from: 64 bytes times the kernel's number in each step.
    pub ahead: *const u8,
}

/// Proof that tiles are configured for this thread.
pub(super) struct Tiles(());

impl Tiles {
    /// Configures tiles for this many pixels, 1 to 16, in the first and the second tile of a block.
    ///
    /// # Safety
    /// The CPU has AMX-INT8 and the operating system lets this process use it; no other `Tiles` exists
    /// on this thread.
    pub unsafe fn configure(first: usize, second: usize) -> Self {
        #[repr(C, align(64))]
        struct Config {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            column_bytes: [u16; 16],
            rows: [u8; 16],
        }
        let mut config =
            Config { palette: 1, start_row: 0, reserved: [0; 14], column_bytes: [0; 16], rows: [0; 16] };
        config.column_bytes[..8].fill(64);
        let (first, second) = (first as u8, second as u8);
        config.rows[..8].copy_from_slice(&[first, first, second, second, first, second, 16, 16]);
        // SAFETY: reads the 64 bytes; the caller has the instruction.
        unsafe {
            asm!(
                "ldtilecfg [{}]",
                in(reg) &raw const config,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly, preserves_flags),
            );
        }
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // The operating system then need not save 8 kB at every switch. SAFETY: tiles are configured.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem, preserves_flags),
            );
        }
    }
}

/// Multiplies a block.
///
/// # Safety
/// [`Tiles`] are configured; the pointers in [`Product`] cover the range that its sizes imply.
pub(super) type ProductFn = unsafe fn(&Product<'_>);

/// Defines a [`ProductFn`] from its instructions before the loop, for each step (`{a}`: 16 pixels of input, `{b}`:
/// 16 more, `{s}`: 64), and after it (`{s}`: 256).
macro_rules! product {
    ($name:ident, $weights:literal, [$($before:literal)*] [$($step:literal)*] [$($behind:literal)*]) => {
        /// # Safety
        /// See [`ProductFn`].
        unsafe fn $name<const AHEAD: usize>(p: &Product<'_>) {
            // SAFETY: guaranteed by the caller; all registers are declared.
            unsafe {
                asm!(
                    "xor {s:e}, {s:e}",
                    $($before,)*
                    "mov {s:e}, 64",
                    "2:",
                    "mov {a}, [{segment}]",
                    "add {segment}, 8",
                    "add {a}, {x}",
                    "mov {b}, {step}",
                    "shl {b}, 4",
                    "add {b}, {a}",
                    "mov {n}, {steps}",
                    "3:",
                    $($step,)*
                    ".rept {prefetches}",
                    "prefetcht1 [{ahead}]",
                    "add {ahead}, 64",
                    ".endr",
                    concat!("add {w}, ", $weights),
                    "add {a}, 64",
                    "add {b}, 64",
                    "dec {n}",
                    "jnz 3b",
                    "dec {segments}",
                    "jnz 2b",
                    "mov {s:e}, 256",
                    $($behind,)*
                    prefetches = const AHEAD,
                    s = out(reg) _,
                    b = out(reg) _,
                    n = out(reg) _,
                    a = inout(reg) p.bias => _,
                    segment = inout(reg) p.offsets.as_ptr() => _,
                    segments = inout(reg) p.offsets.len() => _,
                    x = in(reg) p.x,
                    step = in(reg) p.step,
                    steps = in(reg) p.steps,
                    w = inout(reg) p.weights => _,
                    ahead = inout(reg) p.ahead => _,
                    sums = in(reg) p.sums,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

product!(tiles_2x2, "2048",
    ["tileloadd tmm0, [{a} + {s}*1]" "tileloadd tmm1, [{a} + {s}*1 + 64]"
     "tileloadd tmm2, [{a} + {s}*1]" "tileloadd tmm3, [{a} + {s}*1 + 64]"]
    ["tileloadd tmm6, [{w} + {s}*1]" "tileloadd tmm4, [{a} + {step}*1]" "tdpbusd tmm0, tmm4, tmm6"
     "tileloadd tmm7, [{w} + {s}*1 + 1024]" "tdpbusd tmm1, tmm4, tmm7"
     "tileloadd tmm5, [{b} + {step}*1]" "tdpbusd tmm2, tmm5, tmm6" "tdpbusd tmm3, tmm5, tmm7"]
    ["tilestored [{sums} + {s}*1], tmm0" "tilestored [{sums} + {s}*1 + 64], tmm1"
     "tilestored [{sums} + {s}*1 + 4096], tmm2" "tilestored [{sums} + {s}*1 + 4160], tmm3"]);

product!(tiles_2x1, "1024",
    ["tileloadd tmm0, [{a} + {s}*1]" "tileloadd tmm2, [{a} + {s}*1]"]
    ["tileloadd tmm6, [{w} + {s}*1]" "tileloadd tmm4, [{a} + {step}*1]" "tdpbusd tmm0, tmm4, tmm6"
     "tileloadd tmm5, [{b} + {step}*1]" "tdpbusd tmm2, tmm5, tmm6"]
    ["tilestored [{sums} + {s}*1], tmm0" "tilestored [{sums} + {s}*1 + 4096], tmm2"]);

product!(tiles_1x2, "2048",
    ["tileloadd tmm0, [{a} + {s}*1]" "tileloadd tmm1, [{a} + {s}*1 + 64]"]
    ["tileloadd tmm6, [{w} + {s}*1]" "tileloadd tmm4, [{a} + {step}*1]" "tdpbusd tmm0, tmm4, tmm6"
     "tileloadd tmm7, [{w} + {s}*1 + 1024]" "tdpbusd tmm1, tmm4, tmm7"]
    ["tilestored [{sums} + {s}*1], tmm0" "tilestored [{sums} + {s}*1 + 64], tmm1"]);

product!(tiles_1x1, "1024",
    ["tileloadd tmm0, [{a} + {s}*1]"]
    ["tileloadd tmm6, [{w} + {s}*1]" "tileloadd tmm4, [{a} + {step}*1]" "tdpbusd tmm0, tmm4, tmm6"]
    ["tilestored [{sums} + {s}*1], tmm0"]);

/// The possible numbers of lines that a kernel prefetches in each step.
const AHEAD: [usize; 7] = [0, 1, 2, 4, 8, 16, 32];

/// The variants of one kernel, as in [`AHEAD`].
macro_rules! by_ahead {
    ($f:ident) => {
        [$f::<0>, $f::<1>, $f::<2>, $f::<4>, $f::<8>, $f::<16>, $f::<32>]
    };
}

/// The kernels by tiles of pixels − 1, of channels − 1, and as in [`AHEAD`].
static PRODUCTS: [[[ProductFn; AHEAD.len()]; 2]; 2] =
    [[by_ahead!(tiles_1x1), by_ahead!(tiles_1x2)], [by_ahead!(tiles_2x1), by_ahead!(tiles_2x2)]];

/// Returns the kernel for this many tiles of pixels and of channels that prefetches at least `ahead` lines, at
/// most 32, in each step.
pub(super) fn product(pixel_tiles: usize, vectors: usize, ahead: usize) -> ProductFn {
    let enough = AHEAD.iter().position(|&n| n >= ahead).unwrap_or(AHEAD.len() - 1);
    PRODUCTS[pixel_tiles - 1][vectors - 1][enough]
}
