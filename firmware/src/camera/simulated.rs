//! An ArduCAM Mini with an OV2640, simulated: what the driver sees of it over SPI and I2C, with the ills
//! that it can have. For tests on the host and on emulated boards, which have no camera.
//!
//! The sensor obeys its registers as far as the driver sets them: its image has the size that was set up,
//! and is complete a few polls after it was asked for.

use core::cell::{Cell, RefCell, RefMut};
use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource};
use embedded_hal::spi::{self, SpiDevice};

use crate::camera::arducam::{BURST, CLEAR, CONTROL, DONE, LENGTH, START, STATE, TEST, WRITE};
use crate::camera::ov2640::{ADDRESS, BANK, COM7, IMAGE_MODE, PIDH, PRODUCT, SENSOR, ZMOH, ZMOW};

/// What ails the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// Nothing.
    Well,
    /// Nobody drives the SPI bus: it reads as ones.
    Absent,
    /// Nobody answers on the I2C bus.
    NoSensor,
    /// Another sensor is mounted.
    OtherSensor,
    /// Its images never become complete.
    Hangs,
    /// Its images are some rows short.
    Short,
    /// It loses power while the third row is read.
    Lost,
    /// It holds the SPI bus so that a transfer never ends. Only a watchdog helps.
    Frozen,
}

impl Ill {
    /// Every one, for those that send a number.
    pub const ALL: [Self; 8] = [
        Self::Well,
        Self::Absent,
        Self::NoSensor,
        Self::OtherSensor,
        Self::Hangs,
        Self::Short,
        Self::Lost,
        Self::Frozen,
    ];
}

/// Polls of [`STATE`] until an image is complete.
const EXPOSURE: u8 = 3;

/// The module. Its ends on the buses are [`Simulated::spi`] and [`Simulated::bus`].
pub struct Simulated<'a> {
    picture: RefCell<&'a mut [u8]>,
    ill: Cell<Ill>,
    dummy: bool,
    test: Cell<u8>,
    /// Polls until the image is complete; none was asked for at 255.
    exposure: Cell<u8>,
    /// The FIFO's next byte.
    at: Cell<usize>,
    bank: Cell<u8>,
    register: Cell<u8>,
    registers: [[Cell<u8>; 256]; 2],
}

impl<'a> Simulated<'a> {
    /// Well, before what `picture` holds: the bytes that the sensor sends, over and over. `dummy`: with a byte of nothing
    /// before each burst.
    pub const fn new(picture: &'a mut [u8], dummy: bool) -> Self {
        Self {
            picture: RefCell::new(picture),
            ill: Cell::new(Ill::Well),
            dummy,
            test: Cell::new(0),
            exposure: Cell::new(255),
            at: Cell::new(0),
            bank: Cell::new(0),
            register: Cell::new(0),
            registers: [const { [const { Cell::new(0) }; 256] }; 2],
        }
    }

    /// What ails it from now on.
    pub fn fall(&self, ill: Ill) {
        self.ill.set(ill);
    }

    /// Lets an image be held before it. `None` while somebody does.
    pub fn picture(&self) -> Option<RefMut<'_, &'a mut [u8]>> {
        self.picture.try_borrow_mut().ok()
    }

    /// Its end on the SPI bus.
    pub fn spi(&self) -> Spi<'_, 'a> {
        Spi(self)
    }

    /// Its end on the I2C bus.
    pub fn bus(&self) -> Bus<'_, 'a> {
        Bus(self)
    }

    fn sensor(&self, bank: u8, register: u8) -> Option<&Cell<u8>> {
        self.registers.get(usize::from(bank))?.get(usize::from(register))
    }

    /// Returns the size in bytes of the image that is set up.
    fn length(&self) -> usize {
        let set = |bank, register| self.sensor(bank, register).map_or(0, |r| usize::from(r.get()));
        // Read out at 800×600, as YUYV: the driver wants nothing else.
        if set(SENSOR, COM7) != 0x40 || set(0, IMAGE_MODE) != 0 {
            return 0;
        }
        let whole = 32 * set(0, ZMOW) * set(0, ZMOH);
        if self.ill.get() == Ill::Short { whole / 2 } else { whole }
    }

    fn chip(&self, register: u8) -> u8 {
        let length = self.length().to_le_bytes();
        match register {
            TEST => self.test.get(),
            STATE if self.exposure.get() == 255 || self.ill.get() == Ill::Hangs => 0,
            STATE => {
                self.exposure.set(self.exposure.get().saturating_sub(1));
                if self.exposure.get() == 0 { DONE } else { 0 }
            }
            LENGTH => length[0],
            0x43 => length[1],
            0x44 => length[2],
            _ => 0,
        }
    }

    fn command(&self, register: u8, value: u8) {
        match (register & !WRITE, value) {
            (TEST, value) => self.test.set(value),
            (CONTROL, CLEAR) => self.exposure.set(255),
            (CONTROL, START) => {
                self.exposure.set(EXPOSURE);
                self.at.set(0);
            }
            _ => {}
        }
    }

    fn next(&self) -> u8 {
        let at = self.at.get();
        self.at.set(at + 1);
        // Two rows of the smallest image: in the middle of any.
        if self.ill.get() == Ill::Lost && at > 2 * 192 {
            self.test.set(0);
            return 0xff;
        }
        self.picture.try_borrow().ok().and_then(|p| p.get(at.checked_rem(p.len())?).copied()).unwrap_or(0)
    }
}

/// The SPI end.
pub struct Spi<'s, 'a>(&'s Simulated<'a>);

impl spi::ErrorType for Spi<'_, '_> {
    type Error = Infallible;
}

impl SpiDevice for Spi<'_, '_> {
    fn transaction(&mut self, steps: &mut [spi::Operation<'_, u8>]) -> Result<(), Infallible> {
        let module = self.0;
        while module.ill.get() == Ill::Frozen {
            core::hint::spin_loop();
        }
        let absent = module.ill.get() == Ill::Absent;
        // The first byte says what is wanted, the second of a write is the value.
        let (mut command, mut first) = (None, module.dummy);
        for step in steps {
            match step {
                spi::Operation::Write(bytes) => {
                    for &byte in bytes.iter() {
                        match command {
                            None => command = Some(byte),
                            Some(register) if register & WRITE != 0 && !absent => {
                                module.command(register, byte);
                            }
                            Some(_) => {}
                        }
                    }
                }
                spi::Operation::Read(bytes) => {
                    for byte in bytes.iter_mut() {
                        *byte = match command {
                            _ if absent => 0xff,
                            Some(BURST) if core::mem::take(&mut first) => 0xee,
                            Some(BURST) => module.next(),
                            Some(register) => module.chip(register),
                            None => 0,
                        };
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The I2C end.
pub struct Bus<'s, 'a>(&'s Simulated<'a>);

/// Nobody is at that address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nobody;

impl i2c::Error for Nobody {
    fn kind(&self) -> i2c::ErrorKind {
        i2c::ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)
    }
}

impl i2c::ErrorType for Bus<'_, '_> {
    type Error = Nobody;
}

impl I2c for Bus<'_, '_> {
    fn transaction(&mut self, address: u8, steps: &mut [i2c::Operation<'_>]) -> Result<(), Nobody> {
        let module = self.0;
        if address != ADDRESS || matches!(module.ill.get(), Ill::NoSensor | Ill::Absent) {
            return Err(Nobody);
        }
        for step in steps {
            match step {
                i2c::Operation::Write([register]) => module.register.set(*register),
                i2c::Operation::Write([BANK, bank]) => module.bank.set(*bank),
                i2c::Operation::Write([register, value]) => {
                    if let Some(place) = module.sensor(module.bank.get(), *register) {
                        place.set(*value);
                    }
                }
                i2c::Operation::Write(_) => {}
                i2c::Operation::Read(bytes) => {
                    let (bank, register) = (module.bank.get(), module.register.get());
                    let value = match (bank, register) {
                        (SENSOR, PIDH) if module.ill.get() == Ill::OtherSensor => 0x56,
                        (SENSOR, PIDH) => PRODUCT,
                        _ => module.sensor(bank, register).map_or(0, Cell::get),
                    };
                    bytes.fill(value);
                }
            }
        }
        Ok(())
    }
}

/// A clock that does not wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDelay;

impl DelayNs for NoDelay {
    fn delay_ns(&mut self, _: u32) {}
}
