//! Weights: symmetric, one scale per output channel, |q| ≤ 127.
//!
//! ```text
//! q = clamp(rne(w / s), −127, 127)      s chosen to minimize Σ_i h_i·(w_i − s·q_i)²
//! ```
//! with `h_i` the mean square of the input that weight `i` meets: the error of the layer's output when
//! inputs are uncorrelated. Clipping the largest weights rarely pays at 8 bits per channel, but where
//! one weight stands far out it does. Krishnamoorthi, *Quantizing deep convolutional networks for
//! efficient inference*, 2018, section 3.

/// One channel's weights as integers and their scale. A channel of zeros has scale 1.
pub fn channel(weights: &[f32], importance: &[f32]) -> (Vec<i8>, f32) {
    let max = weights.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let full = max / 127.0;
    // Below this, the scale of a convolution could become denormal.
    if full < 1e-30 {
        return (vec![0; weights.len()], 1.0);
    }
    let mut best = (f64::INFINITY, full);
    for percent in (60..=100).rev() {
        let scale = full * percent as f32 / 100.0;
        let error = weights.iter().zip(importance).fold(0.0, |sum, (&w, &h)| {
            let e = f64::from(w - scale * f32::from(round(w, scale)));
            sum + f64::from(h) * e * e
        });
        if error < best.0 {
            best = (error, scale);
        }
    }
    (with_scale(weights, best.1), best.1)
}

/// The step of weights that lie on one grid of 127 steps to each side already, as those of a model that
/// was quantized with one scale for the whole layer do. (With a scale per channel [`channel`] finds it.)
pub fn grid(weights: &[f32]) -> Option<f32> {
    let step = weights.iter().fold(0.0f32, |m, w| m.max(w.abs())) / 127.0;
    let on = |w: &f32| ((w / step).round() - w / step).abs() < 1e-3;
    (step > 1e-30 && weights.iter().all(on)).then_some(step)
}

/// One channel's weights at a given scale.
pub fn with_scale(weights: &[f32], scale: f32) -> Vec<i8> {
    weights.iter().map(|&w| round(w, scale)).collect()
}

fn round(w: f32, scale: f32) -> i8 {
    (w / scale).round_ties_even().clamp(-127.0, 127.0) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_grid_is_found_where_there_is_one() {
        let weights: Vec<f32> = [3, -127, 0, 64, 12].map(|q| q as f32 * 0.013).to_vec();
        assert!((grid(&weights).unwrap() - 0.013).abs() < 1e-7);
        assert_eq!(grid(&[0.1, 0.234, -0.77, 0.5]), None);
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
