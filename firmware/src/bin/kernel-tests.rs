//! Runs the kernels' shared tests on the processor's own set and reports the result by semihosting.
//!
//! Board: any board that QEMU emulates, chosen by feature.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};
use cortex_m_semihosting::hprintln;
use embedded_alloc::LlffHeap as Heap;
use foldnet_kernels::{KernelSet, testing};

use foldnet_firmware as _;

#[global_allocator]
static HEAP: Heap = Heap::empty();
// The board's outer memory, which the linker's map does not use.
#[cfg(feature = "qemu-mps2-an386")]
const HEAP_AT: usize = 0x2100_0000;
#[cfg(feature = "qemu-mps2-an500")]
const HEAP_AT: usize = 0x6000_0000;
#[cfg(feature = "qemu-mps3-an547")]
const HEAP_AT: usize = 0x7000_0000;
const HEAP_BYTES: usize = 16 << 20;

#[cfg(any(feature = "qemu-mps2-an386", feature = "qemu-mps2-an500"))]
static SET: &dyn KernelSet = &foldnet_kernels::Dsp;
#[cfg(feature = "qemu-mps3-an547")]
static SET: &dyn KernelSet = &foldnet_kernels::Helium;

#[entry]
fn main() -> ! {
    // SAFETY: called once, before the first allocation, with memory that nothing else uses.
    unsafe { HEAP.init(HEAP_AT, HEAP_BYTES) };
    for (name, check) in testing::ALL {
        check(SET);
        hprintln!("{}::{} ok", SET.name(), name);
    }
    hprintln!("{} passed, 0 failed", testing::ALL.len());
    exit(EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("FAILED {}", info);
    exit(EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
