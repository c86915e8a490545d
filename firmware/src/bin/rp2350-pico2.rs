//! A Raspberry Pi Pico 2 (RP2350, Cortex-M33).
//!
//! Wiring: a serial adapter on GP0 (transmit) and GP1 (receive), 921,600 baud. Pictures come in there,
//! results go out. The watchdog resets the chip when no turn of the loop ends within a second, so that
//! nothing that hangs stays so; a panic of the HAL resets it at once.
#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use embassy_rp::uart::{Blocking, Config, Error, Uart, UartRx, UartTx};
use embassy_rp::watchdog::Watchdog;
use embassy_time::Duration;
use embedded_hal_nb::serial::Read as _;
use embedded_io::{ErrorType, Read, Write};
use foldnet_firmware::classify::{Board, Counts, refused};
use foldnet_firmware::frame::Line;
use foldnet_firmware::report::Report;
use foldnet_firmware::{Arena, Classifier, classify};
use foldnet_kernels::Dsp;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

static ARENA: Arena<ARENA_BYTES> = Arena::new();

const BAUD: u32 = 921_600;
/// Longer than a picture takes to classify, many times.
const PATIENCE: Duration = Duration::from_millis(1_000);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// Received bytes, as many as are there.
struct Received(UartRx<'static, Blocking>);

impl ErrorType for Received {
    type Error = Infallible;
}

impl Read for Received {
    fn read(&mut self, to: &mut [u8]) -> Result<usize, Infallible> {
        let mut n = 0;
        while let Some(place) = to.get_mut(n) {
            match self.0.read() {
                Ok(byte) => *place = byte,
                // A byte was lost: the frame's checksum will tell.
                Err(embedded_hal_nb::nb::Error::Other(_)) => *place = 0xff,
                Err(embedded_hal_nb::nb::Error::WouldBlock) => break,
            }
            n += 1;
        }
        Ok(n)
    }
}

/// Bytes to send.
struct Sent(UartTx<'static, Blocking>);

impl ErrorType for Sent {
    type Error = Error;
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.blocking_write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.0.blocking_flush()
    }
}

struct Pico {
    watchdog: Watchdog,
}

impl Board for Pico {
    fn now(&mut self) -> u32 {
        SYST::get_current()
    }

    fn since(&mut self, start: u32) -> u32 {
        start.wrapping_sub(SYST::get_current()) & 0x00ff_ffff
    }

    fn alive(&mut self) {
        self.watchdog.feed(PATIENCE);
    }
}

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(Default::default());
    let mut config = Config::default();
    config.baudrate = BAUD;
    let (tx, rx) = Uart::new_blocking(p.UART0, p.PIN_0, p.PIN_1, config).split();
    let (mut results, mut source) = (Sent(tx), Line::new(Received(rx)));
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    watchdog.start(PATIENCE);

    // SAFETY: nothing else here uses SysTick.
    let mut clock = unsafe { cortex_m::Peripherals::steal() }.SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(0x00ff_ffff);
    clock.clear_current();
    clock.enable_counter();

    let mut board = Pico { watchdog };
    let mut counts = Counts::default();
    let Some(memory) = ARENA.take() else { cortex_m::peripheral::SCB::sys_reset() };
    match Classifier::new(&PLAN.0, &Dsp, memory) {
        Ok(mut classifier) => {
            Report::new(&mut results).text("{\"board\":\"rp2350-pico2\"}").line();
            loop {
                classify(&mut classifier, &mut source, &mut results, &mut board, &mut counts);
            }
        }
        // Said again after every reset by the watchdog.
        Err(error) => {
            Report::new(&mut results).text("{\"error\":\"").text(refused(error)).text("\"}").line();
            loop {
                cortex_m::asm::wfi();
            }
        }
    }
}
