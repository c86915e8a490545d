//! Chooses the range of int8 logits.

use foldnet::{Session, SessionError};
use foldnet_archive::Network;

use crate::image::Pixels;
use crate::quantize::apart::Quantization;
use crate::quantize::score::{Distance, Measure};

/// The part of the range that remains above the greatest logit seen: others may be greater, and if several classes
/// reach the end, the first of them wins.
const ROOM: f32 = 0.125;

/// The fractions of the negative logits that are tried. In a softmax, values far below the greatest count as
/// nothing, and without them the steps are smaller.
const PARTS: [f32; 5] = [1.0, 0.75, 0.5, 0.25, 0.0];

/// Returns the range that changes the answers least on images.
pub fn range(network: &Network, images: &[Pixels], measure: Measure) -> Result<Quantization, SessionError> {
    let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 0)?;
    let rows: Vec<Vec<f32>> = images.iter().map(|pixels| session.run(pixels.values()).to_vec()).collect();
    let ends = |(lo, hi): (f32, f32), &logit: &f32| (lo.min(logit), hi.max(logit));
    let (lo, hi) = rows.iter().flatten().fold((0.0_f32, 0.0_f32), ends);
    // Only a softmax has a divergence. For other functions every number counts, and none is clipped.
    let divergence = |range: Quantization| {
        let rounded: Vec<Vec<f32>> =
            rows.iter().map(|row| row.iter().map(|&v| range.rounded(v)).collect()).collect();
        Some((Distance::between(&rows, &rounded, measure).kl?, range))
    };
    let tried = PARTS.into_iter().filter_map(|part| divergence(with_room(lo * part, hi)));
    let best = tried.min_by(|a, b| a.0.total_cmp(&b.0));
    Ok(best.map_or_else(|| with_room(lo, hi), |(_, range)| range))
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
