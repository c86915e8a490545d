//! An STM32F746G-DISCO (Cortex-M7 at 216 MHz), which receives images over the serial line of its ST-LINK.
//!
//! Wiring: the USB cable of the ST-LINK; 921,600 baud (USART1 on PA9 and PB7). The watchdog resets the chip
//! when the loop hangs; a panic of the HAL resets it at once.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_stm32::bind_interrupts;
use embassy_stm32::peripherals::USART1;
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hse, HseMode, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk,
};
use embassy_stm32::time::Hertz;
use embassy_stm32::usart::{BufferedInterruptHandler, BufferedUart, Config};
use embassy_stm32::wdg::IndependentWatchdog;
use foldnet_firmware::Arena;
use foldnet_firmware::classify::serve;
use foldnet_firmware::diary::Page;
use foldnet_firmware::frame::Line;
use foldnet_firmware::part::Part;
use foldnet_firmware::serial::Received;
use foldnet_kernels::Dsp;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

const BAUD: u32 = 921_600;
/// The watchdog's time in microseconds, many times longer than classifying an image takes.
const PATIENCE: u32 = 2_000_000;

static ARENA: Arena<ARENA_BYTES> = Arena::new();
/// Buffers for bytes that are received or sent while the loop is busy.
static WAITING: Arena<512> = Arena::new();
#[unsafe(link_section = ".uninit.diary")]
static PAGE: Page = Page::new();

bind_interrupts!(struct Interrupts {
    USART1 => BufferedInterruptHandler<USART1>;
});

foldnet_firmware::reset_on_panic!();

/// Generates 216 MHz from the board's 25 MHz; the buses run at their limits of 54 and 108.
fn clocks() -> embassy_stm32::Config {
    let mut config = embassy_stm32::Config::default();
    config.rcc.hse = Some(Hse { freq: Hertz(25_000_000), mode: HseMode::Bypass });
    config.rcc.pll_src = PllSource::HSE;
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV25,
        mul: PllMul::MUL432,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.sys = Sysclk::PLL1_P;
    config.rcc.ahb_pre = AHBPrescaler::DIV1;
    config.rcc.apb1_pre = APBPrescaler::DIV4;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config
}

#[entry]
fn main() -> ! {
    let p = embassy_stm32::init(clocks());
    let mut watchdog = IndependentWatchdog::new(p.IWDG, PATIENCE);
    watchdog.unleash();
    // SAFETY: no other code uses the caches.
    let mut core = unsafe { cortex_m::Peripherals::steal() };
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
    let mut board = Part::new(move || watchdog.pet(), &PAGE);

    let mut config = Config::default();
    config.baudrate = BAUD;
    let Some(waiting) = WAITING.take() else { cortex_m::peripheral::SCB::sys_reset() };
    let (out, incoming) = waiting.split_at_mut(256);
    let uart = BufferedUart::new(p.USART1, p.PB7, p.PA9, out, incoming, Interrupts, config);
    let Ok(uart) = uart else { cortex_m::peripheral::SCB::sys_reset() };
    let (mut results, received) = uart.split();
    let mut source = Line::new(Received(received));
    serve("{\"board\":\"stm32f746g-disco\"", (&PLAN, &Dsp), &ARENA, &mut source, &mut results, &mut board)
}
