//! A Raspberry Pi Pico 2 (RP2350, Cortex-M33), which receives images over a serial line.
//!
//! Wiring: a serial adapter on GP0 (transmit) and GP1 (receive), 921,600 baud, for images and results. The
//! watchdog resets the chip when the loop hangs; a panic of the HAL resets it at once.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_rp::bind_interrupts;
use embassy_rp::peripherals::UART0;
use embassy_rp::uart::BufferedInterruptHandler;
use foldnet_firmware::Arena;
use foldnet_firmware::classify::serve;
use foldnet_firmware::diary::Page;
use foldnet_firmware::frame::Line;
use foldnet_firmware::part::Part;
use foldnet_firmware::pico2::{serial, watchdog};
use foldnet_kernels::Dsp;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

static ARENA: Arena<ARENA_BYTES> = Arena::new();
#[unsafe(link_section = ".uninit.diary")]
static PAGE: Page = Page::new();

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
});

foldnet_firmware::reset_on_panic!();

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(Default::default());
    let (mut results, received) = serial(p.UART0, p.PIN_0, p.PIN_1, Interrupts);
    let mut board = Part::new(watchdog(p.WATCHDOG), &PAGE);
    serve(
        "{\"board\":\"rp2350-pico2\"",
        (&PLAN, &Dsp),
        &ARENA,
        &mut Line::new(received),
        &mut results,
        &mut board,
    )
}
