//! `vpmaddwd` and `vpaddd` on registers alone.

use core::arch::asm;

/// Issues 16 `vpmaddwd`, each with its `vpaddd`, `times` times.
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dot_products(times: usize) {
    macro_rules! step {
        ($acc:literal, $product:literal) => {
            concat!(
                "vpmaddwd ",
                $product,
                ", ymm14, ymm15\n",
                "vpaddd ",
                $acc,
                ", ",
                $acc,
                ", ",
                $product,
                "\n",
            )
        };
    }
    // SAFETY: registers only, all declared.
    unsafe {
        asm!(
            "2:",
            step!("ymm0", "ymm8"), step!("ymm1", "ymm9"), step!("ymm2", "ymm10"), step!("ymm3", "ymm11"),
            step!("ymm4", "ymm12"), step!("ymm5", "ymm13"), step!("ymm6", "ymm8"), step!("ymm7", "ymm9"),
            step!("ymm0", "ymm10"), step!("ymm1", "ymm11"), step!("ymm2", "ymm12"), step!("ymm3", "ymm13"),
            step!("ymm4", "ymm8"), step!("ymm5", "ymm9"), step!("ymm6", "ymm10"), step!("ymm7", "ymm11"),
            "dec {n}",
            "jnz 2b",
            n = inout(reg) times.max(1) => _,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
            out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nomem, nostack),
        );
    }
}
