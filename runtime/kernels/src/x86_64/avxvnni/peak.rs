//! `vpdpbusd` on registers alone, in AVX-VNNI's encoding.

use core::arch::asm;

/// Issues 16 sufficiently independent `vpdpbusd` `times` times.
///
/// # Safety
/// The CPU has AVX-VNNI.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dot_products(times: usize) {
    // SAFETY: registers only, all declared.
    unsafe {
        asm!(
            "2:",
            ".rept 2",
            "{{vex}} vpdpbusd ymm0, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm1, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm2, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm3, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm4, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm5, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm6, ymm14, ymm15",
            "{{vex}} vpdpbusd ymm7, ymm14, ymm15",
            ".endr",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) times.max(1) => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            options(nomem, nostack),
        );
    }
}
