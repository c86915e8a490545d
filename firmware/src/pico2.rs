//! What the programs for a Raspberry Pi Pico 2 share: the serial line, the watchdog, the counter.

use embassy_rp::interrupt::typelevel::Binding;
use embassy_rp::peripherals::{PIN_0, PIN_1, UART0, WATCHDOG};
use embassy_rp::uart::{BufferedInterruptHandler, BufferedUart, BufferedUartRx, BufferedUartTx, Config};
use embassy_rp::watchdog::Watchdog;
use embassy_rp::{Peri, interrupt};
use embassy_time::Duration;
use embedded_io::Write;

use crate::arena::Arena;
use crate::classify::{Board, Doing};
use crate::cycles::Cycles;
use crate::diary::{Diary, Page, Past};
use crate::report::Report;
use crate::serial::Received;

const BAUD: u32 = 921_600;
/// Longer than starting a camera or classifying a picture takes, several times.
const PATIENCE: Duration = Duration::from_millis(4_000);

/// Bytes that may come and go while the loop is busy.
static WAITING: Arena<512> = Arena::new();

/// The serial line on GP0 and GP1, 921,600 baud.
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

/// The board.
pub struct Pico {
    watchdog: Watchdog,
    /// The cycle counter.
    pub cycles: Cycles,
    diary: Diary,
    past: Option<Past>,
}

impl Pico {
    /// Starts watchdog and counter. A reset by the watchdog is told in the first line.
    pub fn new(watchdog: Peri<'static, WATCHDOG>, page: &'static Page) -> Self {
        let mut watchdog = Watchdog::new(watchdog);
        let (diary, past) = Diary::open(page);
        let past = past.filter(|_| watchdog.reset_reason().is_some());
        watchdog.start(PATIENCE);
        // SAFETY: nothing else here uses the counter.
        let core = unsafe { cortex_m::Peripherals::steal() };
        Self { watchdog, cycles: Cycles::start(core.DCB, core.DWT), diary, past }
    }
}

impl Board for Pico {
    fn now(&mut self) -> u32 {
        self.cycles.now()
    }

    fn since(&mut self, start: u32) -> u32 {
        self.cycles.since(start)
    }

    fn alive(&mut self) {
        self.watchdog.feed(PATIENCE);
    }

    fn greet<W: Write>(&mut self, line: &mut Report<'_, W>) {
        if let Some(past) = self.past {
            past.tell(line);
        }
    }

    fn doing(&mut self, what: Doing) {
        self.diary.note(what);
    }
}
