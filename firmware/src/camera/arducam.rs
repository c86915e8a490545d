//! The ArduCAM Mini with an OV2640: the sensor's registers are on I2C, and its images are read from a FIFO over
//! SPI.
//!
//! SPI mode 0, at most 8 MHz. To read an image: clear the FIFO, start, wait for the done flag, read the length,
//! read bursts. The module's chip has a register that is only for tests. A mark in it shows whether, when an image
//! is complete, the module is still the one that was set up.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::{Operation, SpiDevice};

use crate::camera::ov2640::{self, SensorFault, Size};
use crate::camera::{PixelFormat, Rows};
use crate::frame::{FrameError, Progress};

/// The registers of the module's chip. Writing sets the highest bit of the address.
pub(crate) const TEST: u8 = 0x00;
pub(crate) const CONTROL: u8 = 0x04;
pub(crate) const RESET: u8 = 0x07;
pub(crate) const BURST: u8 = 0x3c;
pub(crate) const STATE: u8 = 0x41;
pub(crate) const LENGTH: u8 = 0x42;
pub(crate) const WRITE: u8 = 0x80;
/// The bits of [`CONTROL`].
pub(crate) const CLEAR: u8 = 0x01;
pub(crate) const START: u8 = 0x02;
/// The bits of [`STATE`].
pub(crate) const DONE: u8 = 0x08;

const MARK: u8 = 0x55;
/// The milliseconds allowed for an image, several times the slowest exposure.
const PATIENCE: u32 = 2_000;

/// The last fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fault {
    /// The SPI bus failed.
    Spi,
    /// The module's chip does not keep a written value; contains the value read back.
    NoModule(u8),
    /// The sensor has a fault.
    Sensor(SensorFault),
    /// No image within two seconds.
    NoPicture,
    /// The image has this number of bytes, which is not the requested one.
    Length(u32),
    /// The module was reset or lost while the image was read.
    Lost,
}

impl From<Fault> for FrameError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Spi => Self::Bus,
            Fault::NoModule(_) | Fault::Sensor(_) => Self::Absent,
            Fault::NoPicture => Self::Timeout,
            Fault::Length(_) | Fault::Lost => Self::Damaged,
        }
    }
}

#[derive(Clone, Copy)]
enum State {
    Idle,
    /// Waiting for this number of milliseconds.
    Waiting(u32),
    /// Reading this row.
    Reading(usize),
}

/// An ArduCAM module.
pub struct ArduCam<S, B, D> {
    spi: S,
    bus: B,
    delay: D,
    size: Size,
    dummy: bool,
    state: State,
    fault: Option<Fault>,
}

impl<S: SpiDevice, B: I2c, D: DelayNs> ArduCam<S, B, D> {
    /// Creates the driver on these buses. `dummy` means that the module sends a dummy byte before each burst, like
    /// the Mini 2MP before it became the Mini 2MP Plus.
    pub fn new(spi: S, bus: B, delay: D, size: Size, dummy: bool) -> Self {
        Self { spi, bus, delay, size, dummy, state: State::Idle, fault: None }
    }

    /// Returns the last fault.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    fn write(&mut self, register: u8, value: u8) -> Result<(), Fault> {
        self.spi.write(&[register | WRITE, value]).map_err(|_| Fault::Spi)
    }

    fn read(&mut self, register: u8) -> Result<u8, Fault> {
        let mut value = [0];
        let mut steps = [Operation::Write(&[register]), Operation::Read(&mut value)];
        self.spi.transaction(&mut steps).map_err(|_| Fault::Spi)?;
        Ok(value[0])
    }

    fn set_up(&mut self) -> Result<(), Fault> {
        self.state = State::Idle;
        self.write(RESET, 0x80)?;
        self.delay.delay_ms(100);
        self.write(RESET, 0)?;
        self.delay.delay_ms(100);
        // The two patterns detect a line that is stuck high or low, and a chip that remembers.
        for pattern in [!MARK, MARK] {
            self.write(TEST, pattern)?;
            let got = self.read(TEST)?;
            if got != pattern {
                return Err(Fault::NoModule(got));
            }
        }
        ov2640::set_up(&mut self.bus, &mut self.delay, self.size).map_err(Fault::Sensor)
    }

    fn next_row(&mut self, row: &mut [u8]) -> Result<Progress, Fault> {
        match self.state {
            State::Idle => {
                self.write(CONTROL, CLEAR)?;
                self.write(CONTROL, START)?;
                self.state = State::Waiting(0);
            }
            State::Waiting(ms) => {
                if self.read(STATE)? & DONE == 0 {
                    if ms >= PATIENCE {
                        return Err(Fault::NoPicture);
                    }
                    self.delay.delay_ms(1);
                    self.state = State::Waiting(ms + 1);
                    return Ok(Progress::Waiting);
                }
                let mut length = 0;
                for register in (LENGTH..LENGTH + 3).rev() {
                    length = length << 8 | u32::from(self.read(register)?);
                }
                length &= 0x7f_ffff;
                // The FIFO rounds up: a few additional bytes are no fault, an additional row is.
                let (width, height) = self.size.pixels();
                let (whole, stride) = ((width * height * 2) as u32, (width * 2) as u32);
                if length < whole || length >= whole + stride {
                    return Err(Fault::Length(length));
                }
                self.state = State::Reading(0);
            }
            State::Reading(y) => {
                let mut nothing = [0];
                let dummy = nothing.get_mut(..usize::from(self.dummy)).unwrap_or(&mut []);
                let mut steps = [Operation::Write(&[BURST]), Operation::Read(dummy), Operation::Read(row)];
                self.spi.transaction(&mut steps).map_err(|_| Fault::Spi)?;
                self.state = State::Reading(y + 1);
                if y + 1 == self.size.pixels().1 {
                    self.state = State::Idle;
                    if self.read(TEST)? != MARK {
                        return Err(Fault::Lost);
                    }
                }
                return Ok(Progress::Complete);
            }
        }
        Ok(Progress::Waiting)
    }

    fn note(&mut self, fault: Fault) -> FrameError {
        #[cfg(feature = "defmt")]
        defmt::warn!("ArduCAM: {}", fault);
        self.fault = Some(fault);
        fault.into()
    }
}

impl<S: SpiDevice, B: I2c, D: DelayNs> Rows for ArduCam<S, B, D> {
    fn size(&self) -> (usize, usize) {
        self.size.pixels()
    }

    fn format(&self) -> PixelFormat {
        PixelFormat::Yuyv
    }

    fn start(&mut self) -> Result<(), FrameError> {
        self.set_up().map_err(|fault| self.note(fault))
    }

    fn poll_row(&mut self, row: &mut [u8]) -> Result<Progress, FrameError> {
        self.next_row(row).map_err(|fault| self.note(fault))
    }

    fn pause(&mut self) {
        self.delay.delay_ms(10);
    }
}
