//! Images from a camera: rows are resized as they arrive, directly into the network's memory.
//!
//! ```text
//! driver (Rows) ── row of YUYV or RGB565 ── pixel.rs: RGB ── Resizer ──▶ pixels (u8, HWC)
//! ```
//! The full image is never stored: only one row of it, and as many narrow rows as the resizing filter is high.

pub mod arducam;
pub mod ov2640;
pub mod ov7670;
pub mod pixel;
#[cfg(any(test, feature = "simulated"))]
pub mod simulated;

use crate::frame::{FrameError, FrameSource, Progress};
pub use foldnet_image::resample::{Axis, Resizer, Weights, taps};
pub use pixel::PixelFormat;

/// A camera that delivers its image row by row.
///
/// For driver authors: every call **must** return after a bounded time, about a millisecond, except for
/// [`Rows::start`], which may take half a second. A row that is not ready is [`Progress::Waiting`]. A driver
/// counts its calls and **must** give up with an error when it has waited too long.
pub trait Rows {
    /// Returns the columns and rows of an image.
    fn size(&self) -> (usize, usize);
    /// Returns the pixel format of a row.
    fn format(&self) -> PixelFormat;
    /// Initializes the camera, whatever its state. The next row is an image's first.
    fn start(&mut self) -> Result<(), FrameError>;
    /// Fills `row`, which has the size of a row, with the next row. Rows come from top to bottom; after the last
    /// one the next image starts.
    fn poll_row(&mut self, row: &mut [u8]) -> Result<Progress, FrameError>;
    /// Waits ten milliseconds.
    fn pause(&mut self);
}

/// The number of pauses between a failed camera and the next attempt: a second.
const PAUSES: u32 = 100;

/// A camera as a source of images. After an error it is initialized again every second until it works.
pub struct Camera<'a, R> {
    rows: R,
    row: &'a mut [u8],
    resizer: Resizer<'a>,
    up: bool,
    pauses: u32,
}

impl<'a, R: Rows> Camera<'a, R> {
    /// Creates a source. `row` needs room for one of the camera's rows; returns `None` if it is too small, or if
    /// the resizer is for another size.
    pub fn new(rows: R, row: &'a mut [u8], resizer: Resizer<'a>) -> Option<Self> {
        let (width, height) = rows.size();
        let row = row.get_mut(..width * rows.format().bytes())?;
        (resizer.from() == (width, height)).then_some(Self { rows, row, resizer, up: false, pauses: 0 })
    }

    /// Returns the driver.
    pub fn rows(&mut self) -> &mut R {
        &mut self.rows
    }

    fn failed(&mut self, error: FrameError) -> FrameError {
        (self.up, self.pauses) = (false, PAUSES);
        error
    }
}

impl<R: Rows> FrameSource for Camera<'_, R> {
    fn poll(&mut self, pixels: &mut [u8]) -> Result<Progress, FrameError> {
        if !self.up {
            if self.pauses > 0 {
                self.pauses -= 1;
                self.rows.pause();
                return Ok(Progress::Waiting);
            }
            self.rows.start().map_err(|e| self.failed(e))?;
            self.resizer.restart();
            self.up = true;
            return Ok(Progress::Waiting);
        }
        match self.rows.poll_row(self.row) {
            Ok(Progress::Waiting) => Ok(Progress::Waiting),
            Ok(Progress::Complete) => {
                let format = self.rows.format();
                let complete = self.resizer.push(|x| format.rgb(self.row, x), pixels);
                Ok(if complete { Progress::Complete } else { Progress::Waiting })
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}

#[cfg(test)]
mod tests;
