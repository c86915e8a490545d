//! Tests the drivers with simulated parts.

use super::arducam::{ArduCam, Fault};
use super::ov2640::{SensorFault, Size};
use super::ov7670::{self, Ov7670, Port};
use super::simulated::{Ill, NoDelay, Simulated};
use super::*;

static ACROSS: Weights<8, { taps(96, 8) }> = Weights::stretch(96);
static DOWN: Weights<8, { taps(96, 8) }> = Weights::stretch(96);
static ACROSS_160: Weights<8, { taps(160, 8) }> = Weights::stretch(160);
static DOWN_120: Weights<8, { taps(120, 8) }> = Weights::stretch(120);

fn picture(seed: usize) -> Vec<u8> {
    (0..2 * 96 * 96).map(|i| ((i + seed).wrapping_mul(7919) >> 5) as u8).collect()
}

/// Returns the image's pixels by the resizer alone.
fn expected(picture: &[u8]) -> Vec<u8> {
    let (mut memory, mut pixels) = (vec![0; Resizer::bytes(8, 96, 8)], vec![0; 192]);
    let mut resizer = Resizer::new(ACROSS.axis(), DOWN.axis(), &mut memory).unwrap();
    for row in picture.chunks(192) {
        resizer.push(|x| PixelFormat::Yuyv.rgb(row, x), &mut pixels);
    }
    pixels
}

/// Polls until there is a result. The number of polls is bounded: no call may wait forever.
fn poll(camera: &mut impl FrameSource) -> Result<Vec<u8>, FrameError> {
    let mut pixels = vec![0; 192];
    for _ in 0..5_000 {
        if camera.poll(&mut pixels)? == Progress::Complete {
            return Ok(pixels);
        }
    }
    panic!("the camera never says anything");
}

#[test]
fn pictures_arrive_one_after_the_other_with_and_without_the_dummy_byte() {
    for dummy in [false, true] {
        let [first, second] = [1, 2].map(picture);
        let mut scene = vec![0; first.len()];
        let module = Simulated::new(&mut scene, dummy);
        let driver = ArduCam::new(module.spi(), module.bus(), NoDelay, Size::SQUARE, dummy);
        let (mut row, mut memory) = ([0; 192], [0; Resizer::bytes(8, 96, 8)]);
        let resizer = Resizer::new(ACROSS.axis(), DOWN.axis(), &mut memory).unwrap();
        let mut camera = Camera::new(driver, &mut row, resizer).unwrap();
        for shown in [&first, &second, &first] {
            module.picture().unwrap().copy_from_slice(shown);
            assert_eq!(poll(&mut camera), Ok(expected(shown)));
        }
    }
}

#[test]
fn every_ill_is_told_and_survived() {
    let shown = picture(3);
    let mut scene = shown.clone();
    let module = Simulated::new(&mut scene, false);
    let driver = ArduCam::new(module.spi(), module.bus(), NoDelay, Size::SQUARE, false);
    let (mut row, mut memory) = ([0; 192], [0; Resizer::bytes(8, 96, 8)]);
    let resizer = Resizer::new(ACROSS.axis(), DOWN.axis(), &mut memory).unwrap();
    let mut camera = Camera::new(driver, &mut row, resizer).unwrap();
    // Each fault meets a camera that is running, and one that has just failed.
    for (ill, while_up, while_down) in [
        (Ill::Absent, Fault::Length(0x7f_ffff), Fault::NoModule(0xff)),
        (Ill::NoSensor, Fault::Sensor(SensorFault::Bus), Fault::Sensor(SensorFault::Bus)),
        (
            Ill::OtherSensor,
            Fault::Sensor(SensorFault::Other(0x5600)),
            Fault::Sensor(SensorFault::Other(0x5600)),
        ),
        (Ill::Hangs, Fault::NoPicture, Fault::NoPicture),
        (Ill::Short, Fault::Length(96 * 96), Fault::Length(96 * 96)),
        (Ill::Lost, Fault::Lost, Fault::Lost),
    ] {
        module.fall(Ill::Well);
        assert_eq!(poll(&mut camera), Ok(expected(&shown)), "before {ill:?}");
        module.fall(ill);
        let mut told = poll(&mut camera);
        if matches!(ill, Ill::NoSensor | Ill::OtherSensor) {
            // Images still arrive, because the sensor was set up. Its absence is noticed when the camera is
            // started again.
            assert_eq!(told, Ok(expected(&shown)));
            camera.up = false;
            told = poll(&mut camera);
        }
        assert_eq!(told, Err(while_up.into()), "{ill:?}");
        assert_eq!(camera.rows().fault(), Some(while_up));
        assert_eq!(poll(&mut camera), Err(while_down.into()), "{ill:?}, started again");
        assert_eq!(camera.rows().fault(), Some(while_down));
    }
    module.fall(Ill::Well);
    assert_eq!(poll(&mut camera), Ok(expected(&shown)));
}

#[test]
fn buffers_that_do_not_fit_are_refused() {
    let module = Simulated::new(&mut [], false);
    let driver = |size| ArduCam::new(module.spi(), module.bus(), NoDelay, size, false);
    for (size, room) in [(Size::SQUARE, 191), (Size::QQVGA, 320)] {
        let (mut row, mut memory) = (vec![0; room], [0; Resizer::bytes(8, 96, 8)]);
        let resizer = Resizer::new(ACROSS.axis(), DOWN.axis(), &mut memory).unwrap();
        assert!(Camera::new(driver(size), &mut row, resizer).is_none(), "{size:?}");
    }
}

/// A bus with an OV7670, another part, or nothing on it.
struct SensorBus {
    id: Option<u8>,
    written: Vec<(u8, u8)>,
    register: u8,
}

impl embedded_hal::i2c::ErrorType for SensorBus {
    type Error = embedded_hal::i2c::ErrorKind;
}

impl embedded_hal::i2c::I2c for SensorBus {
    fn transaction(
        &mut self,
        address: u8,
        steps: &mut [embedded_hal::i2c::Operation<'_>],
    ) -> Result<(), Self::Error> {
        let id = self.id.filter(|_| address == ov7670::ADDRESS).ok_or(embedded_hal::i2c::ErrorKind::Other)?;
        for step in steps {
            match step {
                embedded_hal::i2c::Operation::Write([register]) => self.register = *register,
                embedded_hal::i2c::Operation::Write([register, value]) => {
                    self.written.push((*register, *value));
                }
                embedded_hal::i2c::Operation::Write(other) => panic!("{other:?}"),
                embedded_hal::i2c::Operation::Read(bytes) => {
                    bytes.fill(if self.register == 0x0a { id } else { 0x73 });
                }
            }
        }
        Ok(())
    }
}

/// A port that delivers these rows, and nothing afterwards.
struct Parallel {
    picture: Vec<u8>,
    next: usize,
    misses: bool,
}

impl Port for Parallel {
    fn start(&mut self) -> Result<(), FrameError> {
        self.next = 0;
        Ok(())
    }

    fn poll_row(&mut self, row: &mut [u8]) -> Result<Progress, FrameError> {
        if self.misses && self.next == 7 {
            return Err(FrameError::Damaged);
        }
        let Some(bytes) = self.picture.chunks(320).nth(self.next) else { return Ok(Progress::Waiting) };
        row.copy_from_slice(bytes);
        self.next += 1;
        Ok(Progress::Complete)
    }
}

fn parallel(id: Option<u8>, rows: usize, misses: bool) -> Ov7670<SensorBus, Parallel, NoDelay> {
    let picture = (0..320 * rows).map(|i| (i.wrapping_mul(7919) >> 5) as u8).collect();
    Ov7670::new(
        SensorBus { id, written: vec![], register: 0 },
        Parallel { picture, next: 0, misses },
        NoDelay,
    )
}

fn first(driver: Ov7670<SensorBus, Parallel, NoDelay>) -> Result<Vec<u8>, FrameError> {
    let (mut row, mut memory) = ([0; 320], [0; Resizer::bytes(8, 120, 8)]);
    let resizer = Resizer::new(ACROSS_160.axis(), DOWN_120.axis(), &mut memory).unwrap();
    poll(&mut Camera::new(driver, &mut row, resizer).unwrap())
}

#[test]
fn a_parallel_camera_is_read_and_its_faults_are_told() {
    let whole = parallel(Some(0x76), 120, false);
    let (mut memory, mut pixels) = ([0; Resizer::bytes(8, 120, 8)], vec![0; 192]);
    let mut resizer = Resizer::new(ACROSS_160.axis(), DOWN_120.axis(), &mut memory).unwrap();
    let picture: Vec<u8> = (0..320 * 120_usize).map(|i| (i.wrapping_mul(7919) >> 5) as u8).collect();
    for row in picture.chunks(320) {
        resizer.push(|x| PixelFormat::Rgb565.rgb(row, x), &mut pixels);
    }
    assert_eq!(first(whole), Ok(pixels));
    assert_eq!(first(parallel(None, 120, false)), Err(FrameError::Absent));
    assert_eq!(first(parallel(Some(0x26), 120, false)), Err(FrameError::Absent));
    assert_eq!(first(parallel(Some(0x76), 119, false)), Err(FrameError::Timeout));
    assert_eq!(first(parallel(Some(0x76), 120, true)), Err(FrameError::Damaged));
}
