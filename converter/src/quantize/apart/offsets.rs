//! Restricts offsets of affine maps to values that an NPU can represent, and moves them away from ties.
//!
//! On an NPU an affine map is a depthwise convolution: `y = rne(gain·(x − z) + offset)` has weight 127 and an
//! int32 bias, so the offset is a multiple of `|gain|/127`. A channel has only 256 inputs. If one of them is
//! nearly halfway between two results, the last bit of f32 decides on every image in which it occurs, and the
//! difference grows from layer to layer. A multiple near the nearest one has no such input.

use foldnet_archive::{Affine, Network, Step, Tensor};

/// The weight of an affine map's depthwise convolution if its gain is positive.
pub const AFFINE_WEIGHT: i8 = 127;
/// The distance from a tie, in steps of the result, at which a few roundings of f32 do not matter: products and
/// offsets are at most some hundreds, with 24 bits. It is not larger, since each move is itself an error.
const CLEAR: f64 = 2e-4;
/// The number of multiples near the nearest one that are tried, on each side.
const BESIDE: i32 = 4;

/// Gives every affine map offsets that its NPU can represent.
pub fn settle(network: &mut Network) {
    let tensors = &network.tensors;
    for step in &mut network.steps {
        if let Step::Affine(a) = step {
            let (x, y) = (&tensors[a.x], &tensors[a.y.tensor]);
            hold(a, x, y);
        }
    }
}

/// Does so for one affine map that reads and writes these tensors.
pub fn hold(a: &mut Affine, x: &Tensor, y: &Tensor) {
    let range = [f64::from(a.y.lo) - f64::from(y.zero), f64::from(a.y.hi) - f64::from(y.zero)];
    for (offset, &gain) in a.offset.iter_mut().zip(&a.gain) {
        let unit = f64::from(gain.abs()) / f64::from(AFFINE_WEIGHT);
        if unit == 0.0 {
            continue;
        }
        let nearest = (f64::from(*offset) / unit).round_ties_even();
        let mut best = (-1.0, *offset);
        for beside in std::iter::once(0).chain((1..=BESIDE).flat_map(|n| [n, -n])) {
            let candidate = ((nearest + f64::from(beside)) * unit) as f32;
            let clear = from_tie(gain, candidate, x.zero, range);
            if clear > best.0 {
                best = (clear, candidate);
            }
            if clear >= CLEAR {
                break;
            }
        }
        *offset = best.1;
    }
}

/// Returns the distance from a tie of the input that is nearest to one; clamped results have no tie.
fn from_tie(gain: f32, offset: f32, zero: i8, [lo, hi]: [f64; 2]) -> f64 {
    (i8::MIN..=i8::MAX)
        .map(|x| f64::from(gain) * (f64::from(x) - f64::from(zero)) + f64::from(offset))
        .filter(|v| (lo - 1.0..=hi + 1.0).contains(v))
        .map(|v| (v - v.floor() - 0.5).abs())
        .fold(0.5, f64::min)
}

#[cfg(test)]
mod tests {
    use foldnet_archive::{Out, testing::every_step};

    use super::*;

    #[test]
    fn offsets_are_multiples_near_what_was_wished_and_no_input_is_near_a_tie() {
        let network = every_step();
        let tensor = |zero| Tensor { zero, ..network.tensors[0].clone() };
        let gain: Vec<f32> =
            (1..200).map(|n| if n % 3 == 0 { -0.013 } else { 0.017 } * n as f32).chain([0.5, 0.0]).collect();
        let wished: Vec<f32> = (0..gain.len()).map(|n| 0.37 * n as f32 - 30.0).collect();
        let y = Out { tensor: 1, lo: -20, hi: 127 };
        let mut a = Affine { name: "a".into(), x: 0, y, gain: gain.clone(), offset: wished.clone() };
        hold(&mut a, &tensor(-7), &tensor(-20));
        for ((&g, &o), &w) in gain.iter().zip(&a.offset).zip(&wished) {
            let unit = g.abs() / 127.0;
            let k = f64::from(o) / f64::from(unit);
            // The value is as close as an f32 can be.
            assert!(g == 0.0 && o == w || (k - k.round()).abs() < 1e-3 + k.abs() * 1.2e-7, "{g}: {k}");
            assert!((o - w).abs() <= unit * (BESIDE as f32 + 0.51), "{g}: {w} became {o}");
            let clear = from_tie(g, o, -7, [0.0, 147.0]);
            assert!(g == 0.0 || clear > 1e-4, "{g}: {clear} from a tie");
        }
        // Offsets that can already be represented stay unchanged.
        let before = a.clone();
        hold(&mut a, &tensor(-7), &tensor(-20));
        assert_eq!(a.offset, before.offset);
    }
}
