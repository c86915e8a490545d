//! Detects whether the core that runs a thread issues its instructions in order.
//!
//! The answer only chooses between kernels with the same layout and the same bits, so a wrong one costs nothing
//! but time. It comes from the core's identification register, MIDR_EL1. Linux publishes each core's value in
//! `/sys`, and emulates reading the register itself if HWCAP_CPUID is set
//! (Documentation/arch/arm64/cpu-feature-registers.rst). That trap is used only if cores differ (big.LITTLE), as a
//! thread may move from one kind to the other.

/// Cores with `sdot` that issue in order: implementer and part number.
const IN_ORDER: [(u64, u64); 5] = [
    (0x41, 0xd05), // Cortex-A55
    (0x41, 0xd46), // Cortex-A510
    (0x41, 0xd80), // Cortex-A520
    (0x51, 0x803), // Qualcomm Kryo 385 silver, an A55
    (0x51, 0x805), // Qualcomm Kryo 485 silver, an A55
];

/// Returns whether a core with this MIDR_EL1 issues in order.
fn is_in_order(midr: u64) -> bool {
    IN_ORDER.contains(&(midr >> 24 & 0xff, midr >> 4 & 0xfff))
}

/// The kinds of the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cores {
    /// All cores issue in order, or all out of order.
    Alike(bool),
    /// Some cores issue in order; the register identifies a thread's core.
    Mixed,
}

impl Cores {
    /// Decides from the cores' registers, and from whether a program may read its own core's.
    fn new(midrs: &[u64], readable: bool, own: impl Fn() -> u64) -> Self {
        match midrs {
            [] => Self::Alike(readable && is_in_order(own())),
            [first, rest @ ..] => {
                let first = is_in_order(*first);
                let alike = rest.iter().all(|&midr| is_in_order(midr) == first);
                // If the kind is unknown, use the code that loses least on the other kind.
                if alike {
                    Self::Alike(first)
                } else if readable {
                    Self::Mixed
                } else {
                    Self::Alike(false)
                }
            }
        }
    }
}

/// Returns whether this thread's core issues in order, now.
#[cfg(all(feature = "std", target_os = "linux"))]
pub(crate) fn in_order() -> bool {
    use std::sync::OnceLock;

    static CORES: OnceLock<Cores> = OnceLock::new();
    match CORES.get_or_init(|| Cores::new(&linux::midrs(), linux::is_readable(), linux::own)) {
        Cores::Alike(in_order) => *in_order,
        Cores::Mixed => is_in_order(linux::own()),
    }
}

/// Returns no answer: other systems do not let programs read the register.
#[cfg(not(all(feature = "std", target_os = "linux")))]
pub(crate) fn in_order() -> bool {
    false
}

#[cfg(all(feature = "std", target_os = "linux"))]
mod linux {
    use std::vec::Vec;

    /// Returns each core's register, as far as the system publishes them.
    pub(super) fn midrs() -> Vec<u64> {
        let file = |cpu: usize| std::format!("/sys/devices/system/cpu/cpu{cpu}/regs/identification/midr_el1");
        let read = |cpu| {
            let text = std::fs::read_to_string(file(cpu)).ok()?;
            u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
        };
        (0..).map_while(read).collect()
    }

    /// Returns whether the system lets programs read MIDR_EL1: HWCAP_CPUID.
    pub(super) fn is_readable() -> bool {
        const AT_HWCAP: u64 = 16;
        const CPUID: u64 = 1 << 11;
        let Ok(bytes) = std::fs::read("/proc/self/auxv") else { return false };
        let word = |at: &[u8]| at.try_into().map(u64::from_le_bytes).unwrap_or_default();
        bytes.chunks_exact(16).any(|pair| word(&pair[..8]) == AT_HWCAP && word(&pair[8..]) & CPUID != 0)
    }

    /// Returns the register of the core that runs this thread; call it only if [`is_readable`].
    pub(super) fn own() -> u64 {
        let midr: u64;
        // SAFETY: reading it has no effect, and the system lets programs do so.
        unsafe { core::arch::asm!("mrs {}, midr_el1", out(reg) midr, options(nomem, nostack)) };
        midr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A55: u64 = 0x412f_d050;
    const A76: u64 = 0x414f_d0b1;

    #[test]
    fn cores_are_told_apart() {
        let never = || unreachable!("the register is not readable");
        assert_eq!(Cores::new(&[A55; 4], false, never), Cores::Alike(true));
        assert_eq!(Cores::new(&[A76; 4], false, never), Cores::Alike(false));
        assert_eq!(Cores::new(&[A55, A55, A76, A76], true, never), Cores::Mixed);
        assert_eq!(Cores::new(&[A55, A76], false, never), Cores::Alike(false));
        assert_eq!(Cores::new(&[], true, || A55), Cores::Alike(true));
        assert_eq!(Cores::new(&[], false, never), Cores::Alike(false));
    }
}
