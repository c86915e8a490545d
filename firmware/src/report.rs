//! The results line: one JSON object per line, written without `core::fmt`, which contains panics.

use embedded_io::Write;

/// Writes pieces of text and numbers; keeps the first error and drops everything after it.
pub struct Report<'a, W> {
    to: &'a mut W,
    failed: bool,
}

impl<'a, W: Write> Report<'a, W> {
    /// Writes to this stream.
    pub fn new(to: &'a mut W) -> Self {
        Self { to, failed: false }
    }

    /// Writes text unchanged.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> &mut Self {
        while !bytes.is_empty() && !self.failed {
            match self.to.write(bytes) {
                Ok(n) if n > 0 => bytes = bytes.get(n..).unwrap_or(&[]),
                _ => self.failed = true,
            }
        }
        self
    }

    /// Writes a decimal number.
    pub fn number(&mut self, mut n: u32) -> &mut Self {
        let mut digits = [0; 10];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (n % 10) as u8;
            n /= 10;
            used += 1;
            if n == 0 {
                break;
            }
        }
        let start = digits.len().saturating_sub(used);
        self.bytes(digits.get(start..).unwrap_or(&[]))
    }

    /// Writes eight hexadecimal digits.
    pub fn hex(&mut self, n: u32) -> &mut Self {
        for shift in (0..32).step_by(4).rev() {
            let digit = (n >> shift & 15) as u8;
            self.bytes(&[if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }]);
        }
        self
    }

    /// Closes the object and ends the line; returns whether all of it was written.
    pub fn close(&mut self) -> bool {
        self.text("}\n");
        !self.failed && self.to.flush().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_numbers() {
        let mut line = Vec::new();
        let mut report = Report::new(&mut line);
        report.number(0).text(" ").number(907).text(" ").number(u32::MAX).text(" ").hex(0x3f80_00af);
        assert!(report.close());
        assert_eq!(line, b"0 907 4294967295 3f8000af}\n");
    }
}
