//! `conv_i16_2x2c2_dsp`: the register tile, two pixels × two channels.

use crate::arm::common::tile::Sums;

/// Computes the `[pixel][channel]` sums of a row, see [`Sums`]; the number of pixels is even.
///
/// ```text
/// for each two pixels:                        r10, r11: their first elements
///     r0…r3 = bias
///     for each segment:
///         for each four elements:             ldm 4 weights, 2 × (ldrd, 4 smlad): 11 instructions
///         skip the gap
///     store r0…r3
/// ```
/// The loop over groups of four is unrolled four times, because the segments of every layer with 16 channels are
/// multiples of 16; the rest is processed one group at a time.
///
/// # Safety
/// The fields are correct, and all pointers are multiples of 4.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn conv_i16_2x2c2_dsp(sums: *const Sums) {
    use core::mem::offset_of;
    macro_rules! four {
        () => {
            "ldm r12!, {{r4-r7}}
             ldrd r8, r9, [r10], #8
             smlad r0, r8, r4, r0
             smlad r1, r8, r5, r1
             smlad r0, r9, r6, r0
             smlad r1, r9, r7, r1
             ldrd r8, r9, [r11], #8
             smlad r2, r8, r4, r2
             smlad r3, r8, r5, r3
             smlad r2, r9, r6, r2
             smlad r3, r9, r7, r3"
        };
    }
    // On the stack: x of the next pixels, out, pixels left, segments left, sixteens and fours of a
    // segment, the argument.
    core::arch::naked_asm!(
        ".arch armv7e-m",
        "push {{r4-r11, lr}}",
        "sub sp, sp, #28",
        "str r0, [sp, #24]",
        "ldr r4, [r0, #{segment}]",
        "lsr r5, r4, #4",
        "ubfx r4, r4, #2, #2",
        "strd r5, r4, [sp, #16]",
        "ldr r4, [r0, #{x}]",
        "ldr r5, [r0, #{out}]",
        "ldr r6, [r0, #{pixels}]",
        "strd r4, r5, [sp]",
        "str r6, [sp, #8]",
        "2:",
        "ldr r4, [sp, #24]",
        "ldr r10, [sp]",
        "ldr r5, [r4, #{step}]",
        "ldr r6, [r4, #{segments}]",
        "add r11, r10, r5",
        "add r5, r11, r5",
        "str r5, [sp]",
        "str r6, [sp, #12]",
        "ldr r12, [r4, #{weights}]",
        "ldr r8, [r4, #{bias}]",
        "ldrd r0, r1, [r8]",
        "mov r2, r0",
        "mov r3, r1",
        "3:",
        "ldr lr, [sp, #16]",
        "cmp lr, #0",
        "beq 5f",
        "4:",
        four!(),
        four!(),
        four!(),
        four!(),
        "subs lr, lr, #1",
        "bne 4b",
        "5:",
        "ldr lr, [sp, #20]",
        "cmp lr, #0",
        "beq 7f",
        "6:",
        four!(),
        "subs lr, lr, #1",
        "bne 6b",
        "7:",
        "ldrd r5, r4, [sp, #12]",
        "subs r5, r5, #1",
        "str r5, [sp, #12]",
        "beq 8f",
        "ldr r4, [sp, #24]",
        "ldr r4, [r4, #{gap}]",
        "add r10, r10, r4",
        "add r11, r11, r4",
        "b 3b",
        "8:",
        "ldrd r4, r5, [sp, #4]",
        "stm r4!, {{r0-r3}}",
        "subs r5, r5, #2",
        "strd r4, r5, [sp, #4]",
        "bhi 2b",
        "add sp, sp, #28",
        "pop {{r4-r11, pc}}",
        x = const offset_of!(Sums, x),
        step = const offset_of!(Sums, step),
        gap = const offset_of!(Sums, gap),
        segments = const offset_of!(Sums, segments),
        segment = const offset_of!(Sums, segment),
        weights = const offset_of!(Sums, weights),
        bias = const offset_of!(Sums, bias),
        out = const offset_of!(Sums, out),
        pixels = const offset_of!(Sums, pixels),
    )
}

/// The same function in plain Rust.
///
/// # Safety
/// The fields are correct, and all pointers are multiples of 4.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn conv_i16_2x2c2_dsp(s: &Sums) {
    // Of eight weights, each channel's first two, then each channel's last two.
    // SAFETY: guaranteed by the caller.
    unsafe { s.model::<i16, 2>(|k, n| (k & !3) * 2 + (k & 2) * 2 + n * 2 + (k & 1)) }
}
