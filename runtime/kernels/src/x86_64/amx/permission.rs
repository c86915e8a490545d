//! Checks whether the CPU has tiles, and asks for permission to use them.
//!
//! Tile registers are large (8 kB to save at a context switch), so Linux gives them only to a process that asks,
//! once, for all its threads. Other systems are not asked: no other system that Foldnet runs on offers them.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Returns whether the CPU has AMX-INT8 and the system saves its registers.
pub(super) fn cpu_has_tiles() -> bool {
    const OSXSAVE: u32 = 1 << 27; // leaf 1, ecx
    const AMX_TILE: u32 = 1 << 24; // leaf 7, edx
    const AMX_INT8: u32 = 1 << 25; // leaf 7, edx
    const TILE_STATE: u64 = 0b11 << 17; // XCR0
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let both = AMX_TILE | AMX_INT8;
    // SAFETY: OSXSAVE means that the instruction exists and is enabled.
    __cpuid_count(7, 0).edx & both == both && unsafe { enabled_state() } & TILE_STATE == TILE_STATE
}

/// # Safety
/// The CPU has XSAVE and the system has enabled it.
#[target_feature(enable = "xsave")]
unsafe fn enabled_state() -> u64 {
    // SAFETY: guaranteed by the caller; register 0 exists.
    unsafe { _xgetbv(0) }
}

/// Asks the system to let this process use tiles; asking again changes nothing.
#[cfg(target_os = "linux")]
pub(super) fn ask() -> bool {
    const SYS_ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: this call reads no memory of ours and changes nothing but the permission.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") SYS_ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Returns `false`: other systems do not offer tiles.
#[cfg(not(target_os = "linux"))]
pub(super) fn ask() -> bool {
    false
}
