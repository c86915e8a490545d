//! Where int8 logits begin and end.

use foldnet::{Session, SessionError};
use foldnet_archive::Network;

use crate::image::Pixels;
use crate::quantize::apart::Quantization;

/// Part of the range that is left above the greatest logit seen: others may be greater, and where several
/// classes reach the end, the first of them wins.
const ROOM: f32 = 0.125;

/// From what the logits are on images.
pub fn range(network: &Network, images: &[Pixels]) -> Result<Quantization, SessionError> {
    let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 0)?;
    let (mut lo, mut hi) = (0.0_f32, 0.0_f32);
    for pixels in images {
        for &logit in session.run(pixels.values()) {
            (lo, hi) = (lo.min(logit), hi.max(logit));
        }
    }
    Ok(with_room(lo, hi))
}

fn with_room(lo: f32, hi: f32) -> Quantization {
    Quantization::covering(lo, hi + (hi - lo) * ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_logit_is_not_the_end_of_the_range() {
        let range = with_room(-6.0, 10.0);
        assert!((11.9..12.1).contains(&range.real(127)), "{range:?}");
        assert!((-6.05..-5.95).contains(&range.real(-128)), "{range:?}");
    }
}
