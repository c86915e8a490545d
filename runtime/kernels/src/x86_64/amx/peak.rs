//! `tdpbusd` on registers alone.

use core::arch::asm;

use super::tile::Tiles;

/// Issues 16 `tdpbusd` of four independent sums `times` times.
///
/// # Safety
/// The CPU has AMX-INT8 and the process may use it.
pub(super) unsafe fn products(times: usize) {
    // SAFETY: guaranteed by the caller; registers only, all declared.
    unsafe {
        let _tiles = Tiles::configure(16, 16);
        asm!(
            "2:",
            ".rept 4",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            ".endr",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) times.max(1) => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nomem, nostack),
        );
    }
}
