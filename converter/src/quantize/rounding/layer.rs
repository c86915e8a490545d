//! Chooses the integers of one layer.

use super::moments::Moments;
use super::{Care, Rounded};
use crate::graph::Conv;
use crate::quantize::build::Packed;
use crate::quantize::weights;

/// The number of times that every weight is considered again.
const ROUNDS: usize = 30;
/// The scales tried per channel, relative to the best one for nearest rounding.
pub const SCALES: [f32; 5] = [1.0, 0.95, 0.9, 0.85, 1.05];
/// Layers with more multiplications than this per scale keep that scale.
const SCALE_WORK: usize = 60_000_000;

/// Returns the covariance dampened by 1 % of its mean diagonal.
fn dampened(covariance: &[f64], n: usize) -> Vec<f64> {
    let mut c = covariance.to_vec();
    let damp = 0.01 * (0..n).map(|i| c[i * n + i]).sum::<f64>() / n as f64 + 1e-9;
    (0..n).for_each(|i| c[i * n + i] += damp);
    c
}

/// Rounds one layer, at the given scales or at the best ones; returns `None` if the covariance has no inverse.
pub fn round_layer(conv: &Conv, moments: &Moments, given: Option<&Packed>, care: Care) -> Option<Rounded> {
    let n = moments.depth;
    if moments.count < 2.0 {
        return None;
    }
    let mean: Vec<f64> = moments.sum.iter().map(|s| s / moments.count).collect();
    let square = |i: usize| f64::from(moments.products[i * n + i]) / moments.count;
    let spread = |i: usize| square(i) - mean[i] * mean[i];
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| spread(b).total_cmp(&spread(a)).then(a.cmp(&b)));
    let covariance = moments.covariance(&order);
    let factor = inverse_factor(&dampened(&covariance, n), n)?;
    let importance: Vec<f32> = (0..n).map(|i| square(i) as f32).collect();
    let floor = importance.iter().copied().fold(0.0, f32::max).max(1e-12) * 1e-6;
    let importance: Vec<f32> = importance.iter().map(|s| s.max(floor)).collect();
    let many = conv.weights.len() * n / 2 <= SCALE_WORK;
    let mut rounded = Rounded {
        packed: Packed { weights: vec![0; conv.weights.len()], scale: Vec::new() },
        shift: Vec::new(),
    };
    for (o, weights) in conv.weights.chunks_exact(n).enumerate() {
        let start = given.map_or_else(|| weights::channel(weights, &importance).1, |p| p.scale[o]);
        let scales = if given.is_none() && many { &SCALES[..] } else { &SCALES[..1] };
        let ordered: Vec<f64> = order.iter().map(|&i| f64::from(weights[i])).collect();
        let (_, q, scale) = scales
            .iter()
            .map(|&part| {
                let scale = start * part;
                let (mut error, mut q) = round_channel(&ordered, f64::from(scale), &factor);
                if care == Care::Settle {
                    error = settle(&ordered, f64::from(scale), &covariance, &mut q);
                }
                (error, q, scale)
            })
            .min_by(|a, b| a.0.total_cmp(&b.0))?;
        let integers = &mut rounded.packed.weights[o * n..(o + 1) * n];
        order.iter().zip(q).for_each(|(&i, q)| integers[i] = q);
        let lost =
            |(i, &w): (usize, &f32)| mean[i] * (f64::from(w) - f64::from(scale) * f64::from(integers[i]));
        rounded.shift.push(weights.iter().enumerate().map(lost).sum());
        rounded.packed.scale.push(scale);
    }
    Some(rounded)
}

/// Returns one channel's integers, in the factor's order, and the remaining error.
fn round_channel(weights: &[f64], scale: f64, factor: &[f64]) -> (f64, Vec<i8>) {
    let n = weights.len();
    let mut left = weights.to_vec();
    let mut total = 0.0;
    let mut q = Vec::with_capacity(n);
    for i in 0..n {
        let level = (left[i] / scale).round_ties_even().clamp(-127.0, 127.0);
        let row = &factor[i * n..(i + 1) * n];
        let error = (left[i] - level * scale) / row[i];
        left[i + 1..].iter_mut().zip(&row[i + 1..]).for_each(|(w, u)| *w -= error * u);
        total += error * error;
        q.push(level as i8);
    }
    (total, q)
}

/// Moves single weights by one level as long as that reduces the error; returns the remaining error.
fn settle(weights: &[f64], scale: f64, covariance: &[f64], q: &mut [i8]) -> f64 {
    let n = weights.len();
    let mut errors: Vec<f64> = weights.iter().zip(&*q).map(|(w, &q)| w - scale * f64::from(q)).collect();
    let row = |i: usize| &covariance[i * n..(i + 1) * n];
    let mut slope: Vec<f64> = (0..n).map(|i| dot(row(i), &errors)).collect();
    for _ in 0..ROUNDS {
        let mut moved = false;
        for i in 0..n {
            // Of the two neighbours, only the one in the direction of the slope can be better.
            let step = if slope[i] > 0.0 { 1 } else { -1 };
            let level = i32::from(q[i]) + step;
            let by = scale * f64::from(step);
            let gain = 2.0 * by * slope[i] - by * by * row(i)[i];
            if level.abs() > 127 || gain <= 1e-9 * by * by * row(i)[i] {
                continue;
            }
            q[i] = level as i8;
            errors[i] -= by;
            slope.iter_mut().zip(row(i)).for_each(|(s, c)| *s -= by * c);
            moved = true;
        }
        if !moved {
            break;
        }
    }
    errors.iter().zip(&slope).map(|(e, s)| e * s).sum()
}

/// Returns the scalar product. Eight sums run beside each other, since one would wait for each addition; their number
/// is part of the definition, so the bits are the same on every processor.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Returns the upper factor U with `C⁻¹ = UᵀU`, or `None` if C is not positive definite.
pub fn inverse_factor(c: &[f64], n: usize) -> Option<Vec<f64>> {
    // C⁻¹ = UᵀU with U upper. With P reversing the order, PCP = LLᵀ gives C = (PLP)(PLP)ᵀ where
    // PLP =: R is upper, so C⁻¹ = R⁻ᵀR⁻¹ and U = R⁻¹.
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let known = dot(&l[i * n..i * n + j], &l[j * n..j * n + j]);
            let v = c[(n - 1 - i) * n + (n - 1 - j)] - known;
            if i == j {
                if v.is_nan() || v <= 0.0 {
                    return None;
                }
                l[i * n + i] = v.sqrt();
            } else {
                l[i * n + j] = v / l[j * n + j];
            }
        }
    }
    let r = |i: usize, j: usize| l[(n - 1 - i) * n + (n - 1 - j)];
    // Invert the upper triangular R by back substitution, row by row from the bottom.
    let mut u = vec![0.0; n * n];
    for i in (0..n).rev() {
        let mut row = vec![0.0; n];
        row[i] = 1.0;
        for k in i + 1..n {
            let f = r(i, k);
            if f != 0.0 {
                row[k..].iter_mut().zip(&u[k * n + k..(k + 1) * n]).for_each(|(a, b)| *a -= f * b);
            }
        }
        let d = r(i, i);
        row.iter_mut().for_each(|v| *v /= d);
        u[i * n..(i + 1) * n].copy_from_slice(&row);
    }
    Some(u)
}
