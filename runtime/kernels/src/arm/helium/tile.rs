//! `conv_i8_2x4c16_helium`: the register tile, two pixels × four channels.

use crate::arm::common::tile::Sums;

/// Computes the `[pixel][channel]` sums of a row, see [`Sums`]; the number of pixels is even.
///
/// ```text
/// for each two pixels:                        r1, r3: their first elements; r5: weights
///     r0, r4, r8, r12 and r2, r6, r10, lr = bias
///     for each segment:
///         for each sixteen elements:          load both pixels, 4 × (load weights, 2 vmladava)
///         skip the gap
///     store the sums, four at a time
/// ```
/// The loop over groups of sixteen is unrolled three times: a 3×3 kernel's segments are three pixels, which are a
/// multiple of 48 elements if the channels are a multiple of 16.
///
/// # Safety
/// The fields are correct, and `bias` and `out` are multiples of 4.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn conv_i8_2x4c16_helium(sums: *const Sums) {
    use core::mem::offset_of;
    macro_rules! sixteen {
        () => {
            "vldrb.u8 q0, [r1], #16
             vldrb.u8 q1, [r3], #16
             vldrb.u8 q2, [r5], #16
             vmladava.s8 r0, q0, q2
             vmladava.s8 r2, q1, q2
             vldrb.u8 q3, [r5], #16
             vmladava.s8 r4, q0, q3
             vmladava.s8 r6, q1, q3
             vldrb.u8 q2, [r5], #16
             vmladava.s8 r8, q0, q2
             vmladava.s8 r10, q1, q2
             vldrb.u8 q3, [r5], #16
             vmladava.s8 r12, q0, q3
             vmladava.s8 lr, q1, q3"
        };
    }
    // On the stack: x of the next pixels, out, pixels left, the argument. r9 counts segments.
    core::arch::naked_asm!(
        ".arch armv8.1-m.main",
        ".arch_extension mve.fp",
        "push {{r4-r11, lr}}",
        "sub sp, sp, #28",
        "str r0, [sp, #12]",
        // Threes of sixteens, and sixteens, of a segment.
        "ldr r4, [r0, #{segment}]",
        "lsr r4, r4, #4",
        "mov r5, #3",
        "udiv r6, r4, r5",
        "mls r7, r6, r5, r4",
        "strd r6, r7, [sp, #16]",
        "ldr r4, [r0, #{x}]",
        "ldr r5, [r0, #{out}]",
        "ldr r6, [r0, #{pixels}]",
        "strd r4, r5, [sp]",
        "str r6, [sp, #8]",
        "2:",
        "ldr r11, [sp, #12]",
        "ldr r1, [sp]",
        "ldr r7, [r11, #{step}]",
        "add r3, r1, r7",
        "add r7, r3, r7",
        "str r7, [sp]",
        "ldr r5, [r11, #{weights}]",
        "ldr r9, [r11, #{bias}]",
        "ldrd r0, r4, [r9]",
        "ldrd r8, r12, [r9, #8]",
        "mov r2, r0",
        "mov r6, r4",
        "mov r10, r8",
        "mov lr, r12",
        "ldr r9, [r11, #{segments}]",
        "3:",
        "ldrd r7, r11, [sp, #16]",
        "cmp r7, #0",
        "beq 5f",
        "4:",
        sixteen!(),
        sixteen!(),
        sixteen!(),
        "subs r7, r7, #1",
        "bne 4b",
        "5:",
        "cmp r11, #0",
        "beq 7f",
        "6:",
        sixteen!(),
        "subs r11, r11, #1",
        "bne 6b",
        "7:",
        "subs r9, r9, #1",
        "beq 8f",
        "ldr r11, [sp, #12]",
        "ldr r11, [r11, #{gap}]",
        "add r1, r1, r11",
        "add r3, r3, r11",
        "b 3b",
        "8:",
        "ldrd r7, r9, [sp, #4]",
        "stm r7!, {{r0, r4, r8, r12}}",
        "stm r7!, {{r2, r6, r10, lr}}",
        "subs r9, r9, #2",
        "strd r7, r9, [sp, #4]",
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
/// The fields are correct.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn conv_i8_2x4c16_helium(s: &Sums) {
    // Of 64 weights, each channel's sixteen.
    // SAFETY: guaranteed by the caller.
    unsafe { s.model::<i8, 4>(|k, n| (k & !15) * 4 + n * 16 + (k & 15)) }
}
