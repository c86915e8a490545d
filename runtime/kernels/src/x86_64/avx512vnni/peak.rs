//! `vpdpbusd` on registers alone.

use core::arch::asm;

/// Issues 16 independent `vpdpbusd` `times` times.
///
/// # Safety
/// The CPU has the features.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn dot_products(times: usize) {
    // SAFETY: registers only, all declared.
    unsafe {
        asm!(
            "2:",
            "vpdpbusd zmm0, zmm16, zmm17",
            "vpdpbusd zmm1, zmm16, zmm17",
            "vpdpbusd zmm2, zmm16, zmm17",
            "vpdpbusd zmm3, zmm16, zmm17",
            "vpdpbusd zmm4, zmm16, zmm17",
            "vpdpbusd zmm5, zmm16, zmm17",
            "vpdpbusd zmm6, zmm16, zmm17",
            "vpdpbusd zmm7, zmm16, zmm17",
            "vpdpbusd zmm8, zmm16, zmm17",
            "vpdpbusd zmm9, zmm16, zmm17",
            "vpdpbusd zmm10, zmm16, zmm17",
            "vpdpbusd zmm11, zmm16, zmm17",
            "vpdpbusd zmm12, zmm16, zmm17",
            "vpdpbusd zmm13, zmm16, zmm17",
            "vpdpbusd zmm14, zmm16, zmm17",
            "vpdpbusd zmm15, zmm16, zmm17",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) times.max(1) => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
            out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
            out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
            options(nomem, nostack),
        );
    }
}
