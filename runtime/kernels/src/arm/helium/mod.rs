//! Armv8.1-M with the M-profile vector extension: Cortex-M55, M85.

mod sums;

use super::{Epilogue, Isa, Sums};

/// The kernel set `helium`; see the module.
pub struct Helium;

impl Isa for Helium {
    const NAME: &'static str = "helium";
    type Element = i8;
    const DEPTH: usize = 16;
    const CHANNELS: usize = 1;
    const NR: usize = 4;
    const MR: usize = 2;
    const UNPACKED: usize = 0;
    const ZERO_IN_BIAS: bool = true;

    fn blank(x_zero: i8) -> i8 {
        x_zero
    }

    fn element(x: i8, _: i8) -> i8 {
        x
    }

    fn place(i: usize) -> usize {
        i
    }

    unsafe fn copy(x: *const i8, n: usize, _: i8, to: *mut i8) {
        // SAFETY: the caller's contract.
        unsafe { core::ptr::copy_nonoverlapping(x, to, n) }
    }

    unsafe fn unpack(weights: *const i8, _: usize, _: *mut u8) -> *const u8 {
        weights.cast()
    }

    unsafe fn sums(sums: &Sums) {
        // SAFETY: the caller's contract.
        unsafe { sums::sums_i8_2x4(sums) }
    }

    unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize) {
        // SAFETY: the caller's contract.
        unsafe { epilogue.finish(4, channels, pixels) }
    }
}
