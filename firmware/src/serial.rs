//! Adapts a HAL's buffered UART to the classify loop, which needs reads that do not wait.

use embedded_io::{ErrorType, Read, ReadReady};

/// Returns received bytes at once; no bytes are not the end.
pub struct Received<R>(pub R);

impl<R: ErrorType> ErrorType for Received<R> {
    type Error = R::Error;
}

impl<R: Read + ReadReady> Read for Received<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize, R::Error> {
        if self.0.read_ready()? { self.0.read(to) } else { Ok(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that would wait forever if nothing is there.
    struct Line(Vec<u8>);

    impl ErrorType for Line {
        type Error = core::convert::Infallible;
    }

    impl ReadReady for Line {
        fn read_ready(&mut self) -> Result<bool, Self::Error> {
            Ok(!self.0.is_empty())
        }
    }

    impl Read for Line {
        fn read(&mut self, to: &mut [u8]) -> Result<usize, Self::Error> {
            assert!(!self.0.is_empty(), "this would wait");
            let n = to.len().min(self.0.len());
            to[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    #[test]
    fn an_empty_line_is_not_waited_for() {
        let (mut received, mut to) = (Received(Line(vec![1, 2, 3])), [0; 2]);
        assert_eq!(received.read(&mut to), Ok(2));
        assert_eq!(received.read(&mut to), Ok(1));
        assert_eq!(received.read(&mut to), Ok(0));
    }
}
