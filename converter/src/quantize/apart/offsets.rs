//! Offsets of affine maps as an NPU holds them, and off the ties.
//!
//! An affine map is a depthwise convolution there: `y = rne(gain·(x − z) + offset)` has weight 127 and an int32
//! bias, so the offset is a multiple of `|gain|/127`. And a channel has only 256 inputs: where one of them comes
//! all but halfway between two results, the last bit of f32 decides, on every image in which it occurs, and what
//! then differs grows from layer to layer. A multiple beside the nearest has no such input.

use foldnet_archive::{Affine, Network, Step, Tensor};

/// Weight of an affine map's depthwise convolution where its gain is positive.
pub const AFFINE_WEIGHT: i8 = 127;
/// Distance from a tie, in steps of the result, at which a few roundings of f32 do not matter: products and offsets
/// are some hundreds at most, with 24 bits. No more than that, since each move is an error of its own.
const CLEAR: f64 = 2e-4;
/// Multiples beside the nearest that are looked at, on each side.
const BESIDE: i32 = 4;

/// Gives every affine map offsets that its NPU can hold.
pub fn settle(network: &mut Network) {
    let tensors = &network.tensors;
    for step in &mut network.steps {
        if let Step::Affine(a) = step {
            let (x, y) = (&tensors[a.x], &tensors[a.y.tensor]);
            hold(a, x, y);
        }
    }
}

/// The same for one that reads and writes these.
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

/// How far the input that comes nearest to a tie is from it; results that are clamped have none.
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
            // As near as an f32 comes to it.
            assert!(g == 0.0 && o == w || (k - k.round()).abs() < 1e-3 + k.abs() * 1.2e-7, "{g}: {k}");
            assert!((o - w).abs() <= unit * (BESIDE as f32 + 0.51), "{g}: {w} became {o}");
            let clear = from_tie(g, o, -7, [0.0, 147.0]);
            assert!(g == 0.0 || clear > 1e-4, "{g}: {clear} from a tie");
        }
        // What can be held already stays.
        let before = a.clone();
        hold(&mut a, &tensor(-7), &tensor(-20));
        assert_eq!(a.offset, before.offset);
    }
}
