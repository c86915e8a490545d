//! Shows the label on an SSD1306 display of 128×64 pixels, over I2C.
//!
//! The display is optional: if it is absent or fails, the loop continues without it, and every [`Screen::RETRY`]th
//! label searches for it again.

use core::fmt::Write;

use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_graphics::text::{Baseline, Text};
use embedded_hal::i2c::I2c;
use heapless::String;
use ssd1306::mode::BufferedGraphicsMode;
use ssd1306::prelude::*;
use ssd1306::{I2CDisplayInterface, Ssd1306};

/// The display does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NoDisplay;

/// The display's driver.
pub struct Screen<I: I2c> {
    display: Ssd1306<I2CInterface<I>, DisplaySize128x64, BufferedGraphicsMode<DisplaySize128x64>>,
    up: bool,
    /// The number of labels to skip before the next attempt.
    skip: u32,
}

impl<I: I2c> Screen<I> {
    /// The number of labels between attempts to find a display.
    pub const RETRY: u32 = 32;

    /// Creates the driver on this bus, at the usual address 0x3C.
    pub fn new(bus: I) -> Self {
        let size = DisplaySize128x64;
        let display = Ssd1306::new(I2CDisplayInterface::new(bus), size, DisplayRotation::Rotate0);
        Self { display: display.into_buffered_graphics_mode(), up: false, skip: 0 }
    }

    /// Shows a label, or the start of it, and a line in a small font.
    pub fn show(&mut self, label: &str, print: &str) -> Result<(), NoDisplay> {
        if !self.up {
            if self.skip > 0 {
                self.skip -= 1;
                return Err(NoDisplay);
            }
            self.display.init().map_err(|_| self.failed())?;
            self.up = true;
        }
        self.display.clear_buffer();
        for (text, y, font) in [(label, 12, &FONT_10X20), (print, 48, &FONT_6X10)] {
            let style = MonoTextStyle::new(font, BinaryColor::On);
            // Drawing only writes to memory; only flushing can fail.
            let _ = Text::with_baseline(start(text, font), Point::new(0, y), style, Baseline::Top)
                .draw(&mut self.display);
        }
        self.display.flush().map_err(|_| self.failed())
    }

    /// Shows a label and the time that it took.
    pub fn label(&mut self, label: &str, ms: u32) -> Result<(), NoDisplay> {
        let mut print = String::<16>::new();
        // The text has at most eleven characters.
        let _ = write!(print, "{ms} ms");
        self.show(label, &print)
    }

    fn failed(&mut self) -> NoDisplay {
        (self.up, self.skip) = (false, Self::RETRY);
        NoDisplay
    }
}

/// Returns as much of a text as fits the display's width.
fn start<'t>(text: &'t str, font: &MonoFont<'_>) -> &'t str {
    let most = 128 / font.character_size.width as usize;
    text.char_indices().nth(most).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use embedded_hal::i2c::{ErrorKind, ErrorType, Operation};

    /// A display's memory, filled by horizontal addressing as in the SSD1306's data sheet.
    #[derive(Default)]
    struct Panel {
        absent: bool,
        columns: (u8, u8),
        pages: (u8, u8),
        at: (u8, u8),
        memory: Vec<u8>,
    }

    impl Panel {
        fn command(&mut self, bytes: &[u8]) {
            match *bytes {
                [0x21, first, last] => (self.columns, self.at.0) = ((first, last), first),
                [0x22, first, last] => (self.pages, self.at.1) = ((first, last), first),
                _ => {}
            }
        }

        fn data(&mut self, bytes: &[u8]) {
            self.memory.resize(1024, 0);
            for &byte in bytes {
                self.memory[usize::from(self.at.1) * 128 + usize::from(self.at.0)] = byte;
                self.at.0 += 1;
                if self.at.0 > self.columns.1 {
                    (self.at.0, self.at.1) = (self.columns.0, self.at.1 + 1);
                }
                if self.at.1 > self.pages.1 {
                    self.at.1 = self.pages.0;
                }
            }
        }

        fn lit(&self, x: usize, y: usize) -> bool {
            self.memory[y / 8 * 128 + x] >> (y % 8) & 1 == 1
        }
    }

    struct Bus<'a>(&'a RefCell<Panel>);

    impl ErrorType for Bus<'_> {
        type Error = ErrorKind;
    }

    impl I2c for Bus<'_> {
        fn transaction(&mut self, address: u8, steps: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
            let mut panel = self.0.borrow_mut();
            if panel.absent || address != 0x3c {
                return Err(ErrorKind::Other);
            }
            for step in steps {
                match step {
                    Operation::Write([0x00, command @ ..]) => panel.command(command),
                    Operation::Write([0x40, data @ ..]) => panel.data(data),
                    _ => return Err(ErrorKind::Other),
                }
            }
            Ok(())
        }
    }

    /// Returns the expected pixels by drawing on a plain canvas.
    fn canvas(label: &str, print: &str) -> Vec<(i32, i32)> {
        use embedded_graphics::mock_display::MockDisplay;
        let mut lit = vec![];
        for (text, y, font) in [(label, 12, &FONT_10X20), (print, 48, &FONT_6X10)] {
            for (i, letter) in text.chars().enumerate() {
                let mut one = MockDisplay::new();
                one.set_allow_out_of_bounds_drawing(true);
                let style = MonoTextStyle::new(font, BinaryColor::On);
                let letter = letter.to_string();
                Text::with_baseline(&letter, Point::zero(), style, Baseline::Top).draw(&mut one).unwrap();
                let width = font.character_size.width as i32;
                for p in one.bounding_box().points().filter(|p| one.get_pixel(*p) == Some(BinaryColor::On)) {
                    lit.push((p.x + i as i32 * width, p.y + y));
                }
            }
        }
        lit
    }

    fn check(panel: &Panel, label: &str, print: &str) {
        let lit = canvas(label, print);
        for y in 0..64 {
            for x in 0..128 {
                assert_eq!(panel.lit(x, y), lit.contains(&(x as i32, y as i32)), "{label}: {x}, {y}");
            }
        }
    }

    #[test]
    fn shows_labels_one_after_the_other() {
        let panel = RefCell::new(Panel::default());
        let mut screen = Screen::new(Bus(&panel));
        screen.label("frog", 341).unwrap();
        check(&panel.borrow(), "frog", "341 ms");
        screen.label("automobile, convertible", u32::MAX).unwrap();
        check(&panel.borrow(), "automobile, ", "4294967295 ms");
    }

    #[test]
    fn a_display_that_comes_and_goes_is_found_again() {
        let panel = RefCell::new(Panel { absent: true, ..Panel::default() });
        let mut screen = Screen::new(Bus(&panel));
        assert_eq!(screen.label("cat", 1), Err(NoDisplay));
        panel.borrow_mut().absent = false;
        let tries = (0..=Screen::<Bus<'_>>::RETRY).filter(|_| screen.label("cat", 1).is_err()).count();
        assert_eq!(tries, Screen::<Bus<'_>>::RETRY as usize);
        check(&panel.borrow(), "cat", "1 ms");
        panel.borrow_mut().absent = true;
        assert_eq!(screen.label("dog", 1), Err(NoDisplay));
    }
}
