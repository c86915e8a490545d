//! OmniVision's OV7670 and related sensors: set-up over I2C for 160×120 in RGB565, pixels from a parallel port.
//!
//! The port itself belongs to the chip: a camera interface with DMA, a state machine, or an interrupt per row.
//! [`Port`] is the interface that the driver needs.
//!
//! The registers are those of the data sheet's table of device control. Every value was compared with two
//! independent public drivers, Linux's `ov7670` and Adafruit's: format, range, window (640 columns from 180, 480
//! rows from 10; six columns further in the latter), scaling by four and exposure agree. Settings that they also
//! tune (gamma, colour matrix, reserved registers) keep their reset values.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::camera::ov2640::{SensorFault, read, write_to};
use crate::camera::{PixelFormat, Rows};
use crate::frame::{FrameError, Progress};

/// The sensor's address.
pub const ADDRESS: u8 = 0x21;
/// The high byte of its product number; that of the OV7675 and OV7676 is the same.
pub const PRODUCT: u8 = 0x76;

const PID: u8 = 0x0a;
const VER: u8 = 0x0b;
const COM7: u8 = 0x12;
/// The number of polls of a millisecond each for a row; before an image's first row, a whole image may pass.
const PATIENCE: u32 = 2_000;

/// The registers for 160×120: the sensor's 640×480 scaled down by four, in RGB565 with full range.
const SET_UP: &[(u8, u8)] = &[
    (COM7, 0x04), // RGB
    (0x3a, 0x04), // TSLB: the window is set by hand, below
    (0x11, 0x01), // CLKRC: half the clock
    (0x40, 0xd0), // COM15: RGB565, 0 to 255
    (0x0c, 0x04), // COM3: sample down
    (0x3e, 0x1a), // COM14: by hand, the pixel clock by four
    (0x70, 0x3a), // SCALING_XSC: as after the reset
    (0x71, 0x35), // SCALING_YSC
    (0x72, 0x22), // SCALING_DCWCTR: by four both ways
    (0x73, 0xf2), // SCALING_PCLK_DIV: by four
    (0xa2, 0x02), // SCALING_PCLK_DELAY
    (0x17, 0x16), // HSTART
    (0x18, 0x04), // HSTOP
    (0x32, 0xa4), // HREF: their low bits
    (0x19, 0x02), // VSTRT
    (0x1a, 0x7a), // VSTOP
    (0x03, 0x0a), // VREF: their low bits
    (0x13, 0xe7), // COM8: exposure, gain and white balance by itself
];

/// A parallel port that receives the sensor's rows.
pub trait Port {
    /// Starts with the next image's first row, whatever the state.
    fn start(&mut self) -> Result<(), FrameError>;
    /// Waits at most a millisecond for the next row and fills `row` with it. Returns [`FrameError::Damaged`] if a
    /// row was missed.
    fn poll_row(&mut self, row: &mut [u8]) -> Result<Progress, FrameError>;
}

/// The sensor and the port to which it is connected.
pub struct Ov7670<B, P, D> {
    bus: B,
    port: P,
    delay: D,
    waited: u32,
    fault: Option<SensorFault>,
}

impl<B: I2c, P: Port, D: DelayNs> Ov7670<B, P, D> {
    /// Creates the driver on this bus and port. The sensor needs a clock of 10 to 48 MHz before it answers.
    pub fn new(bus: B, port: P, delay: D) -> Self {
        Self { bus, port, delay, waited: 0, fault: None }
    }

    /// Returns the last fault of the sensor.
    pub fn fault(&self) -> Option<SensorFault> {
        self.fault
    }

    fn set_up(&mut self) -> Result<(), SensorFault> {
        let id = [read(&mut self.bus, ADDRESS, PID)?, read(&mut self.bus, ADDRESS, VER)?];
        if id[0] != PRODUCT {
            return Err(SensorFault::Other(u16::from_be_bytes(id)));
        }
        write_to(&mut self.bus, ADDRESS, &[(COM7, 0x80)])?;
        self.delay.delay_ms(10);
        write_to(&mut self.bus, ADDRESS, SET_UP)?;
        self.delay.delay_ms(300);
        Ok(())
    }
}

impl<B: I2c, P: Port, D: DelayNs> Rows for Ov7670<B, P, D> {
    fn size(&self) -> (usize, usize) {
        (160, 120)
    }

    fn format(&self) -> PixelFormat {
        PixelFormat::Rgb565
    }

    fn start(&mut self) -> Result<(), FrameError> {
        self.waited = 0;
        if let Err(fault) = self.set_up() {
            #[cfg(feature = "defmt")]
            defmt::warn!("OV7670: {}", fault);
            self.fault = Some(fault);
            return Err(FrameError::Absent);
        }
        self.port.start()
    }

    fn poll_row(&mut self, row: &mut [u8]) -> Result<Progress, FrameError> {
        match self.port.poll_row(row)? {
            Progress::Complete => {
                self.waited = 0;
                Ok(Progress::Complete)
            }
            Progress::Waiting if self.waited >= PATIENCE => Err(FrameError::Timeout),
            Progress::Waiting => {
                self.waited += 1;
                Ok(Progress::Waiting)
            }
        }
    }

    fn pause(&mut self) {
        self.delay.delay_ms(10);
    }
}
