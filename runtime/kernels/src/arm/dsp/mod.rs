//! Armv7E-M with the DSP extension and a single-precision FPU: Cortex-M4F, M7, M33.
//!
//! `smlad` computes two 16-bit products and both additions. `sxtb16` widens bytes to halfwords. It takes bytes 0
//! and 2 of a word (and, rotated, 1 and 3), so the window and the unpacked weights store every four elements in
//! the order 0 2 1 3, and nothing is ever reshuffled.
//!
//! The limit is ½ instruction per MAC; [`tile`] needs 11/16 + loop: per four elements of depth one `ldm` of two
//! channels' weights and one `ldrd` for each of two pixels feed eight `smlad`. A larger tile would save loads, but
//! there are no registers for it: 4 sums, 4 weights, 2 inputs, 3 pointers and a counter are all fourteen.

mod epilogue;
mod pack_a;
mod pack_b;
mod tile;

use super::common::epilogue::Epilogue;
use super::common::tile::{Isa, Sums};

/// The kernel set `dsp`; see the module.
pub struct Dsp;

/// The position of element `i` of four in memory order.
const PLACE: [usize; 4] = [0, 2, 1, 3];

impl Isa for Dsp {
    const NAME: &'static str = "dsp";
    type Element = i16;
    const DEPTH: usize = 4;
    const CHANNELS: usize = 4;
    const NR: usize = 2;
    const MR: usize = 2;
    const UNPACKED: usize = 2;
    #[cfg(feature = "alloc")]
    const ZERO_IN_BIAS: bool = false;

    fn blank(_: i8) -> i16 {
        0
    }

    fn element(x: i8, x_zero: i8) -> i16 {
        i16::from(x) - i16::from(x_zero)
    }

    fn place(i: usize) -> usize {
        (i & !3) + PLACE[i & 3]
    }

    unsafe fn copy(x: *const i8, n: usize, x_zero: i8, to: *mut i16) {
        // SAFETY: guaranteed by the caller.
        unsafe { pack_a::widen(x, n / 4, i32::from(x_zero), to) }
    }

    unsafe fn shift(to: *mut i16, from: *const i16, bytes: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe { pack_a::shift(to.cast(), from.cast(), bytes / 8) }
    }

    unsafe fn unpack(weights: *const i8, n: usize, to: *mut u8) -> *const u8 {
        // SAFETY: guaranteed by the caller.
        unsafe { pack_b::unpack(weights, n / 8, to.cast()) };
        to
    }

    unsafe fn sums(sums: &Sums) {
        // SAFETY: guaranteed by the caller.
        unsafe { tile::conv_i16_2x2c2_dsp(sums) }
    }

    unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe { epilogue::finish(epilogue, channels, pixels) }
    }
}
