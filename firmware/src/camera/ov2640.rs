//! OmniVision's OV2640 over its two-wire bus: identification and set-up for small uncompressed images.
//!
//! The sensor produces 800×600. Its processor cuts a centred window with the shape of the requested image, divides
//! and zooms it down, and sends YUYV. The registers are those of the data sheet's two tables, device control for
//! the processor (bank 0) and for the sensor (bank 1); sizes are given in units of four.
//!
//! Every value was compared with two independent public drivers, Linux's `ov2640` and Espressif's: the sensor's
//! window and clock with their 800×600, and the processor's sizes, divider, zoom and format with their fields. Two
//! registers that the data sheet reserves are set because both drivers set them for this format. Other reserved
//! registers that they write (the sensor's analog part, gamma, white balance) keep their reset values, so an image
//! may have other colours and more noise than theirs.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

/// The sensor's address.
pub const ADDRESS: u8 = 0x30;
/// The high byte of its product number. The low byte is the revision.
pub const PRODUCT: u8 = 0x26;

/// Selects the bank: the following writes go to the processor or to the sensor.
pub(crate) const BANK: u8 = 0xff;
pub(crate) const PROCESSOR: u8 = 0;
pub(crate) const SENSOR: u8 = 1;
/// Sensor: reset, and the resolution of the readout.
pub(crate) const COM7: u8 = 0x12;
/// Sensor: product number.
pub(crate) const PIDH: u8 = 0x0a;
const PIDL: u8 = 0x0b;
/// Processor: the format of the output, and its order.
pub(crate) const IMAGE_MODE: u8 = 0xda;
/// Processor: the size of the output.
pub(crate) const ZMOW: u8 = 0x5a;
pub(crate) const ZMOH: u8 = 0x5b;

/// The reason why the sensor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SensorFault {
    /// The sensor does not answer.
    Bus,
    /// Another part answers; contains its product number.
    Other(u16),
}

/// A size that the sensor's processor supports: sides are multiples of four, from 16×16 to 400×300.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    width: u16,
    height: u16,
}

impl Size {
    /// 160×120: the sensor's whole image.
    pub const QQVGA: Self = Self::new(160, 120);
    /// 96×96: the centre of the sensor's image.
    pub const SQUARE: Self = Self::new(96, 96);

    /// # Panics
    /// Panics if the sensor does not support the size; in a constant this is a compile error.
    pub const fn new(width: u16, height: u16) -> Self {
        assert!(width.is_multiple_of(4) && height.is_multiple_of(4) && width >= 16 && height >= 16);
        assert!(width <= 400 && height <= 300, "the divider is set for small pictures");
        Self { width, height }
    }

    /// Returns columns and rows.
    pub const fn pixels(self) -> (usize, usize) {
        (self.width as usize, self.height as usize)
    }

    /// Returns the part of 800×600 that has this shape.
    const fn window(self) -> (u16, u16) {
        let (w, h) = (self.width as u32, self.height as u32);
        if w * 3 <= h * 4 { ((600 * w / h) as u16 & !7, 600) } else { (800, (800 * h / w) as u16 & !7) }
    }
}

/// Sensor settings that precede those of its processor, after the reset.
const SENSOR_SET_UP: &[(u8, u8)] = &[
    (BANK, SENSOR),
    (COM7, 0x40), // 800×600
    (0x11, 0x01), // CLKRC: half the clock, so that the FIFO and long wires keep up
    (0x13, 0xe5), // COM8: exposure and gain by itself, without flicker
    (0x14, 0x48), // COM9: at most 8 × gain
    (0x17, 0x11), // HREFST: what is read out starts at column 8 · 0x11 …
    (0x18, 0x43), // HREFEND: … and ends at 8 · 0x43
    (0x19, 0x00), // VSTRT
    (0x1a, 0x4b), // VEND
    (0x32, 0x09), // REG32: the low bits of HREFST and HREFEND
    (0x03, 0x0a), // COM1: the low bits of VSTRT and VEND
];

/// Initializes the sensor for images of this size in YUYV. This takes about a third of a second, in which exposure
/// and gain settle.
pub fn set_up<B: I2c, D: DelayNs>(bus: &mut B, delay: &mut D, size: Size) -> Result<(), SensorFault> {
    let id = identify(bus)?;
    if id >> 8 != u16::from(PRODUCT) {
        return Err(SensorFault::Other(id));
    }
    write(bus, &[(BANK, SENSOR), (COM7, 0x80)])?;
    delay.delay_ms(10);
    write(bus, SENSOR_SET_UP)?;
    let fours = |n: u16| (n / 4) as u8;
    let high = |n: u16| (n >> 8) as u8;
    let (window, out) = (size.window(), (size.width, size.height));
    let offset = ((800 - window.0) / 2, (600 - window.1) / 2);
    // Halve as often as possible while leaving enough for the zoom, which can only reduce.
    let mut halvings = 0;
    while halvings < 2 && window.0 >> (halvings + 1) >= out.0 && window.1 >> (halvings + 1) >= out.1 {
        halvings += 1;
    }
    write(
        bus,
        &[
            (BANK, PROCESSOR),
            (0xe0, 0x04),                                 // RESET: hold what sends
            (0xc0, 100),                                  // HSIZE8: it gets 800 …
            (0xc1, 75),                                   // VSIZE8: … × 600
            (0x8c, 0x00),                                 // SIZEL: their low bits
            (0x86, 0x3d),                                 // CTRL2: windowing, colours, averaged chroma
            (0x50, 0x80 | halvings << 3 | halvings),      // CTRLI: divides both sides
            (0x51, fours(window.0)),                      // HSIZE
            (0x52, fours(window.1)),                      // VSIZE
            (0x53, offset.0 as u8),                       // XOFFL
            (0x54, offset.1 as u8),                       // YOFFL
            (0x55, high(offset.1) << 4 | high(offset.0)), // VHYX: their high bits
            (0x57, 0x00),                                 // TEST: HSIZE's high bit
            (ZMOW, fours(out.0)),
            (ZMOH, fours(out.1)),
            (0x5c, 0x00),       // ZMHH: their high bits
            (0xd3, 0x04),       // R_DVP_SP: divides the pixel clock
            (IMAGE_MODE, 0x00), // YUV 4:2:2, Y first
            (0xd7, 0x01),       // reserved, for YUV
            (0xe1, 0x67),       // reserved, for YUV
            (0x05, 0x00),       // R_BYPASS: use the processor
            (0xe0, 0x00),       // RESET: go
        ],
    )?;
    delay.delay_ms(300);
    Ok(())
}

/// Reads the product number.
fn identify<B: I2c>(bus: &mut B) -> Result<u16, SensorFault> {
    write(bus, &[(BANK, SENSOR)])?;
    Ok(u16::from_be_bytes([read(bus, ADDRESS, PIDH)?, read(bus, ADDRESS, PIDL)?]))
}

fn write<B: I2c>(bus: &mut B, registers: &[(u8, u8)]) -> Result<(), SensorFault> {
    write_to(bus, ADDRESS, registers)
}

/// Writes registers one after another.
pub(crate) fn write_to<B: I2c>(bus: &mut B, address: u8, registers: &[(u8, u8)]) -> Result<(), SensorFault> {
    for &(register, value) in registers {
        bus.write(address, &[register, value]).map_err(|_| SensorFault::Bus)?;
    }
    Ok(())
}

/// Reads a register. OmniVision's bus has no repeated start: address and value are two transfers.
pub(crate) fn read<B: I2c>(bus: &mut B, address: u8, register: u8) -> Result<u8, SensorFault> {
    let mut value = [0];
    bus.write(address, &[register]).map_err(|_| SensorFault::Bus)?;
    bus.read(address, &mut value).map_err(|_| SensorFault::Bus)?;
    Ok(value[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_the_pictures_shape() {
        assert_eq!(Size::QQVGA.window(), (800, 600));
        assert_eq!(Size::SQUARE.window(), (600, 600));
        assert_eq!(Size::new(160, 80).window(), (800, 400));
    }
}
