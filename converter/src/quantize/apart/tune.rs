//! Tunes the ranges of values that are rounded again, by the noise of the logits.
//!
//! [`super::Ranges`] finds the best range for each sum by itself. Here each end of each range is moved a little as
//! long as that improves the network's answers.

use foldnet_archive::{Network, Step, TensorId};

use super::Quantization;
use crate::quantize::QuantizeError;

/// The factors by which an end of a range is multiplied.
const FACTORS: [f32; 4] = [0.8, 1.25, 0.92, 1.08];

/// Tries ranges of the tensors from `first` on, at most this many times. `quality` rates a network.
pub fn tune(
    mut best: Network,
    first: TensorId,
    mut trials: u64,
    quality: &dyn Fn(&Network) -> Result<f64, QuantizeError>,
) -> Result<Network, QuantizeError> {
    let mut reached = quality(&best)?;
    for tensor in first..best.tensors.len() {
        for factor in FACTORS {
            for end in [true, false] {
                if trials == 0 {
                    return Ok(best);
                }
                trials -= 1;
                let (lo, hi) = reach(&best, tensor);
                let range = if end {
                    Quantization::covering(lo, hi * factor)
                } else {
                    Quantization::covering(lo * factor, hi)
                };
                let mut next = best.clone();
                rescale(&mut next, tensor, range);
                let found = quality(&next)?;
                if found > reached {
                    (best, reached) = (next, found);
                }
            }
        }
    }
    Ok(best)
}

/// Returns the lowest and the highest value that a tensor can represent.
fn reach(network: &Network, tensor: TensorId) -> (f32, f32) {
    let t = &network.tensors[tensor];
    let real = |q: f32| (q - f32::from(t.zero)) * t.scale;
    (real(-128.0), real(127.0))
}

/// Gives a tensor another range: the steps that write and read it use its new scale. It must be a tensor added by
/// [`super::apart`].
fn rescale(network: &mut Network, tensor: TensorId, range: Quantization) {
    let by = network.tensors[tensor].scale / range.scale;
    for step in &mut network.steps {
        match step {
            Step::Conv(c) if c.y.is_some_and(|y| y.tensor == tensor) => {
                c.multiplier.iter_mut().for_each(|m| *m *= by);
            }
            Step::Add(add) => {
                if add.y.tensor == tensor {
                    add.a.1 *= by;
                    add.b.1 *= by;
                }
                for term in [&mut add.a, &mut add.b] {
                    if term.0 == tensor {
                        term.1 /= by;
                    }
                }
            }
            Step::Affine(a) if a.x == tensor => a.gain.iter_mut().for_each(|g| *g /= by),
            _ => {}
        }
    }
    (network.tensors[tensor].scale, network.tensors[tensor].zero) = (range.scale, range.zero);
}

#[cfg(test)]
mod tests {
    use foldnet::Session;
    use foldnet_archive::testing::every_step;
    use foldnet_kernels::dispatch;

    use super::*;
    use crate::image::Pixels;
    use crate::quantize::apart::{Ranges, apart};

    #[test]
    fn a_range_that_is_too_wide_is_narrowed() {
        let network = every_step();
        let images: Vec<Pixels> = (0..6_usize)
            .map(|n| {
                let values: Vec<u8> = (0..network.input().len()).map(|i| (i * (7 + n) % 251) as u8).collect();
                Pixels::new(network.input(), values).unwrap()
            })
            .collect();
        let parts = apart(&network, &Ranges::measure(&network, &images).unwrap());
        let first = network.tensors.len();
        assert!(parts.tensors.len() > first, "there is something to tune");
        let logits = |network: &Network| -> Vec<f32> {
            let mut session = Session::new(network, dispatch::by_name("portable").unwrap(), 1).unwrap();
            images.iter().flat_map(|p| session.run(p.values()).to_vec()).collect()
        };
        let truth = logits(&network);
        let quality = |n: &Network| {
            let noise: f64 = logits(n).iter().zip(&truth).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            Ok(-noise)
        };
        let mut wide = parts.clone();
        for tensor in first..wide.tensors.len() {
            let (lo, hi) = reach(&wide, tensor);
            rescale(&mut wide, tensor, Quantization::covering(16.0 * lo, 16.0 * hi));
        }
        wide.validate().unwrap();
        let before = quality(&wide).unwrap();
        let tuned = tune(wide.clone(), first, 1000, &quality).unwrap();
        tuned.validate().unwrap();
        let after = quality(&tuned).unwrap();
        assert!(before < 0.0 && after > before, "noise {} became {}", -before, -after);
        assert_eq!(tune(wide.clone(), first, 0, &quality).unwrap(), wide);
        // Back and forth gives the same network, except for the last bits of its multipliers.
        let mut again = parts.clone();
        let was = Quantization { scale: parts.tensors[first].scale, zero: parts.tensors[first].zero };
        rescale(&mut again, first, Quantization::covering(-1.0, 3.0));
        rescale(&mut again, first, was);
        let noise = quality(&again).unwrap() - quality(&parts).unwrap();
        assert!(noise.abs() <= 1e-3 * (1.0 - quality(&parts).unwrap()), "{noise}");
    }
}
