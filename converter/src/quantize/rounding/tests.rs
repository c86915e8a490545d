use proptest::prelude::*;

use super::layer::inverse_factor;
use super::*;
use crate::graph::Window;
use crate::quantize::weights;

/// Returns a dense layer, and moments of inputs that depend on each other.
fn layer(seed: u32, depth: usize, outputs: usize) -> (Conv, Moments, Vec<Vec<f32>>) {
    let mut state = seed | 1;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let conv = Conv {
        weights: (0..depth * outputs).map(|_| next()).collect(),
        bias: vec![0.0; outputs],
        window: Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] },
        dilation: [1, 1],
        groups: 1,
        pad_value: vec![0.0; depth],
    };
    let mut moments =
        Moments { depth, count: 0.0, sum: vec![0.0; depth], products: vec![0.0; depth * depth] };
    let patches: Vec<Vec<f32>> = (0..200)
        .map(|_| {
            let common = next();
            (0..depth).map(|_| (common + 0.3 * next() + 0.4).max(0.0)).collect()
        })
        .collect();
    patches.iter().for_each(|p| moments.add(p));
    (conv, moments, patches)
}

/// Returns the mean square error of the layer's outputs, with biases corrected by `shift`.
fn error(conv: &Conv, packed: &Packed, shift: &[f64], patches: &[Vec<f32>]) -> f64 {
    let depth = depth(conv);
    let mut sum = 0.0;
    for x in patches {
        for (o, w) in conv.weights.chunks_exact(depth).enumerate() {
            let q = &packed.weights[o * depth..];
            let lost: f64 = (0..depth)
                .map(|k| f64::from(x[k]) * f64::from(w[k] - packed.scale[o] * f32::from(q[k])))
                .sum();
            sum += (lost - shift[o]) * (lost - shift[o]);
        }
    }
    sum / patches.len() as f64
}

proptest! {
    #[test]
    fn rounding_by_inputs_makes_less_noise_than_nearest(seed in any::<u32>(), depth in 12usize..40) {
        let (conv, moments, patches) = layer(seed, depth, 6);
        let rounded = round_layer(&conv, &moments, None, Care::Once).unwrap();
        let mut nearest = Packed { weights: Vec::new(), scale: Vec::new() };
        for w in conv.weights.chunks_exact(depth) {
            let (q, scale) = weights::channel(w, &vec![1.0; depth]);
            nearest.weights.extend(q);
            nearest.scale.push(scale);
        }
        let ours = error(&conv, &rounded.packed, &rounded.shift, &patches);
        let theirs = error(&conv, &nearest, &[0.0; 6], &patches);
        prop_assert!(ours < theirs, "{ours} {theirs}");
        let settled = round_layer(&conv, &moments, None, Care::Settle).unwrap();
        let least = error(&conv, &settled.packed, &settled.shift, &patches);
        prop_assert!(least < ours * 1.001, "{least} {ours}");
    }

    #[test]
    fn factors_on_inputs_scale_the_moments(seed in any::<u32>(), factors in prop::collection::vec(0.1f32..8.0, 5)) {
        let (_, moments, patches) = layer(seed, 5, 1);
        let mut direct = Moments { depth: 5, count: 0.0, sum: vec![0.0; 5], products: vec![0.0; 25] };
        for p in &patches {
            direct.add(&p.iter().zip(&factors).map(|(v, f)| v * f).collect::<Vec<_>>());
        }
        let scaled = moments.scaled(&|k| factors[k]);
        for (a, b) in scaled.products.iter().zip(&direct.products) {
            prop_assert!((a - b).abs() <= 1e-3 * b.abs().max(1.0), "{a} {b}");
        }
        prop_assert_eq!(scaled.count, direct.count);
    }
}

#[test]
fn inputs_that_never_vary_are_rounded_all_the_same() {
    let (conv, mut moments, _) = layer(3, 6, 2);
    moments.products.fill(0.0);
    moments.sum.fill(0.0);
    let rounded = round_layer(&conv, &moments, None, Care::Settle).unwrap();
    assert!(rounded.packed.scale.iter().all(|s| *s > 0.0 && s.is_finite()));
    assert!(rounded.shift.iter().all(|s| *s == 0.0));
}

#[test]
fn the_factor_inverts() {
    let c = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
    let u = inverse_factor(&c, 3).unwrap();
    for i in 0..3 {
        for j in 0..3 {
            // (UᵀU·C)[i][j] must be the identity.
            let v: f64 =
                (0..3).map(|k| (0..3).map(|m| u[m * 3 + i] * u[m * 3 + k]).sum::<f64>() * c[k * 3 + j]).sum();
            assert!((v - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j} {v}");
        }
    }
    assert!((0..3).all(|i| (0..i).all(|j| u[i * 3 + j] == 0.0)), "upper");
    assert!(inverse_factor(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
}
