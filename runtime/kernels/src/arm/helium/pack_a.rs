//! Copies window rows.

/// Copies `n` bytes, from the first to the last.
///
/// # Safety
/// Both have `n` bytes; where they overlap, `to` is at least 16 bytes below `x`.
#[cfg(target_arch = "arm")]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn copy(x: *const i8, n: usize, to: *mut i8) {
    core::arch::naked_asm!(
        ".arch armv8.1-m.main",
        ".arch_extension mve.fp",
        "push {{r7, lr}}",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r0], #16",
        "vstrb.8 q0, [r2], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// The same function in plain Rust.
///
/// # Safety
/// See the assembly function of this name.
#[cfg(not(target_arch = "arm"))]
pub(super) unsafe fn copy(x: *const i8, n: usize, to: *mut i8) {
    // SAFETY: guaranteed by the caller.
    unsafe { core::ptr::copy(x, to, n) }
}
