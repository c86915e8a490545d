//! Window rows: converts bytes to halfwords.

#[cfg(target_arch = "arm")]
pub(super) use assembly::*;
#[cfg(not(target_arch = "arm"))]
pub(super) use model::*;

#[cfg(target_arch = "arm")]
mod assembly {
    use core::arch::naked_asm;

    /// Copies `4·quads` bytes as halfwords `x − x_zero`, each four in the order 0 2 1 3.
    ///
    /// # Safety
    /// `x` has these bytes, and `to` has room for the halfwords; both are multiples of 4.
    #[unsafe(naked)]
    pub unsafe extern "C" fn widen(x: *const i8, quads: usize, x_zero: i32, to: *mut i16) {
        naked_asm!(
            ".arch armv7e-m",
            "push {{r4-r7}}",
            "rsb r2, r2, #0",
            "pkhbt r2, r2, r2, lsl #16",
            "subs r1, r1, #2",
            "blo 3f",
            "2:",
            "ldrd r5, r7, [r0], #8",
            "sxtab16 r4, r2, r5",
            "sxtab16 r5, r2, r5, ror #8",
            "sxtab16 r6, r2, r7",
            "sxtab16 r7, r2, r7, ror #8",
            "stm r3!, {{r4-r7}}",
            "subs r1, r1, #2",
            "bhs 2b",
            "3:",
            "adds r1, r1, #2",
            "beq 4f",
            "ldr r5, [r0]",
            "sxtab16 r4, r2, r5",
            "sxtab16 r5, r2, r5, ror #8",
            "stm r3!, {{r4-r5}}",
            "4:",
            "pop {{r4-r7}}",
            "bx lr",
        )
    }

    /// Moves pairs of words to lower addresses.
    ///
    /// # Safety
    /// Both have `8·pairs` bytes and are multiples of 4; `to` is below `from`.
    #[unsafe(naked)]
    pub unsafe extern "C" fn shift(to: *mut u64, from: *const u64, pairs: usize) {
        naked_asm!(
            ".arch armv7e-m",
            "2:",
            "subs r2, r2, #1",
            "it lo",
            "bxlo lr",
            "ldrd r3, r12, [r1], #8",
            "strd r3, r12, [r0], #8",
            "b 2b",
        )
    }
}

/// The same functions in plain Rust.
#[cfg(not(target_arch = "arm"))]
mod model {
    use super::super::PLACE;

    /// See the assembly function of this name.
    pub unsafe fn widen(x: *const i8, quads: usize, x_zero: i32, to: *mut i16) {
        for i in 0..4 * quads {
            // SAFETY: guaranteed by the caller.
            unsafe { *to.add((i & !3) + PLACE[i & 3]) = (i32::from(*x.add(i)) - x_zero) as i16 };
        }
    }

    /// See the assembly function of this name.
    pub unsafe fn shift(to: *mut u64, from: *const u64, pairs: usize) {
        // SAFETY: guaranteed by the caller.
        unsafe { core::ptr::copy(from, to, pairs) }
    }
}
