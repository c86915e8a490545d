//! An Arm MPS2+ with a Cortex-M4 and a simulated ArduCAM: camera, resizing, plan and label as on a real board,
//! with the watchdog that ends a hang.
//!
//! Board: `qemu-system-arm -M mps2-an386`. The camera sends the content of a frame on the first UART, repeated
//! until its 160×120 pixels in YUYV are full. The frame's last byte also selects the camera's fault (an index into
//! `Ill::ALL`). The answer to each frame is an image's line or an error's.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embedded_io::Write;
use foldnet_firmware::camera::arducam::ArduCam;
use foldnet_firmware::camera::ov2640::Size;
use foldnet_firmware::camera::simulated::{Ill, NoDelay, Simulated};
use foldnet_firmware::camera::{Camera, PixelFormat, Resizer, Weights, taps};
use foldnet_firmware::classify::{Board, Doing, serve};
use foldnet_firmware::diary::{Diary, Page, Past};
use foldnet_firmware::frame::Line;
use foldnet_firmware::qemu::{Qemu, Uart, Watchdog};
use foldnet_firmware::report::Report;
use foldnet_firmware::{Arena, FrameError, FrameSource, Progress};
use foldnet_kernels::Dsp;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

foldnet_firmware::no_panic!();

const CAMERA: (usize, usize) = Size::QQVGA.pixels();
const ROW: usize = CAMERA.0 * PixelFormat::Yuyv.bytes();
const NARROW: usize = Resizer::bytes(PICTURE.0, CAMERA.1, PICTURE.1);
static ACROSS: Weights<{ PICTURE.0 }, { taps(CAMERA.0, PICTURE.0) }> = Weights::stretch(CAMERA.0);
static DOWN: Weights<{ PICTURE.1 }, { taps(CAMERA.1, PICTURE.1) }> = Weights::stretch(CAMERA.1);

static ARENA: Arena<ARENA_BYTES> = Arena::new();
static ROWS: Arena<{ ROW + NARROW }> = Arena::new();
/// The size of a scene in bytes: some rows and a bit, so that no two rows are equal.
static SCENE: Arena<4_005> = Arena::new();
#[unsafe(link_section = ".uninit.diary")]
static PAGE: Page = Page::new();

/// Receives the camera's next scene over the line, then polls the camera.
struct Scene<'s, 'a, R> {
    line: Line<Uart>,
    module: &'s Simulated<'a>,
    camera: Camera<'s, R>,
    shown: bool,
}

impl<R: foldnet_firmware::camera::Rows> FrameSource for Scene<'_, '_, R> {
    fn poll(&mut self, pixels: &mut [u8]) -> Result<Progress, FrameError> {
        if !self.shown {
            let Some(mut scene) = self.module.picture() else { return Ok(Progress::Waiting) };
            self.shown = self.line.poll(&mut scene)? == Progress::Complete;
            if self.shown {
                let ill = scene.last().and_then(|&ill| Ill::ALL.get(usize::from(ill)).copied());
                self.module.fall(ill.unwrap_or(Ill::Well));
            }
            return Ok(Progress::Waiting);
        }
        let result = self.camera.poll(pixels);
        self.shown = result == Ok(Progress::Waiting);
        result
    }
}

/// The board with its watchdog.
struct Watched {
    qemu: Qemu,
    watchdog: Watchdog,
    diary: Diary,
    past: Option<Past>,
}

impl Board for Watched {
    fn now(&mut self) -> u32 {
        self.qemu.now()
    }

    fn since(&mut self, start: u32) -> u32 {
        self.qemu.since(start)
    }

    fn alive(&mut self) {
        self.watchdog.feed();
    }

    fn greet<W: Write>(&mut self, line: &mut Report<'_, W>) {
        if let Some(past) = self.past {
            past.tell(line);
        }
    }

    fn remark<W: Write>(&mut self, line: &mut Report<'_, W>) {
        self.qemu.remark(line);
    }

    fn doing(&mut self, what: Doing) {
        self.diary.note(what);
    }
}

#[entry]
fn main() -> ! {
    let mut uart = Uart::new();
    let (diary, past) = Diary::open(&PAGE);
    let (Some(core), Some(memory), Some(scene)) = (cortex_m::Peripherals::take(), ROWS.take(), SCENE.take())
    else {
        cortex_m::peripheral::SCB::sys_reset()
    };
    let mut board = Watched { qemu: Qemu::new(core.SYST), watchdog: Watchdog::start(), diary, past };
    let module = Simulated::new(scene, false);
    let driver = ArduCam::new(module.spi(), module.bus(), NoDelay, Size::QQVGA, false);
    let (row, narrow) = memory.split_at_mut(ROW);
    let camera = Resizer::new(ACROSS.axis(), DOWN.axis(), narrow)
        .and_then(|resizer| Camera::new(driver, row, resizer));
    let Some(camera) = camera else { cortex_m::peripheral::SCB::sys_reset() };
    let mut source = Scene { line: Line::new(uart), module: &module, camera, shown: false };
    serve("{\"board\":\"qemu-camera\"", (&PLAN, &Dsp), &ARENA, &mut source, &mut uart, &mut board)
}
