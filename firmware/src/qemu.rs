//! The boards that QEMU emulates: their UART, and the unit of their counter.
//!
//! Under `-icount shift=0,sleep=off`, an instruction takes one nanosecond of the emulated time in which SysTick
//! counts. Ticks are therefore proportional to instructions: 40 per tick at the MPS2 boards' 25 MHz, 31.25 at the
//! MPS3 board's 32 MHz. [`Qemu::new`] checks this with a loop of known length.

use core::convert::Infallible;
use core::ptr::{read_volatile, write_volatile};

use cortex_m::peripheral::{SYST, syst::SystClkSource};
use embedded_io::{ErrorType, Read, Write};

use foldnet_kernels::KernelSet;

use crate::arena::Arena;
use crate::classify::{Board, serve};
use crate::frame::Line;
use crate::report::Report;

#[cfg(feature = "qemu-mps3-an547")]
const UART: usize = 0x5930_3000;
#[cfg(not(feature = "qemu-mps3-an547"))]
const UART: usize = 0x4000_4000;

/// The vectors after the processor's own: no program here enables an interrupt, so there is one, unused.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [usize; 1] = [0];

/// Runs a board's whole program: writes a first line that starts with `greeting`, then answers images from the
/// first UART.
#[inline(always)]
pub fn run<const N: usize>(
    greeting: &str,
    plan: &'static [u8],
    set: &'static dyn KernelSet,
    arena: &'static Arena<N>,
) -> ! {
    let mut uart = Uart::new();
    // SAFETY: programs have one board, and nothing else in them uses SysTick.
    let core = unsafe { cortex_m::Peripherals::steal() };
    let mut board = Qemu::new(core.SYST);
    serve(greeting, (plan, set), arena, &mut Line::new(uart), &mut uart, &mut board)
}

/// Arm's CMSDK UART.
#[derive(Clone, Copy)]
pub struct Uart(());

impl Uart {
    /// Enables the UART.
    pub fn new() -> Self {
        // SAFETY: the registers of the board's first UART, which nothing else accesses.
        unsafe {
            write_volatile((UART + 0x10) as *mut u32, 16);
            write_volatile((UART + 0x08) as *mut u32, 3);
        }
        Self(())
    }

    fn state(self) -> u32 {
        // SAFETY: as above.
        unsafe { read_volatile((UART + 0x04) as *const u32) }
    }
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    /// Returns the available bytes at once; no bytes are not the end.
    fn read(&mut self, to: &mut [u8]) -> Result<usize, Infallible> {
        let mut n = 0;
        for byte in to {
            if self.state() & 2 == 0 {
                break;
            }
            // SAFETY: as above.
            *byte = unsafe { read_volatile(UART as *const u32) } as u8;
            n += 1;
        }
        Ok(n)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            while self.state() & 1 != 0 {}
            // SAFETY: as above.
            unsafe { write_volatile(UART as *mut u32, byte.into()) };
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Arm's CMSDK watchdog of the MPS2 boards. When its time has passed, it raises the non-maskable interrupt, whose
/// handler here only waits; after the same time again, it resets.
#[cfg(not(feature = "qemu-mps3-an547"))]
pub struct Watchdog(());

#[cfg(not(feature = "qemu-mps3-an547"))]
impl Watchdog {
    const AT: usize = 0x4000_8000;
    /// A quarter of a second at 25 MHz.
    const PATIENCE: u32 = 6_250_000;

    /// Starts the watchdog.
    pub fn start() -> Self {
        // SAFETY: the registers of the board's watchdog, which nothing else accesses: unlock, time, start.
        unsafe {
            write_volatile((Self::AT + 0xc00) as *mut u32, 0x1acc_e551);
            write_volatile(Self::AT as *mut u32, Self::PATIENCE);
            write_volatile((Self::AT + 0x08) as *mut u32, 3);
        }
        Self(())
    }

    /// Feeds the watchdog.
    pub fn feed(&mut self) {
        // SAFETY: as above; clearing the interrupt reloads the time.
        unsafe { write_volatile((Self::AT + 0x0c) as *mut u32, 1) };
    }
}

/// An emulated board.
pub struct Qemu {
    clock: SYST,
    /// The ticks of a loop of 4,000,000 instructions.
    loop_ticks: u32,
}

const PAINT: u32 = 0x5a5a_a5a5;

unsafe extern "C" {
    static mut __sheap: u32;
    static _stack_start: u32;
}

impl Qemu {
    /// Starts the clock, measures it, and paints the free stack.
    pub fn new(mut clock: SYST) -> Self {
        clock.set_clock_source(SystClkSource::Core);
        clock.set_reload(0x00ff_ffff);
        clock.clear_current();
        clock.enable_counter();
        let mut board = Self { clock, loop_ticks: 0 };
        let start = board.now();
        // SAFETY: only counts a register down.
        unsafe {
            core::arch::asm!("2: subs {n}, {n}, #1", "bne 2b", n = inout(reg) 2_000_000 => _);
        }
        board.loop_ticks = board.since(start);
        paint();
        board
    }
}

/// Fills the memory into which the stack may grow, except for the part in use.
#[inline(never)]
fn paint() {
    let here = 0u32;
    let end = (&raw const here).addr() - 256;
    let mut at = (&raw mut __sheap).addr();
    while at < end {
        // SAFETY: above the statics, and 256 bytes below this function's own variable.
        unsafe { write_volatile(at as *mut u32, PAINT) };
        at += 4;
    }
}

/// Returns the largest size of the stack so far in bytes.
fn stack_used() -> u32 {
    let (mut at, end) = ((&raw mut __sheap).addr(), (&raw const _stack_start).addr());
    // SAFETY: the stack's memory.
    while at < end && unsafe { read_volatile(at as *const u32) } == PAINT {
        at += 4;
    }
    (end - at) as u32
}

impl Board for Qemu {
    fn now(&mut self) -> u32 {
        SYST::get_current()
    }

    fn since(&mut self, start: u32) -> u32 {
        start.wrapping_sub(SYST::get_current()) & 0x00ff_ffff
    }

    fn alive(&mut self) {
        let _ = &self.clock;
    }

    fn remark<W: Write>(&mut self, line: &mut Report<'_, W>) {
        line.text(",\"loop_ticks\":").number(self.loop_ticks).text(",\"stack\":").number(stack_used());
    }
}
