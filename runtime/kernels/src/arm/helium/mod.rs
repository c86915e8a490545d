//! Armv8.1-M with the M-profile vector extension, integer and f32: Cortex-M55, M85.
//!
//! `vmladava.s8` computes sixteen MACs and adds them to a core register, which must be even. That allows at most
//! eight sums, two pixels × four channels, and leaves the odd registers for everything else. The limit is 1/16
//! instruction per MAC; [`tile`] needs 14/128 + loop, with six loads for eight `vmladava`. Weights are read
//! directly from flash; the input's zero point is in the bias.

mod epilogue;
mod pack_a;
mod tile;

use super::common::epilogue::Epilogue;
use super::common::tile::{Isa, Sums};

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
    #[cfg(feature = "alloc")]
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
        // SAFETY: guaranteed by the caller.
        unsafe { pack_a::copy(x, n, to) }
    }

    unsafe fn shift(to: *mut i8, from: *const i8, bytes: usize) {
        // SAFETY: guaranteed by the caller; copies forwards, in pieces no longer than the distance.
        unsafe { pack_a::copy(from, bytes, to) }
    }

    unsafe fn unpack(weights: *const i8, _: usize, _: *mut u8) -> *const u8 {
        weights.cast()
    }

    unsafe fn sums(sums: &Sums) {
        // SAFETY: guaranteed by the caller.
        unsafe { tile::conv_i8_2x4c16_helium(sums) }
    }

    unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe { epilogue::finish(epilogue, channels, pixels) }
    }
}
