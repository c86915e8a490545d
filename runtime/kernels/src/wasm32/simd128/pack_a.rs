//! Widening of input rows, which the driver copies.

use core::arch::wasm32::*;

/// Writes `len` values as i16, minus `zero`.
///
/// # Safety
/// `len` bytes can be read and 2·`len` written.
pub(super) unsafe fn widen(from: *const u8, to: *mut u8, len: usize, zero: i16) {
    let zeros = i16x8_splat(zero);
    let whole = len / 8 * 8;
    // SAFETY: guaranteed by the caller.
    unsafe {
        for i in (0..whole).step_by(8) {
            let v = i16x8_load_extend_u8x8(from.add(i));
            v128_store(to.add(2 * i).cast(), i16x8_sub(v, zeros));
        }
        for i in whole..len {
            to.cast::<i16>().add(i).write_unaligned(i16::from(*from.add(i)) - zero);
        }
    }
}
