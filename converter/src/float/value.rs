//! The operators other than the convolution, on NHWC values of one image.

use foldnet_kernels::Shape;

use crate::graph::Window;

/// Computes `x·gain + offset` per channel.
pub fn affine(x: &[f32], gain: &[f32], offset: &[f32]) -> Vec<f32> {
    let factors = || gain.iter().zip(offset);
    x.chunks_exact(gain.len())
        .flat_map(|pixel| pixel.iter().zip(factors()).map(|(x, (gain, offset))| x * gain + offset))
        .collect()
}

/// Clips to two bounds, which may be infinite. NaN stays NaN, so that it is found in the result.
pub fn clip(x: &[f32], lo: f32, hi: f32) -> Vec<f32> {
    let clip = |v: f32| if v < lo { lo } else { v };
    x.iter().map(|&v| clip(v)).map(|v| if v > hi { hi } else { v }).collect()
}

/// Adds two tensors of one shape.
pub fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Multiplies each channel by its factor.
pub fn scale(x: &[f32], factors: &[f32]) -> Vec<f32> {
    x.chunks_exact(factors.len()).flat_map(|pixel| pixel.iter().zip(factors).map(|(x, f)| x * f)).collect()
}

/// Computes the mean of each channel over all pixels, with sums in f64.
pub fn mean(x: &[f32], shape: Shape) -> Vec<f32> {
    let mut sums = vec![0.0f64; shape.c];
    for pixel in x.chunks_exact(shape.c) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    sums.into_iter().map(|sum| (sum / shape.pixels() as f64) as f32).collect()
}

/// Computes the maximum over a window. Padding counts as zeros if `floor_at_zero`, otherwise it never wins.
pub fn max_pool(x: &[f32], from: Shape, window: &Window, to: Shape, floor_at_zero: bool) -> Vec<f32> {
    let mut y = vec![f32::NEG_INFINITY; to.len()];
    for (at, best) in y.chunks_exact_mut(to.c).enumerate() {
        for (dy, dx) in (0..window.kernel[0]).flat_map(|dy| (0..window.kernel[1]).map(move |dx| (dy, dx))) {
            let row = window.place(0, at / to.w, dy, 1, from.h);
            match row.zip(window.place(1, at % to.w, dx, 1, from.w)) {
                Some((row, column)) => {
                    let pixel = &x[(row * from.w + column) * from.c..][..from.c];
                    best.iter_mut().zip(pixel).for_each(|(best, &v)| *best = larger(*best, v));
                }
                None if floor_at_zero => best.iter_mut().for_each(|best| *best = larger(*best, 0.0)),
                None => {}
            }
        }
    }
    y
}

/// Returns the larger number; NaN if one of them is.
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Adds zeros around an image: top, left, bottom, right.
pub fn pad(x: &[f32], from: Shape, around: [usize; 4], to: Shape) -> Vec<f32> {
    let mut y = vec![0.0; to.len()];
    let [top, left, ..] = around;
    for (row, line) in x.chunks_exact((from.w * from.c).max(1)).enumerate() {
        y[((row + top) * to.w + left) * to.c..][..line.len()].copy_from_slice(line);
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_survives() {
        assert!(clip(&[f32::NAN], 0.0, 6.0)[0].is_nan());
        let window = Window { kernel: [1, 2], stride: [1, 2], pad: [0; 4] };
        let [from, to] = [2, 1].map(|w| Shape { h: 1, w, c: 1 });
        for x in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            assert!(max_pool(&x, from, &window, to, false)[0].is_nan());
        }
    }

    #[test]
    fn padding_of_a_pool_is_zero_or_nothing() {
        let window = Window { kernel: [3, 3], stride: [2, 2], pad: [1, 1, 1, 1] };
        let [from, to] = [3, 2].map(|side| Shape { h: side, w: side, c: 1 });
        let x: Vec<f32> = (1..10).map(|v| -(v as f32)).collect();
        assert_eq!(max_pool(&x, from, &window, to, false), [-1.0, -2.0, -4.0, -5.0]);
        assert_eq!(max_pool(&x, from, &window, to, true), [0.0; 4]);
    }

    #[test]
    fn zeros_surround_an_image() {
        let [from, to] = [(1, 2), (3, 4)].map(|(h, w)| Shape { h, w, c: 1 });
        let y = pad(&[1.0, 2.0], from, [1, 1, 1, 1], to);
        assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_mean_does_not_lose_small_numbers() {
        let x: Vec<f32> = [16_777_216.0].into_iter().chain([1.0; 63]).collect();
        let mean = mean(&x, Shape { h: 8, w: 8, c: 1 });
        assert_eq!(mean[0], ((16_777_216.0 + 63.0) / 64.0f64) as f32);
    }
}
