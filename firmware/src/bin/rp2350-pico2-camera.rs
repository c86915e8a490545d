//! A Raspberry Pi Pico 2 with an ArduCAM Mini OV2640 and an SSD1306: the label of the camera's image is shown on
//! the display and sent over the serial line.
//!
//! Wiring: see README.md in this folder. Camera: SPI on GP16 (MISO), GP17 (CS), GP18 (SCK), GP19 (MOSI), I2C on
//! GP4 (SDA), GP5 (SCL). Display: I2C on GP6 (SDA), GP7 (SCL), a separate bus, so that neither can hang the other.
//! Serial line: GP0 (transmit), 921,600 baud. The watchdog resets the chip when anything hangs.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
#[cfg(feature = "defmt")]
use defmt_rtt as _;
use embassy_rp::bind_interrupts;
use embassy_rp::gpio::{Level, Output};
use embassy_rp::i2c::I2c;
use embassy_rp::peripherals::UART0;
use embassy_rp::spi::Spi;
use embassy_rp::uart::BufferedInterruptHandler;
use embassy_time::Delay;
use embedded_hal::i2c::I2c as I2cBus;
use embedded_hal_bus::spi::ExclusiveDevice;
use embedded_io::Write;
use foldnet_firmware::Arena;
use foldnet_firmware::camera::arducam::ArduCam;
use foldnet_firmware::camera::ov2640::Size;
use foldnet_firmware::camera::{Camera, PixelFormat, Resizer, Weights, taps};
use foldnet_firmware::classify::{Board, Doing, best, serve};
use foldnet_firmware::diary::Page;
use foldnet_firmware::display::Screen;
use foldnet_firmware::part::Part;
use foldnet_firmware::pico2::{serial, watchdog};
use foldnet_firmware::report::Report;
use foldnet_kernels::Dsp;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

/// The size of the camera's images.
const SIZE: Size = Size::QQVGA;
/// Whether the module is a Mini 2MP from before the Plus, which sends a dummy byte before each burst.
const DUMMY: bool = false;

const CAMERA: (usize, usize) = SIZE.pixels();
const ROW: usize = CAMERA.0 * PixelFormat::Yuyv.bytes();
const NARROW: usize = Resizer::bytes(PICTURE.0, CAMERA.1, PICTURE.1);
static ACROSS: Weights<{ PICTURE.0 }, { taps(CAMERA.0, PICTURE.0) }> = Weights::stretch(CAMERA.0);
static DOWN: Weights<{ PICTURE.1 }, { taps(CAMERA.1, PICTURE.1) }> = Weights::stretch(CAMERA.1);

static ARENA: Arena<ARENA_BYTES> = Arena::new();
static ROWS: Arena<{ ROW + NARROW }> = Arena::new();
#[unsafe(link_section = ".uninit.diary")]
static PAGE: Page = Page::new();

bind_interrupts!(struct Interrupts {
    UART0_IRQ => BufferedInterruptHandler<UART0>;
});

foldnet_firmware::reset_on_panic!();

/// The board and its display.
struct WithScreen<F, I: I2cBus> {
    part: Part<F>,
    screen: Screen<I>,
    cycles_per_ms: u32,
}

impl<F: FnMut(), I: I2cBus> Board for WithScreen<F, I> {
    fn now(&mut self) -> u32 {
        self.part.now()
    }

    fn since(&mut self, start: u32) -> u32 {
        self.part.since(start)
    }

    fn alive(&mut self) {
        self.part.alive();
    }

    fn greet<W: Write>(&mut self, line: &mut Report<'_, W>) {
        self.part.greet(line);
    }

    fn doing(&mut self, what: Doing) {
        self.part.doing(what);
    }

    fn seen(&mut self, logits: &[f32], ticks: u32) {
        let label = LABELS.get(best(logits)).copied().unwrap_or("");
        // Without a display, results go only to the line.
        let _ = self.screen.label(label, ticks / self.cycles_per_ms);
    }

    fn missed(&mut self, error: &str) {
        let _ = self.screen.show("no picture", error);
    }
}

#[entry]
fn main() -> ! {
    let p = embassy_rp::init(Default::default());
    let (mut results, _) = serial(p.UART0, p.PIN_0, p.PIN_1, Interrupts);
    let part = Part::new(watchdog(p.WATCHDOG), &PAGE);

    let mut fast = embassy_rp::i2c::Config::default();
    fast.frequency = 400_000;
    let screen = Screen::new(I2c::new_blocking(p.I2C1, p.PIN_7, p.PIN_6, fast));
    let cycles_per_ms = embassy_rp::clocks::clk_sys_freq() / 1_000;
    let mut board = WithScreen { part, screen, cycles_per_ms };

    let bus = I2c::new_blocking(p.I2C0, p.PIN_5, p.PIN_4, Default::default());
    let mut config = embassy_rp::spi::Config::default();
    config.frequency = 8_000_000;
    let spi = Spi::new_blocking(p.SPI0, p.PIN_18, p.PIN_19, p.PIN_16, config);
    let Ok(spi) = ExclusiveDevice::new(spi, Output::new(p.PIN_17, Level::High), Delay);
    let module = ArduCam::new(spi, bus, Delay, SIZE, DUMMY);

    let camera = ROWS.take().and_then(|memory| {
        let (row, narrow) = memory.split_at_mut(ROW);
        Camera::new(module, row, Resizer::new(ACROSS.axis(), DOWN.axis(), narrow)?)
    });
    let Some(mut camera) = camera else { cortex_m::peripheral::SCB::sys_reset() };
    serve("{\"board\":\"rp2350-pico2-camera\"", (&PLAN, &Dsp), &ARENA, &mut camera, &mut results, &mut board)
}
