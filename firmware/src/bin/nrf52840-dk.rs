//! An nRF52840 DK (Cortex-M4 at 64 MHz), which receives images over the serial line of its debugger.
//!
//! Wiring: the USB cable of the debugger; 921,600 baud (UARTE0 on P0.06 and P0.08). The watchdog resets the
//! chip when the loop hangs; a panic of the HAL resets it at once.
#![no_std]
#![no_main]

use core::pin::pin;
use core::task::{Context, Poll, Waker};

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_nrf::bind_interrupts;
use embassy_nrf::buffered_uarte::{BufferedUarte, BufferedUarteRx, BufferedUarteTx, Error, InterruptHandler};
use embassy_nrf::peripherals::UARTE0;
use embassy_nrf::uarte::{Baudrate, Config};
use embassy_nrf::wdt::{self, Watchdog};
use embedded_io::{ErrorKind, ErrorType, Read, Write};
use embedded_io_async::ReadReady;
use foldnet_firmware::Arena;
use foldnet_firmware::classify::serve;
use foldnet_firmware::diary::Page;
use foldnet_firmware::frame::Line;
use foldnet_firmware::part::Part;
use foldnet_kernels::Dsp;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

static ARENA: Arena<ARENA_BYTES> = Arena::new();
/// Buffers for bytes that are received or sent while the loop is busy.
static WAITING: Arena<512> = Arena::new();
#[unsafe(link_section = ".uninit.diary")]
static PAGE: Page = Page::new();

bind_interrupts!(struct Interrupts {
    UARTE0 => InterruptHandler<UARTE0>;
});

foldnet_firmware::reset_on_panic!();

/// Received bytes, as many as are available. The HAL's reads are asynchronous, but a read of a buffer that has
/// bytes is ready at once.
struct Received(BufferedUarteRx<'static>);

impl ErrorType for Received {
    type Error = ErrorKind;
}

impl Read for Received {
    fn read(&mut self, to: &mut [u8]) -> Result<usize, ErrorKind> {
        let overrun = |_: Error| ErrorKind::Other;
        if !self.0.read_ready().map_err(overrun)? {
            return Ok(0);
        }
        match pin!(self.0.read(to)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => read.map_err(overrun),
            Poll::Pending => Ok(0),
        }
    }
}

/// Bytes to send; waits for room, which a running line always frees.
struct Sent(BufferedUarteTx<'static>);

impl ErrorType for Sent {
    type Error = ErrorKind;
}

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        loop {
            let written = self.0.try_write(bytes).map_err(|_| ErrorKind::Other)?;
            if written > 0 || bytes.is_empty() {
                return Ok(written);
            }
        }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    let p = embassy_nrf::init(Default::default());
    let mut patience = wdt::Config::default();
    // The clock has 32,768 Hz; the time is many times longer than classifying an image takes.
    patience.timeout_ticks = 4 * 32_768;
    let Ok((_, [mut watchdog])) = Watchdog::try_new(p.WDT, patience) else {
        cortex_m::peripheral::SCB::sys_reset()
    };
    let mut board = Part::new(move || watchdog.pet(), &PAGE);

    let mut config = Config::default();
    config.baudrate = Baudrate::Baud921600;
    let Some(waiting) = WAITING.take() else { cortex_m::peripheral::SCB::sys_reset() };
    let (incoming, out) = waiting.split_at_mut(256);
    let uart = BufferedUarte::new(
        p.UARTE0,
        p.TIMER0,
        p.PPI_CH0,
        p.PPI_CH1,
        p.PPI_GROUP0,
        p.P0_08,
        p.P0_06,
        Interrupts,
        config,
        incoming,
        out,
    );
    let (received, sent) = uart.split();
    let (mut source, mut results) = (Line::new(Received(received)), Sent(sent));
    serve("{\"board\":\"nrf52840-dk\"", (&PLAN, &Dsp), &ARENA, &mut source, &mut results, &mut board)
}
