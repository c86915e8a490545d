//! A simulated ArduCAM Mini with an OV2640: the driver's view of it over SPI and I2C, with possible faults. It is
//! for tests on the host and on emulated boards, which have no camera.
//!
//! The sensor simulates the registers that the driver sets: its image has the configured size and is complete a
//! few polls after it was requested.

use core::cell::{Cell, RefCell, RefMut};
use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{self, I2c, NoAcknowledgeSource};
use embedded_hal::spi::{self, SpiDevice};

use crate::camera::arducam::{BURST, CLEAR, CONTROL, DONE, LENGTH, START, STATE, TEST, WRITE};
use crate::camera::ov2640::{ADDRESS, BANK, COM7, IMAGE_MODE, PIDH, PRODUCT, SENSOR, ZMOH, ZMOW};

/// The faults of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// There is no fault.
    Well,
    /// Nothing drives the SPI bus: it reads as ones.
    Absent,
    /// Nothing answers on the I2C bus.
    NoSensor,
    /// Another sensor is mounted.
    OtherSensor,
    /// Its images never become complete.
    Hangs,
    /// Its images lack some rows.
    Short,
    /// It loses power while the third row is read.
    Lost,
    /// It blocks the SPI bus so that a transfer never ends. Only a watchdog helps.
    Frozen,
}

impl Ill {
    /// All faults, for tests that send a number.
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

/// The number of polls of [`STATE`] until an image is complete.
const EXPOSURE: u8 = 3;

/// The simulated module. Its ends of the buses are [`Simulated::spi`] and [`Simulated::bus`].
pub struct Simulated<'a> {
    picture: RefCell<&'a mut [u8]>,
    ill: Cell<Ill>,
    dummy: bool,
    test: Cell<u8>,
    /// The number of polls until the image is complete; 255 if none was requested.
    exposure: Cell<u8>,
    /// The index of the FIFO's next byte.
    at: Cell<usize>,
    bank: Cell<u8>,
    register: Cell<u8>,
    registers: [[Cell<u8>; 256]; 2],
}

impl<'a> Simulated<'a> {
    /// Creates a module without faults that sends the bytes of `picture`, repeated. With `dummy`, a dummy byte
    /// precedes each burst.
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

    /// Sets the fault from now on.
    pub fn fall(&self, ill: Ill) {
        self.ill.set(ill);
    }

    /// Borrows the scene for changes. Returns `None` while it is borrowed.
    pub fn picture(&self) -> Option<RefMut<'_, &'a mut [u8]>> {
        self.picture.try_borrow_mut().ok()
    }

    /// Returns its end of the SPI bus.
    pub fn spi(&self) -> Spi<'_, 'a> {
        Spi(self)
    }

    /// Returns its end of the I2C bus.
    pub fn bus(&self) -> Bus<'_, 'a> {
        Bus(self)
    }

    fn sensor(&self, bank: u8, register: u8) -> Option<&Cell<u8>> {
        self.registers.get(usize::from(bank))?.get(usize::from(register))
    }

    /// Returns the size in bytes of the configured image.
    fn length(&self) -> usize {
        let set = |bank, register| self.sensor(bank, register).map_or(0, |r| usize::from(r.get()));
        // The driver only uses 800×600 as YUYV.
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
        // This is two rows of the smallest image, so it is in the middle of any image.
        if self.ill.get() == Ill::Lost && at > 2 * 192 {
            self.test.set(0);
            return 0xff;
        }
        self.picture.try_borrow().ok().and_then(|p| p.get(at.checked_rem(p.len())?).copied()).unwrap_or(0)
    }
}

/// The module's end of the SPI bus.
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
        // The first byte is the command; the second byte of a write is the value.
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

/// The module's end of the I2C bus.
pub struct Bus<'s, 'a>(&'s Simulated<'a>);

/// Nothing answers at that address.
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
