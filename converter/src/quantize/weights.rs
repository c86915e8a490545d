//! Quantizes weights: symmetric, one scale per output channel, |q| ≤ 127.
//!
//! ```text
//! q = clamp(rne(w / s), −127, 127)      s chosen to minimize Σ_i h_i·(w_i − s·q_i)²
//! ```
//! with `h_i` the mean square of the input that is multiplied with weight `i`. This is the error of the layer's
//! output if inputs are uncorrelated. Clipping the largest weights rarely pays at 8 bits per channel, except if
//! one weight is much larger than the others. Krishnamoorthi, *Quantizing deep convolutional networks for
//! efficient inference*, 2018, section 3.

/// The number of scales that are tried: from the one without clipping down to 60 % of it.
const SCALES: usize = 41;

/// Returns one channel's weights as integers, and their scale. A channel of zeros has scale 1.
pub fn channel(weights: &[f32], importance: &[f32]) -> (Vec<i8>, f32) {
    let max = weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let full = max / 127.0;
    // Below this, the scale of a convolution could become denormal.
    if full < 1e-30 {
        return (vec![0; weights.len()], 1.0);
    }
    let scales: [f32; SCALES] = std::array::from_fn(|i| full * (100 - i) as f32 / 100.0);
    let mut errors = [0.0; SCALES];
    for (&w, &h) in weights.iter().zip(importance) {
        // One weight at all scales: the compiler makes vectors of this loop, and each sum keeps its order.
        for (error, &scale) in errors.iter_mut().zip(&scales) {
            let e = f64::from(w - scale * level(w, scale));
            *error += f64::from(h) * e * e;
        }
    }
    let mut best = (f64::INFINITY, full);
    for (error, scale) in errors.into_iter().zip(scales) {
        if error < best.0 {
            best = (error, scale);
        }
    }
    (with_scale(weights, best.1), best.1)
}

/// Returns the step of weights that are already on a grid, as in a channel of a model that is already quantized.
/// The coarsest step would do, but the finest one for int8 is returned, because the bias is stored in its units.
/// Returns `None` if they are on no grid.
///
/// PyTorch's observers use −128, which our weights cannot have: such a weight loses its last step (of 128), and
/// all others stay unchanged.
pub fn grid(weights: &[f32]) -> Option<f32> {
    let max = weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let on = |step: f32| {
        let off = |w: &f32| ((w / step).round() - w / step).abs() < 1e-3;
        step > 1e-30 && weights.iter().all(off)
    };
    let step = (1..=127).rev().chain([128]).map(|levels| max / levels as f32).find(|&step| on(step))?;
    // The quotient may differ from the original step in its last bits. The original one reproduces all weights.
    let exact = |step: f32| weights.iter().all(|w| (w / step).round() * step == *w);
    let near = |steps: i32| f32::from_bits(step.to_bits().saturating_add_signed(steps));
    Some([0, -1, 1, -2, 2].map(near).into_iter().find(|&step| exact(step)).unwrap_or(step))
}

/// Rounds one channel's weights at a given scale.
pub fn with_scale(weights: &[f32], scale: f32) -> Vec<i8> {
    weights.iter().map(|&w| level(w, scale) as i8).collect()
}

/// Returns the integer, −127…127, that is nearest to `w / scale`; of two, the even one.
fn level(w: f32, scale: f32) -> f32 {
    // Numbers of this size are integers, so the addition rounds. Unlike `round_ties_even`, it is no call on processors
    // whose common instructions cannot round.
    const INTEGERS: f32 = 12_582_912.0; // 1.5·2²³
    ((w / scale).clamp(-127.0, 127.0) + INTEGERS) - INTEGERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_rounded_to_even_and_clipped() {
        let levels = [0.5, 1.5, 2.5, -0.5, -1.5, 126.4, 126.5, 127.5, 300.0, -300.0, 0.499_999_97]
            .map(|w| level(w, 1.0));
        assert_eq!(levels, [0.0, 2.0, 2.0, 0.0, -2.0, 126.0, 126.0, 127.0, 127.0, -127.0, 0.0]);
    }

    #[test]
    fn a_channel_of_zeros_is_safe() {
        assert_eq!(channel(&[0.0; 4], &[1.0; 4]), (vec![0; 4], 1.0));
    }

    #[test]
    fn ordinary_weights_use_the_full_range() {
        let weights: Vec<f32> = (0..255).map(|i| (i - 127) as f32 * 0.01).collect();
        let (q, scale) = channel(&weights, &[1.0; 255]);
        assert_eq!(q, (-127..=127).map(|i| i as i8).collect::<Vec<_>>());
        assert!((scale - 0.01).abs() < 1e-7);
    }

    #[test]
    fn integers_come_back_from_the_grid_they_were_made_on() {
        let back = |q: &[i8], scale: f32| {
            let weights: Vec<f32> = q.iter().map(|&q| f32::from(q) * scale).collect();
            let found = grid(&weights).unwrap();
            let made: Vec<f32> = with_scale(&weights, found).iter().map(|&q| f32::from(q) * found).collect();
            (weights, made, found)
        };
        let whole: &[i8] = &[3, -127, 0, 64, 12];
        let narrow: &[i8] = &[3, -101, 0, 64, 12];
        for q in [whole, narrow] {
            let (weights, made, found) = back(q, 0.013);
            assert!((found - 0.013).abs() < 1e-7, "{found}");
            assert!(weights.iter().zip(&made).all(|(w, m)| (w - m).abs() < 1e-6), "{weights:?} {made:?}");
        }
        // The original step is returned, to the last bit, and with it the original rounding.
        for scale in [0.013, 0.024_57, 3.3e-5, 0.081_3, 1.7] {
            for largest in [127i8, 126, 101, 97, 65] {
                assert_eq!(back(&[3, -largest, 0, 64, 12], scale).2.to_bits(), f32::to_bits(scale));
            }
        }
        // Only every second step is used: the finer grid contains the same weights.
        let (weights, made, found) = back(&[7, -50, 22], 0.02);
        assert!((found - 0.01).abs() < 1e-7 && weights.iter().zip(&made).all(|(w, m)| (w - m).abs() < 1e-6));
    }

    #[test]
    fn a_weight_of_minus_128_loses_its_last_step_alone() {
        let q = [-128.0, 127.0, 3.0, -77.0, 64.0f32];
        let weights = q.map(|q| q * 0.013);
        let found = grid(&weights).unwrap();
        assert!((found - 0.013).abs() < 1e-7);
        assert_eq!(with_scale(&weights, found), [-127, 127, 3, -77, 64]);
    }

    #[test]
    fn other_weights_are_on_no_grid() {
        assert_eq!(grid(&[0.1, 0.234, -0.77, 0.5, 0.123, 0.071]), None);
        assert_eq!(grid(&[0.0; 4]), None);
    }

    #[test]
    fn a_weight_that_meets_no_input_is_clipped() {
        let mut importance = [1.0; 9];
        importance[8] = 0.0;
        let weights = [0.13, -0.11, 0.071, 0.0351, -0.127, 0.093, 0.012, 0.043, 0.2];
        let (q, scale) = channel(&weights, &importance);
        assert_eq!(q[8], 127);
        assert!(scale < 0.2 / 127.0 * 0.75, "{scale}");
    }
}
