//! Converts a camera's pixels to RGB.
//!
//! YUYV is BT.601 in full range, as OmniVision's sensors produce it. With U′ = U − 128 and V′ = V − 128, in 13-bit
//! fixed point, rounded like the host's `runtime camera`:
//! ```text
//! R = (2¹³·Y            + 11485·V′ + 2¹²) >> 13, clamped to 0…255
//! G = (2¹³·Y −  2819·U′ −  5850·V′ + 2¹²) >> 13
//! B = (2¹³·Y + 14516·U′            + 2¹²) >> 13
//! ```
//! RGB565 repeats its high bits in the low ones, so that white is 255.

/// The format of a row's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// `Y₀ U Y₁ V`: four bytes for two pixels.
    Yuyv,
    /// `RRRRRGGG GGGBBBBB`: high byte first.
    Rgb565,
}

impl PixelFormat {
    /// Returns the size in bytes of a pixel.
    pub const fn bytes(self) -> usize {
        2
    }

    /// Returns pixel `x` of a row, or black beyond its end.
    #[inline(always)]
    pub fn rgb(self, row: &[u8], x: usize) -> [u8; 3] {
        match self {
            Self::Yuyv => match row.get(x / 2 * 4..x / 2 * 4 + 4) {
                Some(&[y0, u, y1, v]) => yuv(if x & 1 == 0 { y0 } else { y1 }, u, v),
                _ => [0; 3],
            },
            Self::Rgb565 => match row.get(x * 2..x * 2 + 2) {
                Some(&[high, low]) => rgb565(u16::from_be_bytes([high, low])),
                _ => [0; 3],
            },
        }
    }
}

fn yuv(y: u8, u: u8, v: u8) -> [u8; 3] {
    let y = (i32::from(y) << 13) + (1 << 12);
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [y + 11_485 * v, y - 2_819 * u - 5_850 * v, y + 14_516 * u].map(|sum| (sum >> 13).clamp(0, 255) as u8)
}

fn rgb565(pixel: u16) -> [u8; 3] {
    let (r, g, b) = ((pixel >> 11) as u8, (pixel >> 5 & 63) as u8, (pixel & 31) as u8);
    [r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes BT.601's formula in f64.
    fn exact(y: u8, u: u8, v: u8) -> [f64; 3] {
        let (y, u, v) = (f64::from(y), f64::from(u) - 128.0, f64::from(v) - 128.0);
        let (r, b) = (y + 1.402 * v, y + 1.772 * u);
        [r, (y - 0.299 * r - 0.114 * b) / 0.587, b].map(|c| c.clamp(0.0, 255.0))
    }

    #[test]
    fn yuv_is_the_standards_but_for_rounding() {
        for y in (0..=255).step_by(3) {
            for u in (0..=255).step_by(5) {
                for v in (0..=255).step_by(5) {
                    for (a, b) in yuv(y, u, v).iter().zip(exact(y, u, v)) {
                        assert!((f64::from(*a) - b).abs() < 0.54, "{y} {u} {v}: {a} for {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn pixels_stand_where_they_are_said_to() {
        let row = [10, 128, 20, 128, 30, 128, 40, 128];
        for (x, grey) in [10, 20, 30, 40].into_iter().enumerate() {
            assert_eq!(PixelFormat::Yuyv.rgb(&row, x), [grey; 3]);
        }
        assert_eq!(PixelFormat::Yuyv.rgb(&row, 4), [0; 3]);
        let row = [0xf8, 0x00, 0x07, 0xe0, 0x00, 0x1f, 0x84];
        let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]];
        for (x, colour) in colours.into_iter().enumerate() {
            assert_eq!(PixelFormat::Rgb565.rgb(&row, x), colour);
        }
    }
}
