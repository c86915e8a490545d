//! Weights: converts bytes to halfwords while a convolution runs.

/// Unpacks `octets` times four weights of one channel and four of the next: each channel's halfwords
/// 0 and 2, then each channel's 1 and 3.
///
/// # Safety
/// `weights` has `8·octets` bytes, and `to` has room for as many halfwords; both are multiples of 4.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn unpack(weights: *const i8, octets: usize, to: *mut i16) {
    core::arch::naked_asm!(
        ".arch armv7e-m",
        "push {{r4-r11}}",
        "subs r1, r1, #2",
        "blo 3f",
        "2:",
        "ldm r0!, {{r6, r7, r10, r11}}",
        "sxtb16 r4, r6",
        "sxtb16 r5, r7",
        "sxtb16 r6, r6, ror #8",
        "sxtb16 r7, r7, ror #8",
        "sxtb16 r8, r10",
        "sxtb16 r9, r11",
        "sxtb16 r10, r10, ror #8",
        "sxtb16 r11, r11, ror #8",
        "stm r2!, {{r4-r11}}",
        "subs r1, r1, #2",
        "bhs 2b",
        "3:",
        "adds r1, r1, #2",
        "beq 4f",
        "ldrd r6, r7, [r0]",
        "sxtb16 r4, r6",
        "sxtb16 r5, r7",
        "sxtb16 r6, r6, ror #8",
        "sxtb16 r7, r7, ror #8",
        "stm r2!, {{r4-r7}}",
        "4:",
        "pop {{r4-r11}}",
        "bx lr",
    )
}

/// The same function in plain Rust.
///
/// # Safety
/// The same as for the assembly.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn unpack(weights: *const i8, octets: usize, to: *mut i16) {
    for octet in 0..octets {
        for (i, k) in [0, 2, 4, 6, 1, 3, 5, 7].into_iter().enumerate() {
            // Of each four, the even elements of both channels come first.
            // SAFETY: guaranteed by the caller.
            unsafe { *to.add(8 * octet + i) = i16::from(*weights.add(8 * octet + k)) };
        }
    }
}
