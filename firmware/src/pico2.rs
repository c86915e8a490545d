//! The parts that the programs for a Raspberry Pi Pico 2 share: the serial line and the watchdog.

use embassy_rp::interrupt::typelevel::Binding;
use embassy_rp::peripherals::{PIN_0, PIN_1, UART0, WATCHDOG};
use embassy_rp::uart::{BufferedInterruptHandler, BufferedUart, BufferedUartRx, BufferedUartTx, Config};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{Peri, interrupt};
use embassy_time::Duration;

use crate::arena::Arena;
use crate::serial::Received;

const BAUD: u32 = 921_600;
/// The watchdog's time, several times longer than starting a camera or classifying an image takes.
const PATIENCE: Duration = Duration::from_millis(4_000);

/// Buffers for bytes that are received or sent while the loop is busy.
static WAITING: Arena<512> = Arena::new();

/// Returns the serial line on GP0 and GP1, 921,600 baud.
pub fn serial(
    uart: Peri<'static, UART0>,
    tx: Peri<'static, PIN_0>,
    rx: Peri<'static, PIN_1>,
    interrupts: impl Binding<interrupt::typelevel::UART0_IRQ, BufferedInterruptHandler<UART0>>,
) -> (BufferedUartTx, Received<BufferedUartRx>) {
    let mut config = Config::default();
    config.baudrate = BAUD;
    let Some(waiting) = WAITING.take() else { cortex_m::peripheral::SCB::sys_reset() };
    let (out, incoming) = waiting.split_at_mut(256);
    let (tx, rx) = BufferedUart::new(uart, tx, rx, interrupts, out, incoming, config).split();
    (tx, Received(rx))
}

/// Starts the watchdog; returns the function that feeds it.
pub fn watchdog(watchdog: Peri<'static, WATCHDOG>) -> impl FnMut() {
    let mut watchdog = Watchdog::new(watchdog);
    watchdog.start(PATIENCE);
    move || watchdog.feed(PATIENCE)
}
